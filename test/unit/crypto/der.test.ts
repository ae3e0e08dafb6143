import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex } from '../../../src/bytes.ts';
import { DerNode } from '../../../src/crypto/der-read.ts';
import {
  contextTag,
  DER_NULL,
  derExplicit,
  derInteger,
  derOid,
  derSetOf,
  derText,
  derUnsigned,
  derValue,
  ia5,
} from '../../../src/crypto/der-write.ts';
import { refusal } from '../../refusal.ts';

const repeat = (hex: string, times: number): Uint8Array => fromHex(hex.repeat(times));
const read = (hex: string): DerNode => DerNode.lenient(fromHex(hex), 'test');

describe('object identifiers', () => {
  it.each([
    ['1.2.840.113549.1.9.16.2.59', '060b2a864886f70d010910023b'],
    ['2.23.133.20.1', '06056781051401'],
    ['1.2.3.999', '06042a038767'],
    ['2.999', '06028837'],
    ['0.9.2342.19200300.100.1.25', '060a0992268993f22c640119'],
    ['2.25.329800735698586629295641978511506172918', '06146983 f09da7ebcfdee0c7a1a7b2c0948cc8f9d776'],
    ['0.39', '060127'],
    ['1.39', '06014f'],
    ['2.0', '060150'],
    ['1.2.128', '06032a8100'],
    ['1.2.16384', '06042a818000'],
    [`2.${'1.'.repeat(63)}1`, `0640${'51'}${'01'.repeat(63)}`],
  ])('%s is written and read', (dotted, hex) => {
    const der = hex.replaceAll(' ', '');
    expect(toHex(derOid(dotted))).toBe(der);
    expect(read(der).oid()).toBe(dotted);
  });

  it.each(['', '1', '3.1', '1.40', '1..2', '1.2.x', '1.2.', 'x1.2', '01.2', '1.02', '10.1'])('%j is none', (dotted) => {
    expect(() => derOid(dotted)).toThrow(new TypeError(`'${dotted}' is not an object identifier`));
  });

  it('are refused above 64 bytes', () => {
    expect(refusal(() => derOid(`2.${'1.'.repeat(64)}1`))).toMatch(/^foreign: TypeError: object identifier: .*65/);
    expect(refusal(() => derOid('1'.repeat(257)))).toMatch(/^foreign: TypeError: object identifier: .*257/);
  });

  it.each(['0600', '060180', '06028001', '06032a8001', `0641${'01'.repeat(65)}`, '0401'.padEnd(6, '0')])(
    '%s is none',
    (hex) => {
      expect(refusal(() => read(hex).oid())).toMatch(
        /^request-invalid: test: (?:an object identifier is malformed|it has tag 0x04, but 0x06 is expected) at offset 0$/,
      );
    },
  );
});

