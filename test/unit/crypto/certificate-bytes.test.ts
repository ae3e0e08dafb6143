import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex, utf8 } from '../../../src/bytes.ts';
import { firstCertificate, onlyCertificate, splitCertificates } from '../../../src/crypto/certificate-bytes.ts';
import { derValue } from '../../../src/crypto/der-write.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { refusal } from '../../refusal.ts';

const short = fromHex('3003020101');
const long = concat(fromHex('3081c8'), new Uint8Array(200).fill(7));
const longer = concat(fromHex('3082012c'), new Uint8Array(300).fill(8));

describe('splitCertificates', () => {
  it('accepts certificates one after the other', () => {
    expect(splitCertificates(concat(short, long, longer)).map(toHex)).toEqual([short, long, longer].map(toHex));
  });

  it('skips zeros and 0xff before, between and behind them', () => {
    const padded = concat(fromHex('00ff'), short, fromHex('0000'), long, fromHex('ffffff'));
    expect(splitCertificates(padded).map(toHex)).toEqual([short, long].map(toHex));
  });

  it("extracts them from TCG's structure, with and without the inner tag, padded to the end", () => {
    const whole = concat(fromHex('1001000007 1002'.replace(' ', '')), short);
    const bare = concat(fromHex('1001000005'), short);
    expect(splitCertificates(concat(whole, fromHex('ffff'), bare, new Uint8Array(3))).map(toHex)).toEqual(
      [short, short].map(toHex),
    );
    expect(firstCertificate(concat(fromHex('ff'), whole, fromHex('01aa')))).toEqual(short);
  });

  it('finds none in nothing, zeros and 0xff', () => {
    expect(splitCertificates(new Uint8Array(0))).toEqual([]);
    expect(splitCertificates(new Uint8Array(9))).toEqual([]);
    expect(splitCertificates(new Uint8Array(9).fill(0xff))).toEqual([]);
  });

  it('accepts PEM blocks with text around them', () => {
    const text = `subject=CN a\r\n${encodePem('CERTIFICATE', short)}\nissuer\n${encodePem('CERTIFICATE', long)}`;
    expect(splitCertificates(utf8(text)).map(toHex)).toEqual([short, long].map(toHex));
  });

  it('passes over PEM blocks of another kind', () => {
    const text = `${encodePem('X509 CRL', longer)}${encodePem('CERTIFICATE', short)}`;
    expect(splitCertificates(utf8(text)).map(toHex)).toEqual([toHex(short)]);
  });

  it.each<[string, (text: string) => Buffer]>([
    ['UTF-8 with a mark', (text) => Buffer.from(`\ufeff${text}`)],
    ['UTF-16LE with a mark', (text) => Buffer.from(`\ufeff${text}`, 'utf16le')],
    ['UTF-16LE', (text) => Buffer.from(text, 'utf16le')],
    ['UTF-16BE', (text) => Buffer.from(text, 'utf16le').swap16()],
    ['a code page', (text) => Buffer.from(`\u00fc ${text}`, 'latin1')],
    ['a text with zeros behind it', (text) => Buffer.from(`${text}\0\0`)],
    ['lines that end with CR CR LF', (text) => Buffer.from(text.replaceAll('\n', '\r\r\n'))],
    ['the older label', (text) => Buffer.from(text.replaceAll('CERTIFICATE', 'X509 CERTIFICATE'))],
  ])('accepts PEM in %s', (_, encoded) => {
    const text = encodePem('CERTIFICATE', short) + encodePem('CERTIFICATE', long);
    expect(splitCertificates(encoded(text)).map(toHex)).toEqual([short, long].map(toHex));
  });

  it('accepts a PKCS #7 file in DER, and in PEM under both labels', () => {
    const [oid, certificates] = [fromHex('06092a864886f70d010702'), concat(short, long)];
    const list = derValue(0xa0, certificates);
    const signed = derValue(0x30, fromHex('020101' + '3100' + '30020500'), list, fromHex('3100'));
    const whole = derValue(0x30, oid, derValue(0xa0, signed));
    for (const bytes of [whole, utf8(encodePem('PKCS7', whole)), utf8(encodePem('CERTIFICATE', whole))]) {
      expect(splitCertificates(bytes).map(toHex)).toEqual([short, long].map(toHex));
    }
    expect(refusal(() => splitCertificates(concat(fromHex('3010'), oid, fromHex('a003300102'))))).toBe(
      'certificate-invalid: certificates: a PKCS #7 file cannot be read; convert it with openssl pkcs7 -print_certs',
    );
  });

  it('bounds a PKCS #7 file by 4 MiB, and each certificate in it by 64 KiB', () => {
    const bundle = (...certificates: readonly Uint8Array[]) => {
      const signed = derValue(0x30, fromHex('020101' + '3100' + '30020500'), derValue(0xa0, ...certificates));
      return derValue(0x30, fromHex('06092a864886f70d010702'), derValue(0xa0, signed));
    };
    const many = Array.from({ length: 400 }, () => longer);
    const whole = bundle(...many);
    for (const bytes of [whole, utf8(encodePem('PKCS7', whole)), utf8(encodePem('CERTIFICATE', whole))]) {
      expect(splitCertificates(bytes)).toHaveLength(many.length);
    }
    const over = derValue(0x30, new Uint8Array(0x1_0000));
    const large = bundle(...Array.from({ length: 14_000 }, () => longer));
    for (const [bytes, problem] of [
      [bundle(short, over), '65541 bytes; the limit is 65536'],
      [utf8(encodePem('PKCS7', bundle(over))), '65541 bytes; the limit is 65536'],
      [large, `${large.length} bytes; the limit is 4194304`],
    ] as const) {
      expect(refusal(() => splitCertificates(bytes))).toBe(`certificate-invalid: certificates: ${problem}`);
    }
  });

  it("refuses OpenSSL's trusted certificates, whose restrictions it does not read", () => {
    expect(refusal(() => splitCertificates(utf8(encodePem('TRUSTED CERTIFICATE', short))))).toContain('openssl x509');
  });

  it('accepts a certificate of up to 64 KiB', () => {
    const most = concat(fromHex('3082fffc'), new Uint8Array(0xfffc));
    const over = concat(fromHex('3082fffd'), new Uint8Array(0xfffd));
    expect(splitCertificates(most)).toEqual([most]);
    expect(splitCertificates(utf8(encodePem('CERTIFICATE', most)))).toEqual([most]);
    for (const bytes of [over, utf8(encodePem('CERTIFICATE', over))]) {
      expect(refusal(() => splitCertificates(bytes))).toMatch(/^certificate-invalid: certificates: .*65537/);
    }
  });

  it.each([
    [
      'certificate of TCG of an unknown kind',
      '1001000007' + '1003' + '3003020101',
      'no complete DER SEQUENCE at the beginning of 7 bytes',
    ],
    [
      'the tag of TCG of an unknown kind',
      '1101000005' + '3003020101',
      'no complete DER SEQUENCE at the beginning of 10 bytes',
    ],
    [
      'tag within of an unknown kind',
      '1001000007' + '1102' + '3003020101',
      'no complete DER SEQUENCE at the beginning of 7 bytes',
    ],
    [
      'tag of an unknown kind, second byte',
      '1002000005' + '3003020101',
      'no complete DER SEQUENCE at the beginning of 10 bytes',
    ],
    [
      'length beyond the end',
      '1001000006' + '3003020101',
      'the structure around a certificate needs 11 bytes, but there are only 10',
    ],
  ])('refuses a %s', (_, hex, problem) => {
    expect(refusal(() => splitCertificates(fromHex(hex)))).toBe(`certificate-invalid: certificates: ${problem}`);
  });

  it.each([
    [
      'has no end',
      encodePem('CERTIFICATE', short) + encodePem('CERTIFICATE', short).slice(0, -5),
      'a PEM block has no end',
    ],
    ['is not base64', '-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n', 'a PEM block cannot be read'],
  ])('refuses a PEM block that %s', (_, text, problem) => {
    expect(refusal(() => splitCertificates(utf8(text)))).toBe(`certificate-invalid: certificates: ${problem}`);
  });

  it('says why a certificate cannot be read', () => {
    const thrown = (bytes: Uint8Array): unknown => {
      try {
        return splitCertificates(bytes);
      } catch (error) {
        return error;
      }
    };
    expect(thrown(fromHex('0500'))).toHaveProperty('cause.code', 'request-invalid');
    expect(thrown(utf8('-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n'))).toHaveProperty(
      'cause.code',
      'key-invalid',
    );
  });

  it.each([
    ['a certificate that is cut off', longer.subarray(0, -1)],
    ['a length that is cut off', fromHex('308201')],
    ['a tag alone', fromHex('30')],
    ['an indefinite length', fromHex('30800000')],
    ['a length of five bytes', fromHex('30850000000001aa')],
    ['something else', fromHex('3100')],
    ['a structure of TCG that is cut off', concat(fromHex('1001000006'), short)],
    ['a partial certificate of TCG', concat(fromHex('1001010005'), short)],
    ['something else behind a certificate', concat(short, fromHex('01'))],
    ['a PEM block that is no base64', utf8('-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n')],
  ])('refuses %s', (_, bytes) => {
    expect(refusal(() => splitCertificates(bytes))).toMatch(/^certificate-invalid: /);
  });
});

describe('firstCertificate', () => {
  it('leaves out anything that follows', () => {
    expect(firstCertificate(concat(new Uint8Array(2), short, fromHex('01aa')))).toEqual(short);
  });

  it('is undefined if there are only zeros or 0xff', () => {
    expect(firstCertificate(new Uint8Array(5))).toBeUndefined();
    expect(firstCertificate(new Uint8Array(5).fill(0xff))).toBeUndefined();
  });
});

describe('onlyCertificate', () => {
  it('takes one', () => {
    expect(onlyCertificate(concat(new Uint8Array(2), short))).toEqual(short);
  });

  it('refuses none and two, and says how many there are', () => {
    expect(refusal(() => onlyCertificate(new Uint8Array(3)))).toBe(
      'certificate-invalid: certificates: expected one, found 0',
    );
    expect(refusal(() => onlyCertificate(concat(short, long)))).toBe(
      'certificate-invalid: certificates: expected one, found 2',
    );
  });
});
