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
