import { createReadStream } from 'node:fs';
import { lstat, opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Bytes, concat } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { checkSize, LIMIT } from '../limits.ts';
import { type SignalOptions, unlessAborted } from '../signal.ts';
import { fileError, ignoring } from './file-error.ts';

/**
 * Reads at most 16 MiB of an untrusted file, which may be a pipe that never begins or ends.
 * @throws KeyprovError `store-io`, also for a longer file; the reason of `signal`.
 */
export async function readInput(path: string, { signal }: SignalOptions = {}): Promise<Bytes> {
  let bytes: Bytes;
  try {
    bytes = await unlessAborted(() => readRange(path, { end: LIMIT.export }), signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw fileError('store-io', path, error);
  }
  checkSize(bytes, LIMIT.export, () => {
    return new KeyprovError('store-io', `${path} has more than ${LIMIT.export} bytes, the limit`);
  });
  return bytes;
}

/** Reads the last bytes of a file. @throws the error of the file system */
export async function readEnd(path: string, most: number): Promise<Bytes> {
  const start = Math.max(0, (await stat(path)).size - most);
  return await readRange(path, { start, end: start + most - 1 });
}

/**
 * Both ends included. Without `start` from the beginning, also of a pipe, in which there are no places to read from.
 */
async function readRange(path: string, range: { readonly start?: number; readonly end: number }): Promise<Bytes> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of createReadStream(path, range)) chunks.push(chunk);
  return concat(...chunks);
}

/**
 * Returns the path of the file at `path`, or the sorted paths of all files in and below that directory. Includes links
 * to files, but does not follow links to directories. Tells `skipped` of each directory below that cannot be read, and
 * of names that are not UTF-8.
 * @throws KeyprovError `store-io` for more than `most` files, or if `path` itself cannot be read.
 */
export async function listFiles(
  path: string,
  most: number,
  skipped: (directory: string, error: unknown) => void,
): Promise<string[]> {
  const found = await stat(path).catch((error: unknown) => {
    throw fileError('store-io', path, error);
  });
  if (!found.isDirectory()) return [path];
  const files: string[] = [];
  const directories = [path];
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    try {
      for await (const entry of await opendir(directory)) {
        const below = join(directory, entry.name);
        if (entry.name.includes('\ufffd') && (await isMissing(below))) {
          skipped(below, new KeyprovError('store-io', 'its name is not UTF-8', { remedy: 'rename it' }));
          continue;
        }
        if (entry.isDirectory()) directories.push(below);
        else if (entry.isFile() || (entry.isSymbolicLink() && (await leadsToFile(below)))) files.push(below);
        if (files.length + directories.length > most) {
          throw new KeyprovError('store-io', `${path} contains more files and directories than the limit of ${most}`);
        }
      }
    } catch (error) {
      const said = fileError('store-io', directory, error);
      if (directory === path || error instanceof KeyprovError) throw said;
      skipped(directory, said);
    }
  }
  return files.sort();
}

/** Node puts U+FFFD in a name that is not UTF-8, and then finds nothing under that name. */
const isMissing = (path: string): Promise<boolean> => lstat(path).then(() => false, ignoring('ENOENT', true));

/** Tells whether a link leads to a file, or nowhere: then reading it fails. */
const leadsToFile = (link: string): Promise<boolean> =>
  stat(link).then(
    (found) => found.isFile(),
    () => true,
  );
