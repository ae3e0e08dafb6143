/** Runs tasks strictly one after the other, in the order in which they came. */
export class Queue {
  #tail: Promise<void> = Promise.resolve();

  /**
   * Runs `task` when all earlier ones are done. When `signal` aborts the promise is rejected at once with its reason:
   * a task that has not begun never will; one that has begun runs to its end, and its result goes to `discard`.
   */
  run<T>(
    task: () => Promise<T>,
    {
      signal,
      discard,
    }: { readonly signal?: AbortSignal | undefined; readonly discard?: (result: T) => Promise<void> } = {},
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let abandoned = false;
      const abandon = () => {
        abandoned = true;
        reject(signal?.reason);
      };
      if (signal?.aborted) return abandon();
      signal?.addEventListener('abort', abandon, { once: true });
      this.#tail = this.#tail.then(async () => {
        if (abandoned) return;
        try {
          const result = await task();
          if (abandoned) await discard?.(result);
          else resolve(result);
        } catch (error) {
          // After an abort this does nothing: the caller already has the reason of the abort.
          reject(error);
        } finally {
          signal?.removeEventListener('abort', abandon);
        }
      });
    });
  }

  /** Resolves when everything queued so far is done. */
  async idle(): Promise<void> {
    await this.#tail;
  }
}
