import { type Bytes, checkBytes, concatSecrets, wipe } from './bytes.ts';

/** Options of operations that can be aborted. */
export interface SignalOptions {
  /** Aborts the operation. Its promise is then rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Longest timer of Node.js, in milliseconds. A longer one would end at once. */
export const LONGEST_TIMER_MS: number = 2 ** 31 - 1;

/** @throws RangeError for a time after which a timer would not end as wanted. */
export function checkTimeout(ms: number, name: string): void {
  if (!(ms > 0 && ms <= LONGEST_TIMER_MS))
    throw new RangeError(`${name} must be above 0 and at most ${LONGEST_TIMER_MS}, not ${ms}`);
}

/** Options of {@link withTimeout}. */
export interface TimeoutOptions extends SignalOptions {
  readonly timeoutMs: number;
  /** Makes the error for when the time is up. */
  readonly late: () => Error;
}

/**
 * Runs `work` with a signal that aborts when `signal` does, with the same reason, or when the time is up. `work` must
 * end on its signal; for work that takes no signal see {@link unlessAborted}.
 */
export async function withTimeout<T>(
  { signal, timeoutMs, late }: TimeoutOptions,
  work: (limit: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const limit = new AbortController();
  const abort = (): void => limit.abort(signal?.reason);
  signal?.addEventListener('abort', abort, { once: true });
  const timer = setTimeout(() => limit.abort(late()), timeoutMs);
  try {
    return await work(limit.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

/**
 * Calls `late` after that time, unless the returned function is called first. While this process is stopped or its
 * event loop is blocked, at most half of the time passes: data that arrived meanwhile is read before it counts as late.
 */
export function countDown(ms: number, late: () => void): () => void {
  let timer = setTimeout(() => {
    timer = setTimeout(late, ms / 2);
  }, ms / 2);
  return () => clearTimeout(timer);
}

/**
 * Waits for `work`, but no longer than that time. Drops an error of work that ends later.
 * @returns whether it ended in time.
 */
export async function endsWithin(ms: number, work: Promise<unknown>): Promise<boolean> {
  let stop = (): void => {};
  const late = new Promise<false>((resolve) => {
    stop = countDown(ms, () => resolve(false));
  });
  try {
    return await Promise.race([work.then(() => true as const), late]);
  } finally {
    stop();
  }
}

/**
 * Listens to the signal of repeated work. The signal is usually the same each time, so its listener is added once. That
 * saves a seventh of a command's time over a socket.
 */
export class AbortWatch {
  #signal: AbortSignal | undefined;
  #tell = (_reason: unknown): void => {};
  readonly #listener = (): void => this.#tell(this.#signal?.reason);

  /** Calls `tell` with the reason when `signal` aborts, at once if it has already. Replaces the previous watch. */
  watch(signal: AbortSignal | undefined, tell: (reason: unknown) => void): void {
    this.#tell = tell;
    if (signal !== this.#signal) {
      this.#signal?.removeEventListener('abort', this.#listener);
      this.#signal = signal;
      signal?.addEventListener('abort', this.#listener, { once: true });
    }
    if (signal?.aborted) tell(signal.reason);
  }

  /** Does what {@link unlessAborted} does, for work that has begun. */
  wait<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      work.then(resolve, reject);
      this.watch(signal, reject);
    });
  }
}

/** Does `work`, and stops waiting for it when `signal` aborts; the promise is then rejected with its reason. */
export async function unlessAborted<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  signal?.throwIfAborted();
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    const abort = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    stop = () => signal?.removeEventListener('abort', abort);
  });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    stop();
  }
}

/** What holds a thread until a TPM responds, even after nobody waits for it. This process cannot end by itself meanwhile. */
export const STUCK: Set<symbol> = new Set();

/** Does `work`, which is in {@link STUCK} until it ends. */
export async function onThread<T>(work: () => Promise<T>): Promise<T> {
  const mark = Symbol();
  STUCK.add(mark);
  try {
    return await work();
  } finally {
    STUCK.delete(mark);
  }
}

const CLEAN_UP_MS = 500;

/** Does what {@link unlessAborted} does, but after an abort gives `work` half a second to clean up. */
export async function cleanUnlessAborted<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  let ended: Promise<unknown> = Promise.resolve();
  const begin = (): Promise<T> => {
    const working = work();
    ended = working.catch(() => undefined); // its error is the result, or comes too late
    return working;
  };
  try {
    return await unlessAborted(begin, signal);
  } finally {
    if (signal?.aborted) await endsWithin(CLEAN_UP_MS, ended);
  }
}

/**
 * Asks for a secret, and wipes the answer, even if it comes after `signal` has aborted. Returns a copy, because the
 * asked function may reuse its buffer. The caller wipes the copy.
 * @param what names the answer in messages.
 * @throws TypeError for an answer that is not bytes.
 */
export async function askSecret(
  what: string,
  ask: () => Promise<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<Bytes> {
  const take = async (): Promise<Bytes> => {
    const given = await ask();
    checkBytes(given, what);
    try {
      signal?.throwIfAborted();
      return concatSecrets(given);
    } finally {
      wipe(given);
    }
  };
  return await unlessAborted(take, signal);
}
