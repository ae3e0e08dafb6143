import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { errorCode } from './atomic-file.ts';

/**
 * Why the system does not let a module or library be loaded that may well be installed: too many open files, too little
 * memory, no right to read it. Undefined where it is not installed, or is another one than expected.
 * @param path of the library, which is opened to find that out, since the loader of the system says it in words only.
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
