import { isTpmError, TpmError } from '../errors/tpm-error.ts';
import { TPM_RC } from './tpm-rc.ts';

/** Codes with which a TPM says that it does not know an algorithm, a size or a curve. */
const UNSUPPORTED: ReadonlySet<number> = new Set<number>([
  TPM_RC.ASYMMETRIC,
  TPM_RC.CURVE,
  TPM_RC.HASH,
  TPM_RC.KDF,
  TPM_RC.KEY_SIZE,
  TPM_RC.MODE,
  TPM_RC.SCHEME,
  TPM_RC.SYMMETRIC,
  TPM_RC.TYPE,
  TPM_RC.VALUE,
]);

/** Whether the TPM has refused a command since it does not know an algorithm, a size or a curve in it. */
export function isUnsupported(error: unknown): boolean {
  return isTpmError(error) && UNSUPPORTED.has(error.responseCode.base);
}

/**
 * What `make` makes of the first candidate that the TPM knows: for keys whose algorithm is ours to choose. Chips after CNSA
 * refuse P-256, RSA 2048 and AES-128; no command is needed to ask all others.
 * @throws TpmError `tpm-response`, with the first refusal, if it knows none of them.
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
  throw new TpmError('tpm-response', `the TPM makes no ${what}: it knows none of ${candidates.join(', ')}`, {
    ...{ cause, command: refusal?.command, responseCode: refusal?.responseCode },
    remedy: 'keyprov needs a TPM that makes one of these keys',
  });
}
