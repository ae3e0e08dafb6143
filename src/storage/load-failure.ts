import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { errorCode } from './file-error.ts';

/**
 * Returns why the system refuses to load a module or library that may well be installed: too many open files, too
 * little memory, no right to read it. Undefined if it is not installed, or is not the expected one.
 * @param path of the library. It is opened to find the reason, as the system's loader gives it in words only.
 */
export function passingFailure(error: unknown, path?: string): Error | undefined {
  if (isPassing(error)) return error;
  if (path === undefined) return undefined;
  try {
    closeSync(openSync(path, 'r'));
    return undefined;
  } catch (reason) {
    return isPassing(reason) ? reason : undefined;
  }
}

function isPassing(error: unknown): error is Error {
  const code = errorCode(error);
  return (
    error instanceof Error && typeof code === 'string' && Object.hasOwn(constants.errno, code) && code !== 'ENOENT'
  );
}
