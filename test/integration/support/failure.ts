import { expect } from 'vitest';
import { KeyprovError } from '../../../src/errors.ts';

/** The error that `work` is rejected with, which must come within a second. */
export async function quickFailure(work: Promise<unknown>): Promise<KeyprovError> {
  const start = performance.now();
  const error = await work.then(
    () => expect.fail('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof KeyprovError)) throw error;
  expect(performance.now() - start).toBeLessThan(1_000);
  return error;
}
