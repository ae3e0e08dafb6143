import { KeyprovError, sayError } from '../src/errors.ts';

/** The error that `work` throws, as `code: message; remedy`; 'nothing thrown' where it throws none, the name of a foreign one. */
export function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return describeError(error);
  }
  return 'nothing thrown';
}

/** {@link refusal} for what returns a promise. */
export async function asyncRefusal(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
  } catch (error) {
    return describeError(error);
  }
  return 'nothing thrown';
}

function describeError(error: unknown): string {
  return error instanceof KeyprovError ? `${error.code}: ${sayError(error)}` : `foreign: ${error}`;
}
