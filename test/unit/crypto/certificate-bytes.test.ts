import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex, utf8 } from '../../../src/bytes.ts';
import { firstCertificate, splitCertificates } from '../../../src/crypto/certificate-bytes.ts';
import { encodePem } from '../../../src/crypto/pem.ts';
import { refusal } from '../../refusal.ts';

const short = fromHex('3003020101');
const long = concat(fromHex('3081c8'), new Uint8Array(200).fill(7));
const longer = concat(fromHex('3082012c'), new Uint8Array(300).fill(8));

describe('splitCertificates', () => {
  it('takes certificates one after the other', () => {
    expect(splitCertificates(concat(short, long, longer)).map(toHex)).toEqual([short, long, longer].map(toHex));
  });

  it('skips zeros and 0xff before, between and behind them', () => {
    const padded = concat(fromHex('00ff'), short, fromHex('0000'), long, fromHex('ffffff'));
    expect(splitCertificates(padded).map(toHex)).toEqual([short, long].map(toHex));
  });

  it('takes them out of the structure of TCG, with and without the tag within, padded to the end', () => {
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

  it('takes PEM blocks with text around them', () => {
    const text = `subject=CN a\r\n${encodePem('CERTIFICATE', short)}\nissuer\n${encodePem('CERTIFICATE', long)}`;
    expect(splitCertificates(utf8(text)).map(toHex)).toEqual([short, long].map(toHex));
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
  it('leaves out what follows, whatever it is', () => {
    expect(firstCertificate(concat(new Uint8Array(2), short, fromHex('01aa')))).toEqual(short);
  });

  it('is undefined where there are only zeros or 0xff', () => {
    expect(firstCertificate(new Uint8Array(5))).toBeUndefined();
    expect(firstCertificate(new Uint8Array(5).fill(0xff))).toBeUndefined();
  });
});
