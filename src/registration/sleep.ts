import { setTimeout as delay } from 'node:timers/promises';
import type { SignalOptions } from '../signal.ts';

/** Waits; ends at once, by the reason of `signal`, when that aborts. */
export type Sleep = (ms: number, options: SignalOptions) => Promise<void>;

/** {@link Sleep} by the clock of the machine. */
export async function sleepFor(ms: number, { signal }: SignalOptions): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    signal?.throwIfAborted(); // the reason itself, without the error around it
    throw error;
  }
}
