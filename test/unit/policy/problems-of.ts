import { PolicyError, type PolicyProblem } from '../../../src/policy/index.ts';

/** What is wrong with the policy that `make` makes; fails when nothing is. */
export function problemsOf(make: () => unknown): readonly PolicyProblem[] {
  try {
    make();
  } catch (error) {
    if (error instanceof PolicyError) return error.problems;
    throw error;
  }
  throw new Error('the policy was accepted');
}
