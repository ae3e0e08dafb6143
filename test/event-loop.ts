import { setImmediate } from 'node:timers/promises';

/** How often the event loop went round while `work` ran: the loop is held if it is once or twice, however fast the machine is. */
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
