import { countDown, endsWithin, type SignalOptions } from '../signal.ts';

/** How long clean-up waits for an abandoned task, in milliseconds. */
const ABANDONED_MS = 500;

const timeLeft = (since: number): number => Math.max(0, since + ABANDONED_MS - performance.now());

/** Runs tasks strictly one after the other, in order of arrival. */
export class Queue {
  #tail: Promise<void> = Promise.resolve();
  /** When the running task was abandoned by its caller. */
  #abandonedSince: number | undefined;
  #onAbandoned = (): void => {};

  /**
   * Runs `task` when all earlier ones are done. If `signal` aborts before that, the promise is rejected at once with
   * its reason, and the task never begins. A task that has begun runs to its end: with `discard`, the promise is
   * rejected at once and `discard` gets the result; without, the task itself must end.
   */
  run<T>(
    task: () => Promise<T>,
    { signal, discard }: SignalOptions & { readonly discard?: (result: T) => Promise<void> } = {},
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let abandoned = false;
      let running = false;
      const abandon = () => {
        abandoned = true;
        reject(signal?.reason);
        if (!running) return;
        this.#abandonedSince = performance.now();
        this.#onAbandoned();
      };
      if (signal?.aborted) return abandon();
      signal?.addEventListener('abort', abandon, { once: true });
      this.#tail = this.#tail.then(async () => {
        if (abandoned) return;
        running = true;
        if (discard === undefined) signal?.removeEventListener('abort', abandon);
        try {
          const result = await task();
          if (abandoned) await discard?.(result);
          else resolve(result);
        } catch (error) {
          // Does nothing after an abort: the caller already has the reason.
          reject(error);
        } finally {
          running = false;
          this.#abandonedSince = undefined;
          signal?.removeEventListener('abort', abandon);
        }
      });
    });
  }

  /** Runs a task that cleans up. It waits at most half a second for an abandoned task, which may never end. */
  async tidy(task: () => Promise<void>): Promise<void> {
    const since = this.#abandonedSince;
    const done = this.run(task);
    if (since === undefined) await done;
    else await endsWithin(timeLeft(since), done);
  }

  /** Runs the last task. If an abandoned task blocks it for half a second, calls `giveUp` to end that task. */
  async last(task: () => Promise<void>, giveUp: () => void): Promise<void> {
    let stop = (): void => {};
    this.#onAbandoned = () => {
      const since = this.#abandonedSince;
      if (since === undefined) return;
      stop = countDown(timeLeft(since), () => {
        if (this.#abandonedSince === since) giveUp();
      });
    };
    this.#onAbandoned();
    try {
      await this.run(task);
    } finally {
      stop();
    }
  }
}
