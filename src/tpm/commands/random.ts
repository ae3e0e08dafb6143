import { bytes16 } from '../codec/index.ts';
import { type Command, command } from '../command.ts';
import { TPM2B_DIGEST, UINT16 } from '../structures/base.ts';

/** Returns up to 64 random bytes; the TPM may give fewer than requested. TPM2_GetRandom, Part 3, 16.1. */
export const GetRandom: Command<{ bytesRequested: number }, { randomBytes: Uint8Array }> = command('GetRandom', {
  parameters: { bytesRequested: UINT16 },
  answer: { randomBytes: TPM2B_DIGEST },
});

/** Adds up to 128 bytes to the state of the random number generator. TPM2_StirRandom, Part 3, 16.2. */
export const StirRandom: Command<{ inData: Uint8Array }, object> = command('StirRandom', {
  parameters: { inData: bytes16('TPM2B_SENSITIVE_DATA', 128, { secret: true }) },
});
