import { expect } from 'vitest';
import { KeyprovError } from '../../../src/errors.ts';

/** What `work` rejects with. If it never rejects, the test's time limit ends the wait. */
export const errorOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => expect.fail('nothing was thrown'),
    (thrown: unknown) => thrown,
  );

/** {@link errorOf} for a keyprov error; any other is thrown. */
export async function failureOf(work: Promise<unknown>): Promise<KeyprovError> {
  const error = await errorOf(work);
  if (!(error instanceof KeyprovError)) throw error;
  return error;
}
