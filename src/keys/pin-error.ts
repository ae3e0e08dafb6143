import { type ErrorCode, KeyprovError, type KeyprovErrorOptions } from '../errors.ts';

/** What a {@link PinError} knows beyond its code. */
export interface PinErrorDetails extends KeyprovErrorOptions {
  readonly triesLeft?: number;
  readonly retryAfterSeconds?: number;
}

/** A PIN was wrong (`pin-wrong`), or was not tried because too few tries are left (`pin-last-try`, `tpm-lockout`, `key-locked`). */
export class PinError extends KeyprovError {
  /** Wrong PINs that can still be given before the lockout; absent where nothing counts them. */
  readonly triesLeft: number | undefined;
  /** Seconds after which one more try is given back; absent where that is not known. */
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, { triesLeft, retryAfterSeconds, ...options }: PinErrorDetails = {}) {
    super(code, message, options);
    this.triesLeft = triesLeft;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
