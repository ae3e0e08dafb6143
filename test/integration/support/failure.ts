import { expect } from 'vitest';
import { KeyprovError } from '../../../src/errors.ts';

/** Openings give up after 0.75 s; a busy machine may need some more to say so, but nobody waits for the system's own limits. */
const LIMIT_MS = 5_000;

/** The error that `work` is rejected with, soon. */
export async function quickFailure(work: Promise<unknown>): Promise<KeyprovError> {
  const start = performance.now();
  const error = await work.then(
    () => expect.fail('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof KeyprovError)) throw error;
  expect(performance.now() - start).toBeLessThan(LIMIT_MS);
  return error;
}
