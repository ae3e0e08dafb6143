import { setTimeout as delay } from 'node:timers/promises';
import { LONGEST_TIMER_MS, type SignalOptions } from '../signal.ts';

/** Waits. Rejects with the reason of `signal` as soon as it aborts. */
export type Sleep = (ms: number, options: SignalOptions) => Promise<void>;

/** {@link Sleep} by the clock of the machine. */
export async function sleepFor(ms: number, { signal }: SignalOptions): Promise<void> {
  try {
    let left = ms;
    for (; left > LONGEST_TIMER_MS; left -= LONGEST_TIMER_MS) await delay(LONGEST_TIMER_MS, undefined, { signal });
    await delay(left, undefined, { signal });
  } catch (error) {
    signal?.throwIfAborted(); // throws the reason itself, not the error that wraps it
    throw error;
  }
}
