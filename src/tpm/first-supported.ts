import { isTpmError, TpmError } from '../errors/tpm-error.ts';
import { TPM_RC } from './tpm-rc.ts';

/** Names of the response codes for an unsupported algorithm, size or curve. */
export const UNSUPPORTED = [
  'ASYMMETRIC',
  'CURVE',
  'HASH',
  'KDF',
  'KEY_SIZE',
  'MODE',
  'SCHEME',
  'SYMMETRIC',
  'TYPE',
  'VALUE',
] as const;

/** Tells whether the TPM refused a command because it does not support an algorithm, size or curve in it. */
export function isUnsupported(error: unknown): error is TpmError {
  return isTpmError(error) && UNSUPPORTED.some((name) => TPM_RC[name] === error.responseCode.base);
}

/**
 * Returns what `make` makes of the first candidate that the TPM supports: for keys whose algorithm is ours to choose.
 * Chips after CNSA refuse P-256, RSA 2048 and AES-128; for other TPMs this costs no extra command.
 * @throws TpmError `tpm-response`, with the first refusal, if it supports none of them.
 */
export async function firstSupported<C, T>(
  what: string,
  candidates: readonly C[],
  make: (candidate: C) => Promise<T>,
): Promise<T> {
  const [only, ...others] = candidates;
  if (only !== undefined && others.length === 0) return await make(only);
  let cause: unknown;
  for (const candidate of candidates) {
    try {
      return await make(candidate);
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      cause ??= error;
    }
  }
  const refusal = isTpmError(cause) ? cause : undefined;
  throw new TpmError('tpm-response', `the TPM cannot make the ${what}: it supports none of ${candidates.join(', ')}`, {
    ...{ cause, command: refusal?.command, responseCode: refusal?.responseCode },
    remedy: 'use a TPM that supports one of these',
  });
}
