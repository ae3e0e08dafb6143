import { expect } from 'vitest';
import { KeyprovError } from '../../../src/errors.ts';

/** The error of this library that `work` is rejected with; if it never is, the time-out of the test ends the wait. */
export async function failureOf(work: Promise<unknown>): Promise<KeyprovError> {
  const error = await work.then(
    () => expect.fail('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof KeyprovError)) throw error;
  return error;
}
