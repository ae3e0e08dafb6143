import { PolicyError, type PolicyProblem } from '../../../src/policy/index.ts';

/** The problems of the policy that `make` returns. Fails if there are none. */
export function problemsOf(make: () => unknown): readonly PolicyProblem[] {
  try {
    make();
  } catch (error) {
    if (error instanceof PolicyError) return error.problems;
    throw error;
  }
  throw new Error('the policy was accepted');
}
