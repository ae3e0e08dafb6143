import { type ErrorCode, KeyprovError } from '../../errors.ts';

const NO_TPM =
  'name a TPM with --tpm (--tpm libtpms is a virtual one in this process), start one with keyprov sim -- COMMAND, or ' +
  'run keyprov doctor to see what is missing';

/** What the user can type when the remedy of the library speaks to programs. */
const WAYS_ON: Partial<Record<ErrorCode, string>> = {
  'no-tpm': NO_TPM,
  'pin-last-try': 'give --force to make this try all the same',
  'tpm-unavailable': 'where policy allows software, --fall-back any makes a key there now',
  'downgrade-refused': 'give --allow-downgrade to let software take over',
};

/** The way on for the user of a command; undefined where the message says all there is. */
export function wayOn(error: unknown): string | undefined {
  for (let at = error; at instanceof KeyprovError; at = at.cause) {
    const way = WAYS_ON[at.code];
    if (way !== undefined) return way;
  }
  return undefined;
}
