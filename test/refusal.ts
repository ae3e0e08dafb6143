import { KeyprovError, sayError } from '../src/errors.ts';

/** The error of `work`, as `code: message; remedy`; 'nothing thrown' if there is none; the name of any other error. */
export function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return describeError(error);
  }
  return 'nothing thrown';
}

/** {@link refusal} for functions that return a promise. */
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
