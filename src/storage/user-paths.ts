import { homedir, userInfo } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { KeyprovError } from '../errors.ts';

/**
 * Returns the absolute form of a path. @throws KeyprovError `store-io` if it is relative and the working directory is
 * gone; TypeError if it is not a string.
 */
export function absolutePath(path: string): string {
  if (typeof path !== 'string')
    throw new TypeError(`a path must be a string, not ${path === null ? path : typeof path}`);
  try {
    return resolve(path);
  } catch (cause) {
    throw new KeyprovError('store-io', `cannot resolve ${path}: the working directory no longer exists`, {
      cause,
      remedy: 'change to another directory, or give an absolute path',
    });
  }
}

/**
 * Returns a directory for the user's files: `given` by the environment, else below the home directory; undefined if
 * neither is known. A relative `given` does not count (XDG Base Directory Specification).
 */
export function userDirectory(given: string | undefined, belowHome: readonly string[]): string | undefined {
  if (given !== undefined && isAbsolute(given)) return given;
  const home = homeDirectory();
  return home && join(home, ...belowHome);
}

/** HOME, else the system's entry; undefined for a user without a home, as in many containers. */
function homeDirectory(): string | undefined {
  for (const find of [homedir, () => userInfo().homedir]) {
    try {
      const found = find();
      if (isAbsolute(found)) return found;
    } catch {
      // This user is not in the list of users.
    }
  }
  return undefined;
}
