import { setMaxListeners } from 'node:events';
import { KeyprovError } from '../errors.ts';
import { countDown, LONGEST_TIMER_MS } from '../signal.ts';
import { LOCK_TIMEOUT_MS, type StoreLockOptions, withStoreLock } from '../storage/hold-lock.ts';
import { Queue } from '../tpm/queue.ts';

/** The callers in this process that have the lock of one directory or wait for it. */
class Line {
  readonly queue = new Queue();
  callers = 0;
  /** When the lock last changed hands. */
  changed = 0;
}

const lines = new Map<string, Line>();

/**
 * Does what {@link withStoreLock} does, but callers in this process wait in line, which takes less time than if each of
 * them tries again and again. The time-out limits the wait for one holder here too.
 * @throws KeyprovError `store-busy`, `store-io`; the reason of the signal.
 */
export async function withLockInLine<T>(
  directory: string,
  options: StoreLockOptions,
  work: () => Promise<T>,
): Promise<T> {
  const { signal, timeout = LOCK_TIMEOUT_MS } = options;
  const line = lines.get(directory) ?? new Line();
  lines.set(directory, line);
  line.callers++;
  const arrived = performance.now();
  const onChange = (): void => {
    line.changed = performance.now();
  };
  const waiting = new AbortController();
  const abort = (): void => waiting.abort(signal?.reason);
  if (signal?.aborted) abort();
  if (signal !== undefined) setMaxListeners(0, signal); // each caller in line listens to it
  signal?.addEventListener('abort', abort, { once: true });
  const look = (): void => {
    const left = Math.max(arrived, line.changed) + timeout - performance.now();
    if (left > 0) stopTimer = countDown(Math.min(left, LONGEST_TIMER_MS), look);
    else waiting.abort(busy(directory));
  };
  let stopTimer = countDown(Math.min(timeout, LONGEST_TIMER_MS), look);
  const stop = (): void => {
    stopTimer();
    signal?.removeEventListener('abort', abort);
  };
  const begin = (): Promise<T> => {
    stop();
    onChange();
    const held = (): Promise<T> => {
      onChange();
      return work();
    };
    return withStoreLock(directory, held, { ...options, onChange });
  };
  try {
    return await line.queue.run(begin, { signal: waiting.signal });
  } finally {
    stop();
    if (--line.callers === 0) lines.delete(directory);
  }
}

const busy = (directory: string): KeyprovError =>
  new KeyprovError('store-busy', `${directory} is locked by another call in this process`, {
    remedy: 'wait until that call ends, then try again',
  });
