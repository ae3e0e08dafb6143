import type { KeyprovError } from '../errors.ts';
import type { CodecError } from './codec-error.ts';
import type { MfaError } from './mfa-error.ts';
import type { PinError } from './pin-error.ts';
import type { PinRefusedError } from './pin-refused-error.ts';
import type { PolicyError } from './policy-error.ts';
import type { SelectionError } from './selection-error.ts';
import type { ServiceError } from './service-error.ts';
import type { TpmError } from './tpm-error.ts';

/**
 * Every code that an error of this library can carry, with its class. Callers switch on `code`, never on text.
 * The table with causes and remedies is `docs/errors.md`.
 */
export interface ErrorByCode {
  // settings and arguments
  readonly 'policy-invalid': PolicyError;
  readonly 'address-invalid': KeyprovError;
  // reaching a TPM
  readonly 'library-missing': KeyprovError;
  readonly 'library-unsuitable': KeyprovError;
  readonly 'transport-unreachable': KeyprovError;
  readonly 'transport-permission': KeyprovError;
  readonly 'transport-busy': KeyprovError;
  readonly 'transport-timeout': KeyprovError;
  readonly 'transport-lost': KeyprovError;
  readonly 'transport-protocol': KeyprovError;
  readonly 'transport-closed': KeyprovError;
  readonly 'no-tpm': KeyprovError;
  // state of a virtual TPM
  readonly 'state-invalid': KeyprovError;
  readonly 'state-in-use': KeyprovError;
  readonly 'state-io': KeyprovError;
  // bytes
  readonly codec: CodecError;
  // answers of a TPM
  readonly 'tpm-response': TpmError;
  readonly 'tpm-auth-failed': TpmError;
  readonly 'tpm-lockout': TpmError;
  readonly 'tpm-out-of-memory': TpmError;
  readonly 'tpm-failure-mode': TpmError;
  readonly 'tpm-canceled': TpmError;
  readonly 'tpm-retry-exhausted': TpmError;
  readonly 'tpm-unsupported': TpmError;
  readonly 'tpm-session': KeyprovError;
  readonly 'tpm-identity-changed': KeyprovError;
  readonly 'tpm-cleared': KeyprovError;
  readonly 'tpm-replaced': KeyprovError;
  readonly 'tpm-rolled-back': KeyprovError;
  readonly 'tpm-command-blocked': TpmError;
  // recorder
  readonly 'replay-mismatch': KeyprovError;
  readonly 'recording-invalid': KeyprovError;
  // keys
  readonly 'hardware-required': SelectionError;
  readonly 'tpm-unavailable': SelectionError;
  readonly 'no-key-provider': SelectionError;
  readonly 'downgrade-refused': SelectionError;
  readonly 'algorithm-unsupported': SelectionError;
  readonly 'attestation-unavailable': SelectionError;
  readonly 'key-invalid': KeyprovError;
  readonly 'key-not-found': KeyprovError;
  readonly 'key-ambiguous': KeyprovError;
  readonly 'key-exists': KeyprovError;
  readonly 'key-locked': PinError;
  readonly 'pin-required': KeyprovError;
  readonly 'pin-refused': PinRefusedError;
  readonly 'pin-wrong': PinError;
  readonly 'pin-last-try': PinError;
  readonly 'store-invalid': KeyprovError;
  readonly 'store-busy': KeyprovError;
  readonly 'store-io': KeyprovError;
  readonly 'not-private': KeyprovError;
  // attestation and requests
  readonly 'statement-invalid': KeyprovError;
  readonly 'certificate-invalid': KeyprovError;
  readonly 'credential-invalid': KeyprovError;
  readonly 'request-invalid': KeyprovError;
  // services reached over a network
  readonly 'service-untrusted': ServiceError;
  readonly 'service-unreachable': ServiceError;
  readonly 'service-timeout': ServiceError;
  readonly 'service-refused': ServiceError;
  readonly 'service-answer': ServiceError;
  // provisioning
  readonly 'mfa-failed': MfaError;
  readonly 'mfa-timeout': MfaError;
  readonly 'mfa-stale': MfaError;
  readonly 'token-invalid': MfaError;
  readonly 'recovery-unavailable': KeyprovError;
  readonly 'journal-invalid': KeyprovError;
  readonly 'run-active': KeyprovError;
}

/** The code of an error of this library. */
export type ErrorCode = keyof ErrorByCode;

/** The codes whose errors have no members of their own. */
export type PlainErrorCode = {
  [Code in ErrorCode]: KeyprovError extends ErrorByCode[Code] ? Code : never;
}[ErrorCode];

/** The error of a code, or of any of several codes: a union that `switch (error.code)` narrows. */
export type ErrorOf<Code extends ErrorCode = ErrorCode> = Code extends ErrorCode
  ? ErrorByCode[Code] & { readonly code: Code }
  : never;
