import { KeyprovError } from '../../errors.ts';

/** The error for a library that may be there but that the system cannot load: not a reason to do without a TPM. */
export function cannotLoad(address: string, what: string, cause: Error): KeyprovError {
  return new KeyprovError('transport-unreachable', `${address}: ${what} cannot be loaded: ${cause.message}`, {
    cause,
    remedy: 'repair that, then try again',
  });
}
