import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeyprovError } from '../errors.ts';
import { absolutePath } from './user-paths.ts';

/**
 * Makes a directory (mode 0700) for what is temporary, with a name that nobody can guess. Its absolute path. The
 * caller removes it.
 * @throws KeyprovError `store-io` if the directory for temporary files is missing, full or not writable.
 */
export async function temporaryDirectory(prefix: string): Promise<string> {
  try {
    return absolutePath(await mkdtemp(join(tmpdir(), prefix)));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KeyprovError('store-io', `no temporary directory can be made: ${reason}`, {
      cause,
      remedy: 'set TMPDIR to a directory that is there, has room, and that this user may write to',
    });
  }
}
