import { KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';

/** What can be wrong with a PIN. */
export type PinProblemCode =
  | 'too-short'
  | 'too-long'
  | 'uppercase-required'
  | 'uppercase-not-allowed'
  | 'lowercase-required'
  | 'lowercase-not-allowed'
  | 'special-required'
  | 'special-not-allowed'
  | 'digits-required'
  | 'digits-not-allowed'
  | 'common-pattern'
  | 'character-not-allowed'
  | 'encoding-invalid'
  | 'in-history'
  | 'confirmation-differs';

/** One reason why a PIN is refused. */
export interface PinProblem {
  readonly code: PinProblemCode;
  /** For the user, in English, worded like Windows and its policy pages; reveals nothing about the PIN. */
  readonly message: string;
}

/** Thrown for a PIN that is refused before anything is done with it. */
export class PinRefusedError extends KeyprovError {
  declare readonly code: 'pin-refused';
  /** Every reason; never empty. They reveal nothing about the PIN. */
  readonly problems: readonly PinProblem[];

  constructor(problems: readonly PinProblem[], options: KeyprovErrorOptions = {}) {
    super('pin-refused', `the PIN is refused: ${problems.map(({ message }) => message).join(' ')}`, options, SUBCLASS);
    this.problems = Object.freeze([...problems]);
  }
}
