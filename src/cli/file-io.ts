import { stat } from 'node:fs/promises';
import { KeyprovError } from '../errors.ts';
import { unlessAborted } from '../signal.ts';
import { errorCode } from '../storage/atomic-file.ts';

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
