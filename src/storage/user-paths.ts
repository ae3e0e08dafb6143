import { homedir, userInfo } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { KeyprovError } from '../errors.ts';

/** The absolute form of a path. @throws KeyprovError `store-io` for a relative one if the working directory is gone. */
export function absolutePath(path: string): string {
  try {
    return resolve(path);
  } catch (cause) {
    throw new KeyprovError('store-io', `it cannot be said where ${path} is: the working directory is gone`, {
      cause,
      remedy: 'change to another directory, or give an absolute path',
    });
  }
}

/**
 * A directory for what is the user's: `given` by the environment, else below the home directory; undefined if neither is
 * known. A relative one does not count (XDG Base Directory Specification).
 */
export function userDirectory(given: string | undefined, belowHome: readonly string[]): string | undefined {
  if (given !== undefined && isAbsolute(given)) return given;
  const home = homeDirectory();
  return home && join(home, ...belowHome);
}

/** What HOME says, else the system; undefined for a user without a home, as in many containers. */
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
