import { expect } from 'vitest';
import { concat, toHex } from '../src/bytes.ts';
import { type Codec, CodecError, decode, encode } from '../src/tpm/codec/index.ts';
import { isOpenEnded, outcome } from './arbitrary.ts';

/**
 * Checks a codec against a golden vector: `value` encodes to exactly `hex`, and `hex` decodes to exactly `value`. The bytes
 * truncated at every position, and the bytes with one more, are refused with a CodecError.
 */
export function checkCodec<T>(codec: Codec<T>, value: T, hex: string): void {
  const bytes = encode(codec, value);
  expect(toHex(bytes)).toBe(hex);
  expect(decode(codec, bytes)).toStrictEqual(value);
  if (isOpenEnded(codec)) return;
  expectCutsRefused(codec, bytes);
  expect(outcome(codec, concat(bytes, new Uint8Array(1))), 'one byte more').toEqual({ error: expect.any(CodecError) });
}

/** Checks that `bytes` truncated at every position are refused with a CodecError. */
export function expectCutsRefused<T>(codec: Codec<T>, bytes: Uint8Array): void {
  for (let length = 0; length < bytes.length; length++) {
    const cut = outcome(codec, bytes.subarray(0, length));
    if (!('error' in cut && cut.error instanceof CodecError)) {
      expect.fail(`${codec.name} cut to ${length} of ${bytes.length} bytes (${toHex(bytes)}): ${String(cut)}`);
    }
  }
}
