import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeyprovError } from '../errors.ts';
import { absolutePath } from './user-paths.ts';

/**
 * Makes a temporary directory (mode 0700) with a name that nobody can guess. Returns its absolute path; the caller
 * removes it.
 * @throws KeyprovError `store-io` if the system's temporary directory is missing, full or not writable.
 */
export async function temporaryDirectory(prefix: string): Promise<string> {
  try {
    return absolutePath(await mkdtemp(join(tmpdir(), prefix)));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KeyprovError('store-io', `cannot make a temporary directory: ${reason}`, {
      cause,
      remedy: 'set TMPDIR to a directory that exists, has room, and is writable by this user',
    });
  }
}
