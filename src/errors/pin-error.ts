import { KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';

/**
 * Thrown if a PIN is wrong (`pin-wrong`), or was not tried because too few tries are left (`pin-last-try`,
 * `key-locked`).
 */
export class PinError extends KeyprovError {
  declare readonly code: 'key-locked' | 'pin-wrong' | 'pin-last-try';
  /** How many wrong PINs are left before the lockout; undefined if tries are not counted. */
  readonly triesLeft: number | undefined;
  /** Seconds until one more try is available; undefined if unknown. */
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
