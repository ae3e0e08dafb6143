import { setTimeout as delay } from 'node:timers/promises';
import type { SignalOptions } from '../signal.ts';

/** Waits; ends at once, by the reason of `signal`, when that aborts. */
export type Sleep = (ms: number, options: SignalOptions) => Promise<void>;

/** A longer timer would end at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** {@link Sleep} by the clock of the machine. */
export async function sleepFor(ms: number, { signal }: SignalOptions): Promise<void> {
  try {
    let left = ms;
    for (; left > LONGEST_TIMER_MS; left -= LONGEST_TIMER_MS) await delay(LONGEST_TIMER_MS, undefined, { signal });
    await delay(left, undefined, { signal });
  } catch (error) {
    signal?.throwIfAborted(); // the reason itself, without the error around it
    throw error;
  }
}
