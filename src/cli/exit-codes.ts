import { constants } from 'node:os';
import { type ErrorCode, isKeyprovError } from '../errors.ts';
import { UsageError } from './options/arguments.ts';

/** The exit codes of `keyprov`. After a signal the code is 128 + the number of the signal: 130 after Ctrl-C. */
export const EXIT = {
  done: 0,
  unexpected: 1,
  usage: 2,
  policy: 3,
  unreachable: 4,
  pin: 5,
  refused: 6,
  files: 7,
  unverified: 8,
  unreadable: 9,
  pending: 10,
  blocked: 11,
  mfa: 12,
  service: 13,
  overdue: 14,
} as const;

/** The same for people: each code, two spaces, and its meaning. */
export const EXIT_CODES = `  0  success
  1  unexpected error; the user did not confirm; doctor: there is no usable TPM, not counting emulators that neither --tpm nor KEYPROV_TPM names
  2  wrong arguments, policy file or TPM address; a request that does not fit the key
  3  the policy does not allow the key
  4  the TPM, its state or its library cannot be reached or used
  5  the PIN is missing or wrong, does not meet the rules, must be changed, or cannot be recovered; or the TPM or software key is locked
  6  the TPM refused a command, or is not the one in the record
  7  a file or key is missing, damaged, in use, already there, or cannot be read or written; several keys match
  8  the statement or a certificate does not verify
  9  inspect: the file is damaged, or has an unknown or unexpected format
  10  not finished: run the command again, or wait for the synchronization
  11  a prerequisite is not met; nothing was done
  12  the multi-factor authentication failed or took too long
  13  a service cannot be reached or trusted, refuses, or gives an invalid response
  14  sync-status: the key should be in the directory by now, but is not
  128 + N  after signal N (130 after Ctrl-C); sim: the exit code of its command`;

/** The first rule that matches the code of an error decides. */
const RULES: readonly (readonly [codes: RegExp, exit: number])[] = [
  [/^(policy-invalid|address-invalid|request-invalid)$/, EXIT.usage],
  [/^(hardware-required|no-key-provider|downgrade-refused|algorithm-unsupported)$/, EXIT.policy],
  [/^attestation-unavailable$/, EXIT.policy],
  [/^(pin-.*|key-locked|tpm-lockout|recovery-unavailable)$/, EXIT.pin],
  [/^(transport-.*|library-.*|state-.*|no-tpm|tpm-unavailable)$/, EXIT.unreachable],
  [/^(tpm-.*|codec)$/, EXIT.refused],
  [/^(store-.*|not-private|key-.*|statement-invalid|certificate-invalid|journal-invalid|run-active)$/, EXIT.files],
  [/^(mfa-.*|token-invalid)$/, EXIT.mfa],
  [/^(service-.*|credential-invalid)$/, EXIT.service],
];

/** The exit code for an error that a command threw. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  const code: ErrorCode | '' = isKeyprovError(error) ? error.code : '';
  return RULES.find(([codes]) => codes.test(code))?.[1] ?? EXIT.unexpected;
}

/** The code that shells report for a program that a signal ended. */
export function exitCodeOfSignal(name: NodeJS.Signals): number {
  return 128 + constants.signals[name];
}
