import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../../src/bytes.ts';
import {
  bytes16,
  type Codec,
  CodecError,
  decode,
  encode,
  list,
  sized,
  sizedOptional,
  struct,
  tagged,
  unsigned,
} from '../../../../src/tpm/codec/index.ts';
import { TPM_ALG } from '../../../../src/tpm/constants.ts';
import { TPM2B_PUBLIC } from '../../../../src/tpm/structures/object.ts';
import { akTemplate } from '../../../../src/tpm/templates.ts';
import { checkCodec } from '../../../check-codec.ts';

const BYTE = unsigned('BYTE', 1);
const WORD = unsigned('WORD', 2);

/** The path of the codec error that `work` throws. */
function pathOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof CodecError) return error.path;
    throw error;
  }
  return 'no error';
}

interface Pair {
  first: number;
  second: number;
}
const PAIR: Codec<Pair> = struct('PAIR', { first: BYTE, second: WORD });

describe('struct', () => {
  it('has its fields in the order of the codec, not of the value', () => {
    checkCodec(PAIR, { second: 0x0203, first: 1 }, '010203');
  });

  it('names the field that is missing or wrong', () => {
    expect(pathOf(() => encode(PAIR, { first: 1 } as Pair))).toBe('PAIR.second.WORD');
    expect(pathOf(() => encode(PAIR, { first: 1, second: 70000 }))).toBe('PAIR.second.WORD');
    expect(pathOf(() => encode(PAIR, null as never))).toBe('PAIR');
    expect(pathOf(() => decode(PAIR, fromHex('0102')))).toBe('PAIR.second.WORD');
  });
});

type Variant = { before: number; kind: 1; head: number; a: number } | { before: number; kind: 2; head: number };
const VARIANT: Codec<Variant> = tagged(
  'VARIANT',
  ['kind', 'KIND'],
  { 1: { a: WORD }, 2: {} },
  { before: { before: BYTE }, head: { head: BYTE } },
);

describe('tagged', () => {
  it("has the fields before the tag, the tag, the common fields and its own case's fields", () => {
    checkCodec(VARIANT, { before: 9, kind: 1, head: 8, a: 7 }, '090001080007');
    checkCodec(VARIANT, { before: 9, kind: 2, head: 8 }, '09000208');
  });

  it('refuses a tag that it does not know', () => {
    expect(pathOf(() => decode(VARIANT, fromHex('090003080007')))).toBe('VARIANT.kind.KIND');
    expect(pathOf(() => encode(VARIANT, { before: 9, kind: 3, head: 8 } as never))).toBe('VARIANT.kind');
    expect(pathOf(() => encode(VARIANT, { before: 9, head: 8 } as never))).toBe('VARIANT.kind');
  });
});

describe('sized', () => {
  const SIZED = sized('TPM2B_PAIR', PAIR);

  it('has the length of the structure before it', () => {
    checkCodec(SIZED, { first: 1, second: 2 }, '0003010002');
  });

  it('contains exactly one structure: bytes between its end and the announced end are an error', () => {
    expect(() => decode(SIZED, fromHex('000401000200'))).toThrow('TPM2B_PAIR.PAIR: 1 byte left over at offset 5');
  });

  it('never reads past the announced end into what follows', () => {
    const outer = struct<{ pair: Pair; next: number }>('OUTER', { pair: SIZED, next: WORD });
    expect(pathOf(() => decode(outer, fromHex('00020100020000')))).toBe('OUTER.pair.TPM2B_PAIR.PAIR.second.WORD');
  });

  it('refuses an announced length that the bytes do not have', () => {
    expect(() => decode(SIZED, fromHex('00040100'))).toThrow('TPM2B_PAIR: 4 bytes announced, 2 left');
  });

  it('may be empty only if that is allowed', () => {
    expect(pathOf(() => decode(SIZED, fromHex('0000')))).toBe('TPM2B_PAIR.PAIR.first.BYTE');
    checkCodec(sizedOptional('TPM2B_PAIR', PAIR), null, '0000');
    checkCodec(sizedOptional('TPM2B_PAIR', PAIR), { first: 1, second: 2 }, '0003010002');
  });
});

describe('list', () => {
  const LIST = list('TPML_PAIR', PAIR, 2);

  it('has the number of items before them', () => {
    checkCodec(LIST, [{ first: 1, second: 2 }], '00000001010002');
    checkCodec(LIST, [], '00000000');
  });

  it('refuses more items than allowed before it reads them', () => {
    expect(() => decode(LIST, fromHex('ffffffff'))).toThrow('TPML_PAIR: 4294967295 items; at most 2 are allowed');
    expect(() => encode(LIST, Array(3).fill({ first: 1, second: 1 }))).toThrow('3 items; at most 2 are allowed');
  });

  it('names the item that is wrong', () => {
    expect(
      pathOf(() =>
        encode(LIST, [
          { first: 1, second: 1 },
          { first: 256, second: 1 },
        ]),
      ),
    ).toBe('TPML_PAIR[1].PAIR.first.BYTE');
    expect(pathOf(() => encode(LIST, {} as never))).toBe('TPML_PAIR');
  });
});

describe('encode', () => {
  it('grows beyond the first block of memory without losing a byte', () => {
    const long = list('TPML_LONG', bytes16('TPM2B_LONG', 1000), 4);
    const value = [1, 2, 3].map((fill) => new Uint8Array(1000).fill(fill));
    const bytes = encode(long, value);
    expect(bytes.length).toBe(4 + 3 * 1002);
    expect(decode(long, bytes)).toStrictEqual(value);
  });
});

describe('a codec error', () => {
  it('has the full path from the outermost structure', () => {
    const template = akTemplate('rsa-2048');
    const wrong = { ...template, parameters: { ...template.parameters, keyBits: 2 ** 16 } };
    expect(pathOf(() => encode(TPM2B_PUBLIC, wrong as never))).toBe(
      'TPM2B_PUBLIC.TPMT_PUBLIC.parameters.TPMS_RSA_PARMS.keyBits.UINT16',
    );
    const bytes = encode(TPM2B_PUBLIC, template);
    expect(toHex(bytes.subarray(14, 16))).toBe('0014');
    bytes[15] = TPM_ALG.ECDSA;
    expect(pathOf(() => decode(TPM2B_PUBLIC, bytes))).toMatch(
      /^TPM2B_PUBLIC\.TPMT_PUBLIC\.parameters\.TPMS_RSA_PARMS\.scheme\./,
    );
  });
});
