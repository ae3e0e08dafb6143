import { type ErrorCode, KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';

/** Why a provider was not used: an error code, or the code of a rule that passes over a provider without an error. */
export type AttemptCode = ErrorCode | 'virtual-tpm-refused';

/** One way to make the key that was tried or passed over. */
export interface Attempt {
  readonly backend: 'tpm' | 'software';
  /** `used`: it made the key. `failed`: it was tried, and failed or was refused. `passed-over`: it was not tried. */
  readonly outcome: 'used' | 'failed' | 'passed-over';
  /** Why, for programs: the code of its error, or of the rule that passed it over. */
  readonly code?: AttemptCode;
  /** Why, for people: one sentence. */
  readonly reason: string;
}

/** Why policy passes a TPM over. It becomes a `cause` and the code of an attempt; callers never see it thrown. */
export class PassedOver extends Error {
  readonly code = 'virtual-tpm-refused';
}

/** Thrown if the key that the policy and the caller require, or its attestation, cannot be made. */
export class SelectionError extends KeyprovError {
  declare readonly code:
    | 'hardware-required'
    | 'tpm-unavailable'
    | 'no-key-provider'
    | 'downgrade-refused'
    | 'algorithm-unsupported'
    | 'attestation-unavailable';
  /** What was tried, and why it failed or was passed over; empty if nothing was tried. */
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
