import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../src/bytes.ts';
import {
  type CborValue,
  decodeCbor,
  decodeCborPrefix,
  decodeIndefiniteCbor,
  encodeCbor,
} from '../../../src/crypto/cbor.ts';
import { refusal } from '../../refusal.ts';

/** RFC 8949, Appendix A, as far as its kinds are used here, and numbers at the limits of a head's size. */
const RFC_8949: [CborValue, string][] = [
  [0, '00'],
  [1, '01'],
  [10, '0a'],
  [23, '17'],
  [24, '1818'],
  [25, '1819'],
  [100, '1864'],
  [255, '18ff'],
  [256, '190100'],
  [1000, '1903e8'],
  [65535, '19ffff'],
  [65536, '1a00010000'],
  [1000000, '1a000f4240'],
  [4294967295, '1affffffff'],
  [4294967296, '1b0000000100000000'],
  [1000000000000, '1b000000e8d4a51000'],
  [-1, '20'],
  [-10, '29'],
  [-100, '3863'],
  [-1000, '3903e7'],
  [false, 'f4'],
  [true, 'f5'],
  [null, 'f6'],
  [new Uint8Array(0), '40'],
  [fromHex('01020304'), '4401020304'],
  ['', '60'],
  ['a', '6161'],
  ['IETF', '6449455446'],
  ['"\\', '62225c'],
  ['ü', '62c3bc'],
  ['水', '63e6b0b4'],
  ['\ufeff', '63efbbbf'],
  ['𐅑', '64f0908591'],
  [[], '80'],
  [[1, 2, 3], '83010203'],
  [[1, [2, 3], [4, 5]], '8301820203820405'],
  [Array.from({ length: 25 }, (_, i) => i + 1), '98190102030405060708090a0b0c0d0e0f101112131415161718181819'],
  [new Map(), 'a0'],
  [
    new Map([
      [1, 2],
      [3, 4],
    ]),
    'a201020304',
  ],
  [
    new Map<string, CborValue>([
      ['a', 1],
      ['b', [2, 3]],
    ]),
    'a26161016162820203',
  ],
  [['a', new Map([['b', 'c']])], '826161a161626163'],
];

