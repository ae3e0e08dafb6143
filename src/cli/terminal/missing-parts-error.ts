import { KeyprovError, sayError } from '../../errors.ts';

/** Thrown with `library-missing` if a command needs several programs, libraries or packages that are not installed. */
export class MissingPartsError extends KeyprovError {
  /** Each missing part, and how to install it. */
  readonly problems: readonly string[];

  constructor(message: string, missing: readonly KeyprovError[]) {
    super('library-missing', message, { remedy: missing.flatMap(({ remedy }) => remedy ?? []).join('; ') });
    this.problems = missing.map(sayError);
  }
}
