/** Options of what may take long. */
export interface SignalOptions {
  /** Ends the work when it aborts; the promise is rejected with its reason then. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of {@link withTimeout}. */
export interface TimeoutOptions extends SignalOptions {
  readonly timeoutMs: number;
  /** Makes the reason with which the work is aborted when the time is up. */
  readonly late: () => Error;
}

/**
 * Runs `work` with a signal that aborts when `signal` does, with the same reason, or when the time is up. It is `work`
 * that ends by its signal; see {@link unlessAborted} for what knows none.
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
 * Calls `late` after that time, unless the returned function is called first. While this process is stopped or its event
 * loop is blocked the time stands still, but for one half of it: what came meanwhile is read before it counts as late.
 */
export function countDown(ms: number, late: () => void): () => void {
  let timer = setTimeout(() => {
    timer = setTimeout(late, ms / 2);
  }, ms / 2);
  return () => clearTimeout(timer);
}

/**
 * Waits for `work`, but no longer than that time. An error of work that ends later is dropped.
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
 * Listens to the signal of work that is done again and again, one piece at a time: mostly the same signal each time,
 * so that its listener is added once. Commands over a socket take a seventh less time for it.
 */
export class AbortWatch {
  #signal: AbortSignal | undefined;
  #tell = (_reason: unknown): void => {};
  readonly #listener = (): void => this.#tell(this.#signal?.reason);

  /** Calls `tell` with the reason when `signal` aborts, at once if it has. Nothing else is watched any longer. */
  watch(signal: AbortSignal | undefined, tell: (reason: unknown) => void): void {
    this.#tell = tell;
    if (signal !== this.#signal) {
      this.#signal?.removeEventListener('abort', this.#listener);
      this.#signal = signal;
      signal?.addEventListener('abort', this.#listener, { once: true });
    }
    if (signal?.aborted) tell(signal.reason);
  }

  /** What {@link unlessAborted} does, for work that has begun. */
  wait<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      work.then(resolve, reject);
      this.watch(signal, reject);
    });
  }
}

/** Does `work`, and stops waiting for it when `signal` aborts; the promise is rejected with its reason then. */
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