describe('values', () => {
  it('are written in DER', () => {
    expect(toHex(derInteger(0))).toBe('020100');
    expect(toHex(derInteger(127))).toBe('02017f');
    expect(toHex(derInteger(128))).toBe('02020080');
    expect(toHex(derInteger(65537))).toBe('0203010001');
    expect(toHex(derInteger(Number.MAX_SAFE_INTEGER))).toBe('02071fffffffffffff');
    expect(toHex(derUnsigned(fromHex('0000ff')))).toBe('020200ff');
    expect(toHex(derUnsigned(new Uint8Array(0)))).toBe('020100');
    expect(toHex(derUnsigned(fromHex('05')))).toBe('020105');
    expect(toHex(derValue(0x04, new Uint8Array(127), new Uint8Array(1)).subarray(0, 4))).toBe('04818000');
    expect(toHex(derValue(0x04, new Uint8Array(65536)).subarray(0, 6))).toBe('048301000000');
    expect(toHex(derSetOf(derText('utf8', 'b'), derText('utf8', 'a'), DER_NULL))).toBe(
      '3108' + '0500' + '0c0161' + '0c0162',
    );
    expect(toHex(derSetOf(derText('utf8', 'a'), derText('utf8', 'b')))).toBe('3106' + '0c0161' + '0c0162');
    expect(toHex(derExplicit(1, DER_NULL))).toBe('a1020500');
    expect(toHex(derText('bmp', 'é€'))).toBe('1e0400e920ac');
    expect(toHex(derText('utf8', '€'))).toBe('0c03e282ac');
    expect(toHex(derText('printable', 'A b'))).toBe('130341 2062'.replaceAll(' ', ''));
    expect(toHex(derText('ia5', 'a\x7f'))).toBe('1602617f');
    expect([contextTag(3, 'constructed'), contextTag(3, 'primitive')]).toEqual([0xa3, 0x83]);
  });

  it.each([
    ['printable', 'a@b', 'PrintableString'],
    ['ia5', 'é', 'IA5String'],
    ['ia5', 'aé', 'IA5String'],
    ['bmp', '😀', 'BMPString'],
  ] as const)('of kind %s refuse %s', (kind, text, type) => {
    expect(() => derText(kind, text)).toThrow(new TypeError(`"${text}" cannot be written as ${type}`));
  });

  it('have text of any kind of string', () => {
    const texts = ['0c02c3a9', '1301 41', '1602 4142', '1e02 00e9', '1c08 0001f6000001f600', '1401e9', '1201 31'];
    expect(texts.map((hex) => read(hex.replaceAll(' ', '')).text())).toEqual(['é', 'A', 'AB', 'é', '😀😀', 'é', '1']);
    // A byte order mark is part of the text. The UniversalString contains an invalid and an incomplete character.
    expect(
      ['0c03efbbbf', '1e02feff', '1c040010ffff', '1c0400110000', '1c03000000'].map((hex) => read(hex).text()),
    ).toEqual(['\ufeff', '\ufeff', '\u{10ffff}', '\ufffd', '']);
    expect(read('0500').text()).toBeUndefined();
    expect(toHex(ia5('a\0'))).toBe('6100');
  });

  it.each([
    ['30', 'cut off'],
    ['', 'cut off'],
    ['3001', 'cut off'],
    ['308001', 'indefinite'],
    ['30850000000001', 'too long'],
    ['308101', 'cut off'],
    ['3082', 'cut off'],
    ['1f0100', 'a tag has more than one byte'],
    ['05000', 'hexadecimal'],
    ['050000', '1 byte left over'],
  ])('%s are refused: %s', (hex, problem) => {
    expect(() => read(hex)).toThrow(problem);
  });

  it('are refused if they are too large', () => {
    expect(refusal(() => DerNode.lenient(new Uint8Array(262_145), 'test'))).toMatch(/^request-invalid: test: .*262145/);
  });

  it('with overlong lengths are read on request, and reported', () => {
    expect(read(`048110${'00'.repeat(16)}`).octets()).toHaveLength(16);
    expect(read(`048110${'00'.repeat(16)}`).isMinimal).toBe(false);
    expect(read(`048180${'00'.repeat(128)}`).isMinimal).toBe(true);
    expect(read(`04820080${'00'.repeat(128)}`).isMinimal).toBe(false);
    expect(
      read('3004' + '04810105')
        .fields(0x30)
        .next(0x04).isMinimal,
    ).toBe(false);
  });

  it('are read one after the other, and to the end', () => {
    const fields = read('3007' + '020105' + '0500' + '0400').fields(0x30);
    expect(fields.optional(0x04)).toBeUndefined();
    expect(toHex(fields.next(0x02).content)).toBe('05');
    expect(() => fields.next(0x02)).toThrow('it has tag 0x05, but 0x02 is expected at offset 5');
    expect(() => fields.end()).toThrow('test: parts left over at offset 5');
    expect(fields.rest().map(({ tag, offset }) => [tag, offset])).toEqual([
      [0x05, 5],
      [0x04, 7],
    ]);
    expect(fields.optional()).toBeUndefined();
    expect(() => fields.end()).not.toThrow();
    expect(() => fields.next()).toThrow('a part is missing');
  });

  it('are not looked at before they are asked for', () => {
    const fields = read('3005' + '020105' + '0480').fields(0x30);
    expect(toHex(fields.next().content)).toBe('05');
    expect(() => fields.next()).toThrow('indefinite or too long at offset 5');
    expect(() => read('3005' + '020105' + '0480').first(0x30)).toThrow('indefinite or too long at offset 5');
    expect(read('3003' + '020105').first(0x30).tag).toBe(0x02);
    expect(() => read('3000').first(0x30)).toThrow('a part is missing');
  });

  it('report empty values', () => {
    expect(() => read('0400').children()).toThrow('it contains no nested values');
  });
});

