import { AsyncLocalStorage } from 'node:async_hooks';
import type { SignalOptions } from '../signal.ts';
import { Queue } from './queue.ts';

/** A turn, and the queue of turns requested within it. */
interface Turn {
  readonly owner: Turns;
  readonly line: Queue;
  readonly outer: Turn | undefined;
  isOver: boolean;
}

const CURRENT = new AsyncLocalStorage<Turn>();

/**
 * Turns for jobs of several commands, in the order of the requests. A turn requested within another one, however deep
 * in the calls, is part of it, so nothing waits for itself.
 */
export class Turns {
  readonly #line = new Queue();

  /**
   * Runs `job` when its turn comes. If `signal` aborts before that, the job leaves the queue; after that, the job
   * itself must watch the signal.
   */
  async run<T>(job: () => Promise<T>, { signal }: SignalOptions = {}): Promise<T> {
    let outer = CURRENT.getStore();
    while (outer !== undefined && (outer.owner !== this || outer.isOver)) outer = outer.outer;
    const turn: Turn = { owner: this, line: new Queue(), outer: CURRENT.getStore(), isOver: false };
    const take = async (): Promise<T> => {
      try {
        return await CURRENT.run(turn, job);
      } finally {
        turn.isOver = true;
      }
    };
    return await (outer?.line ?? this.#line).run(take, { signal });
  }
}
