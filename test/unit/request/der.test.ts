import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, fromBase64, fromHex, toHex, utf8 } from '../../../src/bytes.ts';
import { derValue } from '../../../src/crypto/der.ts';
import { findQuirks } from '../../../src/request/der-quirks.ts';
import { DerNode } from '../../../src/request/der-read.ts';
import {
  DER_NULL,
  derInteger,
  derOctets,
  derOid,
  derSequence,
  derSetOf,
  derText,
  ia5,
} from '../../../src/request/der-write.ts';
import { commonName, decodeName, encodeName } from '../../../src/request/names.ts';
import { refusal } from '../../refusal.ts';

const read = (hex: string): DerNode => DerNode.whole(fromHex(hex), 'test');

describe('object identifiers', () => {
  it.each([
    ['1.2.840.113549.1.9.16.2.59', '060b2a864886f70d010910023b'],
    ['2.23.133.20.1', '06056781051401'],
    ['1.2.3.999', '06042a038767'],
    ['2.999', '06028837'],
    ['0.9.2342.19200300.100.1.25', '060a0992268993f22c640119'],
    ['2.25.329800735698586629295641978511506172918', '06146983 f09da7ebcfdee0c7a1a7b2c0948cc8f9d776'],
  ])('%s is written and read', (dotted, hex) => {
    const der = hex.replaceAll(' ', '');
    expect(toHex(derOid(dotted))).toBe(der);
    expect(read(der).oid()).toBe(dotted);
  });

  it.each(['', '1', '3.1', '1.40', '1..2', '1.2.x', '1.2.'])('%j is none', (dotted) => {
    expect(() => derOid(dotted)).toThrow(TypeError);
  });

  it.each(['0600', '060180', `0641${'01'.repeat(65)}`, '0401'.padEnd(6, '0')])('%s is none', (hex) => {
    expect(refusal(() => read(hex).oid())).toMatch(/^request-invalid: test: /);
  });
});

describe('values', () => {
  it('are written in DER', () => {
    expect(toHex(derInteger(0))).toBe('020100');
    expect(toHex(derInteger(127))).toBe('02017f');
    expect(toHex(derInteger(128))).toBe('02020080');
    expect(toHex(derInteger(65537))).toBe('0203010001');
    expect(toHex(derSetOf(derText('utf8', 'b'), derText('utf8', 'a'), DER_NULL))).toBe(
      '3108' + '0500' + '0c0161' + '0c0162',
    );
    expect(toHex(derText('bmp', 'é€'))).toBe('1e0400e920ac');
    expect(toHex(derText('utf8', '€'))).toBe('0c03e282ac');
    expect(toHex(derText('printable', 'A b'))).toBe('130341 2062'.replaceAll(' ', ''));
  });

  it.each([
    ['printable', 'a@b'],
    ['ia5', 'é'],
    ['bmp', '😀'],
  ] as const)('of kind %s refuse %s', (kind, text) => {
    expect(() => derText(kind, text)).toThrow(TypeError);
  });

  it('have text of any kind of string', () => {
    const texts = ['0c02c3a9', '1301 41', '1602 4142', '1e02 00e9', '1c04 0001f600', '1401e9', '1201 31'];
    expect(texts.map((hex) => read(hex.replaceAll(' ', '')).text())).toEqual(['é', 'A', 'AB', 'é', '😀', 'é', '1']);
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
    ['1f0100', 'a tag of several bytes'],
    ['05000', 'hexadecimal'],
    ['050000', '1 bytes left over'],
  ])('%s are refused: %s', (hex, problem) => {
    expect(() => read(hex)).toThrow(problem);
  });

  it('with longer lengths than needed are read, and say so', () => {
    expect(read(`048110${'00'.repeat(16)}`).octets()).toHaveLength(16);
    expect(read(`048110${'00'.repeat(16)}`).isMinimal).toBe(false);
    expect(read(`048180${'00'.repeat(128)}`).isMinimal).toBe(true);
    expect(read(`04820080${'00'.repeat(128)}`).isMinimal).toBe(false);
  });

  it('are taken one after the other, and to the end', () => {
    const fields = read('3007' + '020105' + '0500' + '0400').fields(0x30);
    expect(fields.optional(0x04)).toBeUndefined();
    expect(toHex(fields.next(0x02).content)).toBe('05');
    expect(() => fields.next(0x02)).toThrow('it has tag 0x05 where 0x02 belongs at offset 5');
    expect(() => fields.optional(0x04) && fields.end()).not.toThrow();
    expect(() => fields.next()).toThrow('a part is missing');
  });

  it('tell what is left over and what holds nothing', () => {
    expect(() => read('30020500').fields(0x30).end()).toThrow('1 parts left over');
    expect(() => read('0400').children()).toThrow('it holds no other values');
  });
});

