import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeyprovError } from '../errors.ts';
import { describeFileError } from './file-error.ts';
import { absolutePath } from './user-paths.ts';

/**
 * Makes a temporary directory (mode 0700) with an unguessable name. Returns its absolute path; the caller removes it.
 * @throws KeyprovError `store-io` if the system's temporary directory is missing, full or not writable.
 */
export async function temporaryDirectory(prefix: string): Promise<string> {
  try {
    return absolutePath(await mkdtemp(join(tmpdir(), prefix)));
  } catch (cause) {
    const { what } = describeFileError(tmpdir(), cause);
    throw new KeyprovError('store-io', `the temporary directory ${tmpdir()} ${what}`, {
      cause,
      remedy: 'set TMPDIR to an existing directory that has free space and is writable by this user',
    });
  }
}
