import { KeyprovError, SUBCLASS } from '../errors.ts';

/** Thrown for bytes that are not the expected structure, and for a value that does not fit its structure. */
export class CodecError extends KeyprovError {
  declare readonly code: 'codec';
  /** From the outermost structure to the field: `TPM2B_PUBLIC.parameters.keyBits`. */
  path: string;
  /** What is wrong there. */
  readonly problem: string;

  constructor(path: string, problem: string, options: { readonly cause?: unknown } = {}) {
    super('codec', `${path}: ${problem}`, options, SUBCLASS);
    this.path = path;
    this.problem = problem;
  }

  /** Returns the same error with `outer` put before its path. */
  within(outer: string): this {
    this.path = `${outer}.${this.path}`;
    this.message = `${this.path}: ${this.problem}`;
    return this;
  }
}
