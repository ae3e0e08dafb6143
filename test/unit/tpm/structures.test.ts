import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../../src/bytes.ts';
import { CodecError, decode, encode } from '../../../src/tpm/codec/index.ts';
import { TPMS_ID_OBJECT } from '../../../src/tpm/structures/object.ts';
import { arbitrary, isOpenEnded, outcome, spoiled } from '../../arbitrary.ts';
import { checkCodec, expectCutsRefused } from '../../check-codec.ts';
import { vectors } from '../../structure-vectors.ts';
import { fromJson, STRUCTURES, structure } from '../../structures.ts';

describe.each([...STRUCTURES.keys()])('%s', (name) => {
  const codec = structure(name);
  const golden = vectors.filter((vector) => vector.codec === name);

  it('has a golden vector', () => {
    expect(golden.length).toBeGreaterThan(0);
  });

  it('writes and reads exactly the bytes of its golden vectors', () => {
    for (const { value, hex } of golden) checkCodec(codec, fromJson(codec, value), hex);
  });

  // A few runs here, many in test/fuzz/codec.test.ts.
  it('decodes its own output, and nothing shorter', () => {
    fc.assert(
      fc.property(arbitrary(codec), (value) => {
        const bytes = encode(codec, value);
        expect(decode(codec, bytes)).toStrictEqual(value);
        if (!isOpenEnded(codec) && bytes.length < 400) expectCutsRefused(codec, bytes);
      }),
      { numRuns: 10 },
    );
  });

  it('refuses changed bytes or encodes them again as they were', () => {
    fc.assert(
      fc.property(spoiled(codec), (bytes) => {
        const result = outcome(codec, bytes);
        if ('error' in result) expect(result.error).toBeInstanceOf(CodecError);
        else expect(toHex(encode(codec, result.value))).toBe(toHex(bytes));
      }),
      { numRuns: 20 },
    );
  });
});

describe('the golden vectors', () => {
  it('have a vector for every case of every structure with a tag', () => {
    const missing = [...STRUCTURES].flatMap(([name, { shape }]) => {
      if (shape.kind !== 'tagged') return [];
      const seen = new Set(
        vectors.flatMap(({ codec, value }) => (codec === name ? [(value as Record<string, unknown>)[shape.tag]] : [])),
      );
      return [...shape.cases.keys()].filter((tag) => !seen.has(tag)).map((tag) => `${name} 0x${tag.toString(16)}`);
    });
    expect(missing).toEqual([]);
  });

  it('are of structures that exist', () => {
    expect(vectors.map(({ codec }) => codec).filter((codec) => !STRUCTURES.has(codec))).toEqual([]);
  });
});

describe('TPMS_ID_OBJECT', () => {
  it('takes all bytes after the integrity value as the encrypted identity, at most a TPM2B_DIGEST of 64 bytes', () => {
    const bytes = (length: number) =>
      encode(TPMS_ID_OBJECT, { integrityHMAC: new Uint8Array(1), encIdentity: new Uint8Array(length) });
    expect(decode(TPMS_ID_OBJECT, bytes(66)).encIdentity.length).toBe(66);
    expect(() => bytes(67)).toThrow(CodecError);
    const tooLong = outcome(TPMS_ID_OBJECT, new Uint8Array([0, 0, ...new Uint8Array(67)]));
    expect(tooLong).toEqual({ error: expect.any(CodecError) });
  });

  it('needs its complete integrity value', () => {
    for (const bytes of [[], [0], [0, 2], [0, 2, 1]]) {
      expect(outcome(TPMS_ID_OBJECT, new Uint8Array(bytes))).toEqual({ error: expect.any(CodecError) });
    }
  });
});
