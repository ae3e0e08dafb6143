import { KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';

/** A PIN was wrong (`pin-wrong`), or was not tried because too few tries are left (`pin-last-try`, `key-locked`). */
export class PinError extends KeyprovError {
  declare readonly code: 'key-locked' | 'pin-wrong' | 'pin-last-try';
  /** Wrong PINs that can still be given before the lockout; undefined where nothing counts them. */
  readonly triesLeft: number | undefined;
  /** Seconds after which one more try is given back; undefined where that is not known. */
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
