/**
 * Every code that an error of this library can carry. Callers switch on `code`, never on text.
 * The table with causes and remedies is `docs/errors.md`.
 */
export type ErrorCode =
  // settings and arguments
  | 'policy-invalid'
  | 'address-invalid'
  // reaching a TPM
  | 'library-missing'
  | 'library-unsuitable'
  | 'transport-unreachable'
  | 'transport-permission'
  | 'transport-busy'
  | 'transport-timeout'
  | 'transport-lost'
  | 'transport-protocol'
  | 'transport-closed'
  | 'no-tpm'
  // state of a virtual TPM
  | 'state-invalid'
  | 'state-in-use'
  | 'state-io'
  // bytes
  | 'codec'
  // answers of a TPM
  | 'tpm-response'
  | 'tpm-auth-failed'
  | 'tpm-lockout'
  | 'tpm-out-of-memory'
  | 'tpm-failure-mode'
  | 'tpm-canceled'
  | 'tpm-retry-exhausted'
  | 'tpm-unsupported'
  | 'tpm-session'
  | 'tpm-foreign-object'
  | 'tpm-identity-changed'
  | 'tpm-cleared'
  | 'tpm-replaced'
  | 'tpm-rolled-back'
  | 'tpm-command-blocked'
  // recorder
  | 'replay-mismatch'
  | 'recording-invalid'
  // keys
  | 'hardware-required'
  | 'tpm-unavailable'
  | 'no-key-provider'
  | 'virtual-tpm-refused'
  | 'downgrade-refused'
  | 'algorithm-unsupported'
  | 'attestation-unavailable'
  | 'key-invalid'
  | 'key-not-found'
  | 'key-exists'
  | 'key-locked'
  | 'pin-required'
  | 'pin-refused'
  | 'pin-wrong'
  | 'pin-last-try'
  | 'store-invalid'
  | 'store-busy'
  | 'store-io'
  // attestation and requests
  | 'statement-invalid'
  | 'certificate-invalid'
  | 'credential-invalid'
  | 'request-invalid'
  // services reached over a network
  | 'service-untrusted'
  | 'service-unreachable'
  | 'service-timeout'
  | 'service-refused'
  | 'service-answer'
  // provisioning
  | 'mfa-failed'
  | 'mfa-timeout'
  | 'mfa-stale'
  | 'token-invalid'
  | 'recovery-unavailable'
  | 'journal-invalid'
  | 'run-active';

/** What a {@link KeyprovError} can carry besides its message. */
export interface KeyprovErrorOptions {
  /** The error that led to this one. */
  readonly cause?: unknown;
  /** What the caller or user can do about it, as one sentence. */
  readonly remedy?: string;
}

/** Base class of all errors that this library throws, wrong arguments (`TypeError`, `RangeError`) excepted. */
export class KeyprovError extends Error {
  /** Stable and made for `switch`. */
  readonly code: ErrorCode;
  /** What can be done about it, as one sentence; part of the message too. */
  readonly remedy: string | undefined;
  /** Errors met while cleaning up after this one; they never replace it. */
  readonly suppressed: unknown[] = [];

  constructor(code: ErrorCode, message: string, options: KeyprovErrorOptions = {}) {
    const { cause, remedy } = options;
    super(remedy === undefined ? message : `${message}; ${remedy}`, cause === undefined ? undefined : { cause });
    this.name = new.target.name;
    this.code = code;
    this.remedy = remedy;
  }
}

/** Tells whether `value` is an error of this library, and if `code` is given, one with that code. */
export function isKeyprovError(value: unknown, code?: ErrorCode): value is KeyprovError {
  return value instanceof KeyprovError && (code === undefined || value.code === code);
}

/**
 * Runs `work`, then `cleanup` whether or not it failed. The first error wins: when both fail, the error of
 * `cleanup` is kept in `suppressed` of the first one where that is a {@link KeyprovError}.
 */
export async function withCleanup<T>(work: () => Promise<T>, cleanup: () => Promise<void>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    try {
      await cleanup();
    } catch (second) {
      if (error instanceof KeyprovError) error.suppressed.push(second);
    }
    throw error;
  }
  await cleanup();
  return result;
}