describe('values in strict DER', () => {
  const strict = (hex: string): DerNode => DerNode.strict(fromHex(hex), 'test');

  it.each([
    ['', 'cut off at offset 0'],
    ['3001', 'cut off at offset 0'],
    ['3080', 'a length is indefinite or too long at offset 0'],
    ['308501000000000000', 'a length is indefinite or too long at offset 0'],
    ['048105' + '0000000000', 'a length is not in its shortest form at offset 0'],
    ['0401', 'cut off at offset 0'],
    ['04', 'cut off at offset 0'],
    [`04820080${'00'.repeat(128)}`, 'a length is not in its shortest form at offset 0'],
    ['0500' + '00', '1 byte left over at offset 2'],
  ])('are not %s: %s', (hex, problem) => {
    expect(refusal(() => strict(hex))).toBe(`key-invalid: test: ${problem}`);
  });

  it('contain values in strict DER', () => {
    const fields = strict('3007' + '020105' + '04810105').fields(0x30);
    expect(fields.next(0x02).unsigned()).toEqual(fromHex('05'));
    expect(refusal(() => fields.next())).toBe('key-invalid: test: a length is not in its shortest form at offset 5');
  });

  it.each([
    ['020101', '01'],
    ['0202' + '0080', '80'],
    ['0209' + '00ffffffffffffffff', 'ff'.repeat(8)],
  ])('%s is a number above zero', (hex, digits) => {
    expect(toHex(strict(hex).unsigned())).toBe(digits);
  });

  it.each([
    ['0200', 'an INTEGER is negative or empty'],
    ['020180', 'an INTEGER is negative or empty'],
    ['020100', 'an INTEGER is zero or not in its shortest form'],
    ['0202' + '007f', 'an INTEGER is zero or not in its shortest form'],
    ['0401' + '01', 'it has tag 0x04, but 0x02 is expected'],
  ])('%s is no number above zero: %s', (hex, problem) => {
    expect(refusal(() => strict(hex).unsigned())).toBe(`key-invalid: test: ${problem} at offset 0`);
  });

  it('have lengths of up to four bytes', () => {
    expect(toHex(strict(`0481ff${'00'.repeat(255)}`).octets())).toBe('00'.repeat(255));
    expect(strict(`04820102${'00'.repeat(258)}`).octets()).toHaveLength(258);
    expect(DerNode.strict(concat(fromHex('0483010203'), repeat('00', 0x10203)), 'test').octets()).toHaveLength(0x10203);
    expect(refusal(() => strict('048400000001aa'))).toBe(
      'key-invalid: test: a length is not in its shortest form at offset 0',
    );
  });

  it.each([
    ['020100', 0],
    ['020101', 1],
    ['0202' + '0100', 256],
    ['0207' + '1fffffffffffff', Number.MAX_SAFE_INTEGER],
  ])('%s is the number %i', (hex, number) => {
    expect(strict(hex).natural()).toBe(number);
  });

  it.each([
    ['0207' + '20000000000000', 'an INTEGER is too large'],
    ['0202' + '0000', 'an INTEGER is zero or not in its shortest form'],
    ['0200', 'an INTEGER is negative or empty'],
    ['0201ff', 'an INTEGER is negative or empty'],
    ['0101ff', 'it has tag 0x01, but 0x02 is expected'],
  ])('%s is no number: %s', (hex, problem) => {
    expect(refusal(() => strict(hex).natural())).toBe(`key-invalid: test: ${problem} at offset 0`);
  });

  it('are true or false', () => {
    expect([strict('0101ff').boolean(), strict('010100').boolean(), strict('8101ff').boolean(0x81)]).toEqual([
      true,
      false,
      true,
    ]);
    for (const hex of ['0100', '0102ffff']) {
      expect(refusal(() => strict(hex).boolean())).toBe('key-invalid: test: a BOOLEAN is malformed at offset 0');
    }
    expect(refusal(() => strict('8101ff').boolean())).toContain('it has tag 0x81, but 0x01 is expected');
  });

  it('are optional by their tags', () => {
    const fields = strict('3006' + '020105' + '0101ff').fields(0x30);
    expect(fields.optional(0x04, 0x05)).toBeUndefined();
    expect(fields.optional(0x04, 0x02)?.unsigned()).toEqual(fromHex('05'));
    expect(fields.optional()?.boolean()).toBe(true);
    expect(fields.optional()).toBeUndefined();
  });
});
