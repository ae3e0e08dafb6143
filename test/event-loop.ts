import { setImmediate } from 'node:timers/promises';

/** Counts turns of the event loop while `work` runs. One or two turns mean that `work` blocks the loop, on any machine. */
export async function loopTurnsDuring(work: () => unknown): Promise<number> {
  let done = false;
  let turns = 0;
  const counting = (async () => {
    for (; !done; turns++) await setImmediate();
  })();
  try {
    await work();
  } finally {
    done = true;
    await counting;
  }
  return turns;
}
