import { readdir, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { KeyprovError, withCleanup } from '../errors.ts';
import { createFile, ignoring, removeFile, storeIo } from './atomic-file.ts';
import { isGone, type ProcessIdentity, thisProcess } from './process-identity.ts';

/** Options of {@link withStoreLock}. */
export interface StoreLockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds to wait for others; default 10,000. */
  readonly timeout?: number | undefined;
}

/**
 * Runs `work` while nothing else, in this or another process, runs under the lock of the same directory.
 *
 * The lock is the file `.lock-N` with the highest N. It holds who took it, and is empty once given back. To take the
 * lock is to make file N + 1 when file N is empty or its process is gone; the file appears with its content, and only
 * one can make it. The highest file is never removed, so numbers never come back: whoever looked at an old state
 * fails to make its file, or finds a higher one right after and steps back. So a lock of a dead process is taken over
 * without the moment in which two take it over at once.
 *
 * On Linux a dead process is told from a live one exactly, containers that share a directory wait for each other; on
 * a network file system with several machines it does not work.
 * @throws KeyprovError `store-busy` when it is not free in time.
 */
export async function withStoreLock<T>(
  directory: string,
  work: () => Promise<T>,
  options: StoreLockOptions = {},
): Promise<T> {
  const number = await acquire(directory, options);
  return await withCleanup(work, () => storeIo(directory, () => truncate(join(directory, lockName(number)), 0)));
}

async function acquire(directory: string, { signal, timeout = 10_000 }: StoreLockOptions): Promise<number> {
  const self = await thisProcess();
  const end = Date.now() + timeout;
  for (;;) {
    signal?.throwIfAborted();
    const highest = Math.max(0, ...(await lockNumbers(directory)));
    const owner = highest === 0 ? undefined : await ownerOf(directory, highest);
    if (owner === undefined || (await isGone(owner, self))) {
      const mine = highest + 1;
      if (await createFile(directory, lockName(mine), JSON.stringify(self), { durable: false })) {
        const others = (await lockNumbers(directory)).filter((number) => number !== mine);
        if (others.every((number) => number < mine)) {
          for (const number of others) await removeFile(directory, lockName(number));
          return mine;
        }
        await removeFile(directory, lockName(mine));
      }
    }
    if (Date.now() > end) {
      const holder = owner === undefined ? 'others' : `process ${owner.pid}`;
      throw new KeyprovError('store-busy', `the key store at ${directory} is locked by ${holder}`, {
        remedy: `try again; if no such process uses it, remove ${join(directory, lockName(highest))}`,
      });
    }
    await sleep(2 + Math.random() * 20);
  }
}

/** Who has that lock; undefined where it was given back. A file without sense is what a loss of power left. */
async function ownerOf(directory: string, number: number): Promise<ProcessIdentity | undefined> {
  const text = await storeIo(directory, () =>
    readFile(join(directory, lockName(number)), 'utf8').catch(ignoring('ENOENT', '')),
  );
  try {
    const { pid, start, boot, namespace } = JSON.parse(text);
    return { pid: Number(pid), start: String(start), boot: String(boot), namespace: String(namespace) };
  } catch {
    return undefined;
  }
}

async function lockNumbers(directory: string): Promise<number[]> {
  const names = await storeIo(directory, () => readdir(directory));
  return names.map((name) => /^\.lock-(\d+)$/.exec(name)?.[1]).flatMap((digits) => (digits ? [Number(digits)] : []));
}

function lockName(number: number): string {
  return `.lock-${number}`;
}
