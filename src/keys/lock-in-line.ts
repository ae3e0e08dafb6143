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

/** Tells all callers that share a signal. One listener for all: Node.js warns of a leak if a signal has more than ten. */
class SharedListener {
  static readonly #of = new WeakMap<AbortSignal, SharedListener>();
  readonly #told = new Set<() => void>();
  readonly #listener = (): void => {
    for (const tell of this.#told) tell();
  };

  /** Calls `tell` when `signal` aborts, unless the returned function is called before. */
  static add(signal: AbortSignal, tell: () => void): () => void {
    const shared = SharedListener.#of.get(signal) ?? new SharedListener();
    SharedListener.#of.set(signal, shared);
    if (shared.#told.size === 0) signal.addEventListener('abort', shared.#listener, { once: true });
    shared.#told.add(tell);
    return () => {
      if (shared.#told.delete(tell) && shared.#told.size === 0) signal.removeEventListener('abort', shared.#listener);
    };
  }
}

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
  const stopListening = signal === undefined ? undefined : SharedListener.add(signal, abort);
  const look = (): void => {
    const left = Math.max(arrived, line.changed) + timeout - performance.now();
    if (left > 0) stopTimer = countDown(Math.min(left, LONGEST_TIMER_MS), look);
    else waiting.abort(busy(directory));
  };
  let stopTimer = countDown(Math.min(timeout, LONGEST_TIMER_MS), look);
  const stop = (): void => {
    stopTimer();
    stopListening?.();
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
