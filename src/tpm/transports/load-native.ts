import { KeyprovError } from '../../errors.ts';
import { passingFailure } from '../../storage/load-failure.ts';

/** The error for a library that may be there but that the system cannot load: not a reason to do without a TPM. */
export function cannotLoad(address: string, what: string, cause: Error): KeyprovError {
  return new KeyprovError('transport-unreachable', `${address}: ${what} cannot be loaded: ${cause.message}`, {
    cause,
    remedy: 'fix the cause, then try again',
  });
}

/**
 * Loads code that calls native libraries, and with it the package koffi.
 * @throws KeyprovError `library-missing` if koffi, or its binary for this platform, is not there.
 */
export async function loadNative<T>(address: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const what = 'the package koffi, which calls native libraries,';
    const passing = passingFailure(cause);
    if (passing !== undefined) throw cannotLoad(address, what, passing);
    throw new KeyprovError('library-missing', `${address}: ${what} cannot be loaded`, {
      cause,
      remedy:
        'install koffi with its optional dependencies (npm without --omit=optional); ' +
        'if you bundle the program, mark koffi as external and install it next to the bundle',
    });
  }
}