describe('CBOR', () => {
  it.each(RFC_8949)('writes and reads %j as %s', (value, hex) => {
    expect(toHex(encodeCbor(value))).toBe(hex);
    expect(decodeCbor(fromHex(hex))).toEqual(value);
  });

  it('writes the keys of a map in the order of their bytes, and reads them in any', () => {
    const map = new Map([
      ['ccc', 1],
      [-1, 2],
      ['b', 3],
      [300, 4],
      [24, 5],
      [3, 6],
      ['aa', 7],
    ] as [string | number, number][]);
    expect(toHex(encodeCbor(map))).toBe('a7030618180519012c04200261620362616107636363630 1'.replace(' ', ''));
    expect(decodeCbor(fromHex('a2616201616102'))).toEqual(
      new Map([
        ['b', 1],
        ['a', 2],
      ]),
    );
  });

  it.each([
    ['', 'cut off: 1 byte expected at offset 0'],
    ['0000', '1 byte left over at offset 1'],
    ['1817', 'a number is not in its shortest form at offset 0'],
    ['1900ff', 'a number is not in its shortest form at offset 0'],
    ['1a0000ffff', 'a number is not in its shortest form at offset 0'],
    ['1b00000000ffffffff', 'a number is not in its shortest form at offset 0'],
    ['1b0020000000000000', 'a number has more than 53 bits at offset 0'],
    ['3b001fffffffffffff', 'a number has more than 53 bits at offset 0'],
    ['1c', 'a length is indefinite or reserved at offset 0'],
    ['5f4101ff', 'a length is indefinite or reserved at offset 0'],
    ['9f01ff', 'a length is indefinite or reserved at offset 0'],
    ['bf6161019f', 'a length is indefinite or reserved at offset 0'],
    ['c001', 'a tag is not allowed at offset 0'],
    ['f7', '0xf7 is not a supported value at offset 0'],
    ['f93c00', '0xf9 is not a supported value at offset 0'],
    ['ff', '0xff is not a supported value at offset 0'],
    ['61ff', 'text is not UTF-8 at offset 0'],
    ['a14000', 'a key is neither an integer nor text at offset 1'],
    ['a201000100', 'the key 1 appears twice at offset 3'],
    ['9affffffff00', 'cut off: 4294967295 items expected at offset 5'],
    ['baffffffff00', 'cut off: 8589934590 items expected at offset 5'],
    ['5affffffff00', 'cut off: 4294967295 bytes expected at offset 5'],
    ['84000000', 'cut off: 4 items expected at offset 1'],
    [`${'81'.repeat(9)}00`, 'more than 8 levels at offset 9'],
    [`${'a100'.repeat(9)}00`, 'more than 8 levels at offset 17'],
    [`a1${'81'.repeat(8)}0000`, 'more than 8 levels at offset 9'],
  ])('refuses %s', (hex, problem) => {
    expect(refusal(() => decodeCbor(fromHex(hex)))).toBe(`codec: CBOR: ${problem}`);
  });

  it('refuses to write a number that is not a 53-bit integer', () => {
    for (const value of [0.5, 2 ** 53, Number.NaN]) {
      const problem = `CBOR: ${value} is not an integer of at most 53 bits`;
      expect(() => encodeCbor(value)).toThrow(new RangeError(problem));
    }
  });

  it('refuses input that is too large, and says why text is not UTF-8', () => {
    expect(refusal(() => decodeCbor(new Uint8Array(262_145)))).toMatch(/^codec: CBOR: .*262145/);
    expect(() => decodeCbor(fromHex('61ff'))).toThrow(expect.objectContaining({ cause: expect.any(TypeError) }));
  });

  it('reads the first value in the bytes, and its end', () => {
    expect(decodeCborPrefix(fromHex('83010203ffff'))).toEqual({ value: [1, 2, 3], length: 4 });
  });

  const key = fc.oneof(fc.maxSafeInteger(), fc.string());
  const { value: values } = fc.letrec<{ value: CborValue }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small', maxDepth: 6, withCrossShrink: true },
      fc.maxSafeInteger(),
      fc.boolean(),
      fc.constant(null),
      fc.string({ unit: 'grapheme' }),
      fc.uint8Array({ maxLength: 300 }),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.array(fc.tuple(key, tie('value')), { maxLength: 4 }).map((entries) => new Map(entries)),
    ),
  }));

  it('reads its own output, and refuses it truncated at any byte', () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = encodeCbor(value);
        expect(decodeCbor(bytes)).toEqual(value);
        for (let length = 0; length < bytes.length; length++) {
          expect(refusal(() => decodeCbor(bytes.subarray(0, length)))).toMatch(/^codec: CBOR: cut off/);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('reads any bytes, or refuses them with its own error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(refusal(() => decodeCbor(bytes))).toMatch(/^(?:nothing thrown$|codec: CBOR: )/);
      }),
      { numRuns: 500 },
    );
  });
});

// RFC 8949, appendix A.
describe('decodeIndefiniteCbor', () => {
  it.each<[string, CborValue]>([
    ['5f42010243030405ff', fromHex('0102030405')],
    ['7f657374726561646d696e67ff', 'streaming'],
    ['9fff', []],
    ['9f018202039f0405ffff', [1, [2, 3], [4, 5]]],
    [
      'bf61610161629f0203ffff',
      new Map<string, CborValue>([
        ['a', 1],
        ['b', [2, 3]],
      ]),
    ],
    ['83018202039f0405ff', [1, [2, 3], [4, 5]]],
  ])('reads %s', (hex, value) => {
    expect(decodeIndefiniteCbor(fromHex(hex))).toEqual(value);
    expect(refusal(() => decodeCbor(fromHex(hex)))).toContain('a length is indefinite or reserved');
  });

  it.each([
    ['5f4101', 'cut off'],
    ['5f616101ff', 'an indefinite-length string has parts of another type at offset 0'],
    ['5f41016161ff', 'an indefinite-length string has parts of another type at offset 0'],
    ['7f61614101ff', 'an indefinite-length string has parts of another type at offset 0'],
    ['5f6161ff', 'an indefinite-length string has parts of another type at offset 0'],
    ['7f4101ff', 'an indefinite-length string has parts of another type at offset 0'],
    ['bf0102', 'cut off'],
    ['bf01ff', '0xff is not a supported value at offset 2'],
    ['bf01020103ff', 'the key 1 appears twice at offset 3'],
    ['1f', 'a length is indefinite or reserved'],
    ['ff', '0xff is not a supported value'],
    ['9fff00', '1 byte left over at offset 2'],
    ['9f9f9f9f9f9f9f9f9f9fffffffffffffffffffff', 'more than 8 levels'],
  ])('refuses %s', (hex, problem) => {
    expect(refusal(() => decodeIndefiniteCbor(fromHex(hex)))).toContain(problem);
  });
});
