import { SelectionError } from '../../errors/selection-error.ts';
import { ServiceError } from '../../errors/service-error.ts';
import { type ErrorCode, KeyprovError } from '../../errors.ts';
import { PASSWORDS } from '../options/password-names.ts';

/** What the user can type when the remedy of the library speaks to programs. */
const WAYS_ON: Partial<Record<ErrorCode, string>> = {
  'no-tpm': 'give the address of its TPM as --tpm; keyprov doctor says which TPMs can be opened',
  'tpm-identity-changed': 'give the address of its TPM as --tpm',
  'pin-last-try': 'give --force to make this try all the same',
  'tpm-lockout': 'keyprov tpm --reset-lockout ends it, with the password of the lockout hierarchy if it has one',
  'tpm-unavailable': 'where policy allows software, --fall-back any makes a key there now',
  'downgrade-refused': 'give --allow-downgrade to let software take over',
  'key-ambiguous': 'name one with --key, or with --user and --device-id; keyprov status lists them',
};

/** When a key is to be made and there is no TPM. */
const WITHOUT_TPM =
  'name a TPM with --tpm (--tpm libtpms is a virtual one in this process), start one with keyprov sim -- COMMAND, or ' +
  'run keyprov doctor to see what is missing';

/** The way on for the user of a command; undefined where the message says all there is. */
export function wayOn(error: unknown): string | undefined {
  if (!(error instanceof KeyprovError)) return undefined;
  if (error instanceof ServiceError && error.details?.code === 'AttestationFailed') {
    return 'have the attestation key certified with --attestation-ca, or send no attestation with --profile strict';
  }
  const isWithoutTpm = error instanceof SelectionError && codesOf(error).some((code) => code === 'no-tpm');
  return isWithoutTpm ? WITHOUT_TPM : WAYS_ON[error.code];
}

/** The codes of an error and of what led to it. */
function codesOf(error: SelectionError): unknown[] {
  const codes: unknown[] = error.attempts.map(({ code }) => code);
  for (let at: unknown = error; at instanceof KeyprovError; at = at.cause) codes.push(at.code);
  return codes;
}

/** A message of the library with the options of the command line for the members that it names. */
export function inOptions(text: string): string {
  return PASSWORDS.reduce(
    (said, [option, member]) => said.replaceAll(`hierarchyAuth.${member}`, `--tpm-auth ${option}=FILE`),
    text,
  );
}