describe('a name', () => {
  const name = [
    [{ type: '0.9.2342.19200300.100.1.25', value: 'test' }],
    [
      { type: '2.5.4.3', value: 'Zoë' },
      { type: '2.5.4.6', value: 'DE' },
    ],
    [{ type: '2.5.4.45', value: '#03020780' }],
  ];

  it('is written in DER and read back', () => {
    const der = encodeName(name);
    const relatives = [
      `3114 3012 060a0992268993f22c640119 1604${toHex(utf8('test'))}`,
      `3118 3009 0603550406 1302${toHex(utf8('DE'))} 300b 0603550403 0c04${toHex(utf8('Zoë'))}`,
      '310b 3009 060355042d 03020780',
    ];
    expect(toHex(der)).toBe(`303d${relatives.join('').replaceAll(' ', '')}`);
    expect(decodeName(DerNode.whole(der, 'name'))).toEqual([name[0], [...(name[1] ?? [])].reverse(), name[2]]);
  });

  it('keeps each byte of what it reads, for any text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }).filter((text) => !text.startsWith('#')),
        (text) => {
          const der = encodeName(commonName(text));
          expect(decodeName(DerNode.whole(der, 'name'))).toEqual(commonName(text));
        },
      ),
    );
  });
});

describe('findQuirks', () => {
  const device = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8')).published[2];

  it("reports the long lengths in a Windows device's certificate, and where they are", () => {
    const der = fromBase64(device.rawBodyB64);
    const quirks = findQuirks(der);
    expect(quirks).toEqual([601, 637, 673, 709, 745].map((offset) => ({ kind: 'length-not-minimal', offset })));
    for (const { offset } of quirks) expect(toHex(der.subarray(offset, offset + 2))).toBe('0481');
  });

  it('reports a NUL in a name, and a common name that is too long', () => {
    const nul = encodeName([[{ type: '2.5.4.3', value: '#130241 00'.replace(' ', '') }]]);
    expect(findQuirks(nul)).toEqual([{ kind: 'nul-in-string', offset: 11 }]);
    expect(findQuirks(encodeName(commonName('a'.repeat(64))))).toEqual([]);
    expect(findQuirks(encodeName(commonName('a'.repeat(65))))).toEqual([{ kind: 'common-name-too-long', offset: 11 }]);
  });

  it('finds nothing in extensions that are no DER', () => {
    const extension = (value: Uint8Array) => derSequence(derOid('1.2.3'), derOctets(value));
    expect(findQuirks(extension(fromHex('c0ffee')))).toEqual([]);
    expect(findQuirks(extension(fromHex('3003040500')))).toEqual([]);
    expect(findQuirks(extension(fromHex('04810100')))).toEqual([{ kind: 'length-not-minimal', offset: 8 }]);
  });

  it('reads values in each other without end, and refuses what is cut off', () => {
    let der = derValue(0x05);
    for (let i = 0; i < 300; i++) der = derSequence(der);
    expect(findQuirks(der)).toEqual([]);
    const deep = concat(...Array.from({ length: 20_000 }, () => fromHex('3084000fffff')), new Uint8Array(0xfffff));
    expect(refusal(() => findQuirks(deep))).toMatch(/^request-invalid: /);
    expect(refusal(() => findQuirks(der.subarray(1)))).toMatch(/^request-invalid: /);
  });
});
