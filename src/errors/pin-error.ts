import { KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';

/** Thrown for a wrong PIN (`pin-wrong`), or one not tried as too few tries are left (`pin-last-try`, `key-locked`). */
export class PinError extends KeyprovError {
  declare readonly code: 'key-locked' | 'pin-wrong' | 'pin-last-try';
  /** Wrong PINs left before the lockout; undefined if nothing counts them. */
  readonly triesLeft: number | undefined;
  /** Seconds until one more try is given back; undefined if unknown. */
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: PinError['code'],
    message: string,
    options: KeyprovErrorOptions & Partial<Pick<PinError, 'triesLeft' | 'retryAfterSeconds'>> = {},
  ) {
    super(code, message, options, SUBCLASS);
    this.triesLeft = options.triesLeft;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}
