import { type ErrorCode, KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';
import { printable } from '../printable.ts';

/** What can be wrong with a token for the registration of a key. */
export type TokenProblemCode =
  | 'malformed'
  | 'expired'
  | 'not-yet-valid'
  | 'audience'
  | 'device-missing'
  | 'device-other'
  | 'user-missing'
  | 'user-other'
  | 'no-mfa';

/** One reason why an authentication was not accepted. */
export interface MfaProblem {
  readonly code: ErrorCode | TokenProblemCode;
  readonly message: string;
}

/** Thrown if an authentication did not take place or is not accepted; lists every reason. */
export class MfaError extends KeyprovError {
  declare readonly code: 'mfa-failed' | 'mfa-timeout' | 'mfa-stale' | 'token-invalid';
  /** Every reason; never empty. */
  readonly problems: readonly MfaProblem[];

  constructor(code: MfaError['code'], problems: string | readonly MfaProblem[], options: KeyprovErrorOptions = {}) {
    const listed = typeof problems === 'string' ? [{ code, message: problems }] : problems;
    super(code, listed.map(({ message }) => message).join('; '), options, SUBCLASS);
    this.problems = listed.map((one) => ({ ...one, message: printable(one.message) }));
  }
}
