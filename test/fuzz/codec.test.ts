import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/bytes.ts';
import { type Codec, CodecError, decode, encode } from '../../src/tpm/codec/index.ts';
import { arbitrary, isOpenEnded, outcome, spoiled } from '../arbitrary.ts';
import { expectCutsRefused } from '../check-codec.ts';
import { STRUCTURES } from '../structures.ts';

/** With 99 structures about ten seconds in all. */
const RUNS = 300;
/** Cutting costs the square of the length. */
const LONGEST_CUT = 700;

function expectErrorOrSameBytes(codec: Codec<unknown>, bytes: Uint8Array): void {
  const result = outcome(codec, bytes);
  if ('error' in result) expect(result.error).toBeInstanceOf(CodecError);
  else expect(toHex(encode(codec, result.value))).toBe(toHex(bytes));
}

describe.each([...STRUCTURES])('%s', (_, codec) => {
  it('decodes its own output, and nothing shorter', () => {
    fc.assert(
      fc.property(arbitrary(codec), (value) => {
        const bytes = encode(codec, value);
        expect(decode(codec, bytes)).toStrictEqual(value);
        if (!isOpenEnded(codec) && bytes.length <= LONGEST_CUT) expectCutsRefused(codec, bytes);
      }),
      { numRuns: RUNS },
    );
  });

  it('refuses changed bytes or encodes them again as they were', () => {
    fc.assert(
      fc.property(spoiled(codec), (bytes) => expectErrorOrSameBytes(codec, bytes)),
      { numRuns: 2 * RUNS },
    );
  });

  it('refuses random bytes or encodes them again as they were', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => expectErrorOrSameBytes(codec, bytes)),
      { numRuns: RUNS },
    );
  });
});
