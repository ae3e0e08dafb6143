import { type ErrorCode, KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';

/** Why a place for keys was left out: the code of an error, or of a rule that does not stop the caller by itself. */
export type AttemptCode = ErrorCode | 'virtual-tpm-refused';

/** One way to a key that was tried or left out. */
export interface Attempt {
  readonly backend: 'tpm' | 'software';
  /** `used`: it made the key. `failed`: it was tried and failed. `passed-over`: it was not tried. */
  readonly outcome: 'used' | 'failed' | 'passed-over';
  /** Why, for machines: the code of its error, or of the rule that left it out. */
  readonly code?: AttemptCode;
  /** Why, for people: one sentence. */
  readonly reason: string;
}

/** Why policy passes a TPM over. It becomes a `cause` and the code of an attempt; callers never see it thrown. */
export class PassedOver extends Error {
  readonly code = 'virtual-tpm-refused';
}

/** Thrown if the key that policy and caller want, or its attestation, cannot be made. */
export class SelectionError extends KeyprovError {
  declare readonly code:
    | 'hardware-required'
    | 'tpm-unavailable'
    | 'no-key-provider'
    | 'downgrade-refused'
    | 'algorithm-unsupported'
    | 'attestation-unavailable';
  /** What was tried, and why it failed or was left out; empty if nothing was tried. */
  readonly attempts: readonly Attempt[];
  /** Seconds after which the TPM may be usable again; undefined if unknown. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: SelectionError['code'],
    message: string,
    attempts: readonly Attempt[],
    options: KeyprovErrorOptions & Partial<Pick<SelectionError, 'retryAfterSeconds'>> = {},
  ) {
    super(code, message, options, SUBCLASS);
    this.attempts = attempts;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}
