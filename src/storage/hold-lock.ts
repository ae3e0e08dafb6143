import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { KeyprovError, withCleanup } from '../errors.ts';
import type { SignalOptions } from '../signal.ts';
import { errorCode, storeIo } from './file-error.ts';
import { type FileLock, type TryLock, takeKernelLock } from './kernel-lock.ts';
import { takeLease } from './lease.ts';
import { passingFailure } from './load-failure.ts';
import type { Holder } from './lock-holder.ts';

/** Default of {@link StoreLockOptions}'s `timeout`. */
export const LOCK_TIMEOUT_MS = 10_000;

/** How long to wait for a store's lock. */
export interface StoreLockOptions extends SignalOptions {
  /** Milliseconds to wait for one holder; default 10,000. 0 tries once. */
  readonly timeout?: number | undefined;
}

interface WaitOptions extends StoreLockOptions {
  /** Called for each holder that it waits for. */
  readonly onChange?: (() => void) | undefined;
}

/** A lock that is held until it is released or the process ends. */
export interface HeldLock {
  /** Releases the lock; with `remove` also removes the file. Idempotent. @throws KeyprovError `store-io` */
  release(options?: { readonly remove?: boolean | undefined }): Promise<void>;
}

/** Error codes of systems and file systems without flock(2). */
const WITHOUT_LOCKS: ReadonlySet<unknown> = new Set(['ENOLCK', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS']);

/**
 * Takes the lock of the file at `path`, and waits while another holder, in this or another process, has it. The
 * time-out restarts each time the lock changes hands: it limits one hanging holder, not the number of waiters.
 *
 * The lock is the kernel's (flock(2)). The kernel releases it when the process ends, even in another container. Without
 * flock(2) the lock is a lease, which others can take ten seconds after its holder died.
 * @throws KeyprovError `store-busy` if the lock is not free in time, `store-io`; the reason of `signal`.
 */
export async function holdLock(path: string, options: WaitOptions = {}): Promise<HeldLock> {
  const taken = await takeInTurn(() => takeLock(path), options);
  if ('release' in taken) return taken;
  const holder = taken.pid === undefined ? 'another process' : `process ${taken.pid}`;
  throw new KeyprovError('store-busy', `${path} is locked by ${holder} (${taken.kind})`, { remedy: REMEDY });
}

/** Calls `take` until it returns a lock, or the same holder for the entire time-out. Returns its last result. */
export async function takeInTurn<T extends HeldLock | FileLock | Holder>(
  take: () => Promise<T>,
  { signal, timeout = LOCK_TIMEOUT_MS, onChange }: WaitOptions,
): Promise<T> {
  let seen: string | undefined;
  let end = 0;
  for (;;) {
    signal?.throwIfAborted();
    const result = await take();
    const taken: HeldLock | FileLock | Holder = result;
    if ('release' in taken) return result;
    if (taken.token !== seen) {
      onChange?.();
      seen = taken.token;
      end = performance.now() + timeout;
    }
    if (performance.now() >= end) return result;
    await pause(2 + Math.random() * 20, signal);
  }
}

/** Takes the lock of the file at `path` at once, or returns its holder. @throws KeyprovError `store-io` */
export async function takeLock(path: string): Promise<HeldLock | (Holder & { readonly kind: string })> {
  return await storeIo(path, async () => {
    const tryLock = await kernelLock();
    try {
      if (tryLock !== undefined) return held(path, takeKernelLock(path, tryLock), KERNEL);
    } catch (error) {
      if (!WITHOUT_LOCKS.has(errorCode(error))) throw error;
    }
    return held(path, takeLease(path), LEASE);
  });
}

function held(path: string, taken: FileLock | Holder, kind: string): HeldLock | (Holder & { readonly kind: string }) {
  if (!('release' in taken)) return { ...taken, kind };
  return { release: (options) => storeIo(path, async () => taken.release(options)) };
}

/** Tells whether anybody, this process included, holds the lock of that file. Takes the lock for a moment to see. */
export async function isLocked(path: string): Promise<boolean> {
  const taken = await takeLock(path);
  if (!('release' in taken)) return true;
  await taken.release({ remove: true });
  return false;
}

export const STORE_LOCK = '.keyprov.lock';

/**
 * Runs `work` while nothing else, in this or another process, runs under the lock of the same directory. With `remove`
 * also removes the file of the lock.
 * @throws KeyprovError like {@link holdLock}.
 */
export async function withStoreLock<T>(
  directory: string,
  work: () => Promise<T>,
  options: WaitOptions & Parameters<HeldLock['release']>[0] = {},
): Promise<T> {
  const lock = await holdLock(join(directory, STORE_LOCK), options);
  return await withCleanup(work, () => lock.release(options));
}

const KERNEL = 'flock(2), released when the process ends';
const LEASE = 'a lease, which expires ten seconds after the process ends';
const REMEDY = 'try again; if that process hangs, end it';

let known: Promise<TryLock | undefined> | undefined;

/** Loads koffi only for the first lock, so that reading keys costs nothing. Undefined without flock(2). */
function kernelLock(): Promise<TryLock | undefined> {
  known ??= (async () => {
    if (process.platform === 'win32') return undefined;
    try {
      const { loadLibc } = await import('../../native/libc.ts');
      const libc = loadLibc();
      return (fd: number) => libc.tryLock(fd);
    } catch (error) {
      const passing = passingFailure(error);
      if (passing === undefined) return undefined; // koffi is not installed or has no build for this system
      known = undefined;
      throw passing; // a lease would not exclude others that hold the kernel's lock now
    }
  })();
  return known;
}

/** Waits; rejects with the reason of `signal` if that aborts. */
async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await delay(milliseconds, undefined, { signal }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error;
  });
}
