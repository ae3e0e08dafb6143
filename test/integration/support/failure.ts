import { expect } from 'vitest';
import { KeyprovError } from '../../../src/errors.ts';

/** The keyprov error that rejects `work`. If it never rejects, the test's time limit ends the wait. */
export async function failureOf(work: Promise<unknown>): Promise<KeyprovError> {
  const error = await work.then(
    () => expect.fail('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof KeyprovError)) throw error;
  return error;
}
