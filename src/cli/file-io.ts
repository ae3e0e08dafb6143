import { chmod, realpath, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KeyprovError, withCleanup } from '../errors.ts';
import { unlessAborted } from '../signal.ts';
import { errorCode, removeIfThere, replaceBy, writeTemporary } from '../storage/atomic-file.ts';

/**
 * Runs `work` on a file that the user named, which may be a pipe with nobody at the other end; an error of the file
 * system becomes KeyprovError `store-io`. Nobody waits for it any more when `signal` aborts.
 */
export async function fileIo<T>(path: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await unlessAborted(work, signal);
  } catch (cause) {
    if (errorCode(cause) === undefined || cause instanceof KeyprovError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KeyprovError('store-io', `${path} cannot be read or written: ${reason}`, { cause });
  }
}

/**
 * Writes a result to a file that the user named: all of it, or the file is as it was. What is not a file, such as a pipe or
 * `/dev/stdout`, is written to as it stands. @throws KeyprovError `store-io`; the reason of `signal`.
 */
export async function writeResult(path: string, data: Uint8Array | string, signal: AbortSignal): Promise<void> {
  const there = await fileIo(path, () => ifThere(stat(path)), signal);
  if (there?.isFile() === false) return await fileIo(path, () => writeFile(path, data), signal);
  // Without the signal, which would leave a part behind.
  const mode = there === undefined ? 0o666 & ~process.umask() : there.mode & 0o7777;
  await fileIo(path, async () => {
    try {
      await writeWhole(there === undefined ? path : await realpath(path), data, mode);
    } catch (error) {
      if (there === undefined || !CANNOT_REPLACE.has(errorCode(error))) throw error;
      await writeFile(path, data);
    }
  });
}

/** Where a file may be written, but not its directory, or is mounted by itself. */
const CANNOT_REPLACE: ReadonlySet<unknown> = new Set(['EACCES', 'EPERM', 'EROFS', 'EBUSY']);

async function writeWhole(path: string, data: Uint8Array | string, mode: number): Promise<void> {
  const temporary = await writeTemporary(dirname(path), data, { durable: false });
  await withCleanup(
    async () => {
      await chmod(temporary, mode);
      await replaceBy(temporary, path);
    },
    () => removeIfThere(temporary),
  );
}

/** Whether there is something at `path`. @throws KeyprovError `store-io` */
export async function exists(path: string): Promise<boolean> {
  return (await fileIo(path, () => ifThere(stat(path)))) !== undefined;
}

async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
