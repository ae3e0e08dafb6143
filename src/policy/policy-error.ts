import { KeyprovError } from '../errors.ts';

/** One wrong setting of a policy. */
export interface PolicyProblem {
  /** The name as it was written; `policy` for the policy as a whole. */
  readonly setting: string;
  /** What is wrong with it. */
  readonly problem: string;
  /** What would be right. */
  readonly expected: string;
}

/** Thrown for a policy with wrong settings; it names all of them. `code` is `policy-invalid`. */
export class PolicyError extends KeyprovError {
  /** Every wrong setting, in the order in which they were found; never empty. */
  readonly problems: readonly PolicyProblem[];

  constructor(problems: readonly PolicyProblem[], options: { readonly cause?: unknown } = {}) {
    const lines = problems.map(({ setting, problem, expected }) => `${setting}: ${problem} (expected: ${expected})`);
    super('policy-invalid', `the policy is wrong: ${lines.join('; ')}`, options);
    this.problems = Object.freeze([...problems]);
  }
}
