import { type Contender, type Costs, inTurn, ratio, type Spread, spread } from './measure.ts';
import { notMeasured, type Peer } from './peers.ts';
import type { Figure, Goal } from './row.ts';

/** The contenders of one row with their costs in microseconds, and the figures computed from them. */
export class Race<Name extends string> {
  readonly #costs: Costs<Name>;

  private constructor(costs: Costs<Name>) {
    this.#costs = costs;
  }

  /** Runs the contenders in turn. An undefined contender is a peer that is not installed. */
  static async run<Name extends string>(
    rounds: number,
    contenders: Readonly<Record<Name, Contender | undefined>>,
  ): Promise<Race<Name>> {
    const present = Object.entries<Contender | undefined>(contenders).filter(([, run]) => run !== undefined);
    return new Race(await inTurn(rounds, Object.fromEntries(present) as Record<Name, Contender>));
  }

  /** The cost of `ours` as a multiple of `theirs`. `missing` says what to install for `theirs`. */
  times(what: string, [ours, theirs]: readonly [Name, Name], goal?: Goal, peer?: Peer): Figure {
    return this.#figure(what, [ours, theirs], { unit: '×', ...(goal && { goal }) }, peer);
  }

  /** The cost of `theirs` as a multiple of `ours`. */
  cheaper(what: string, [ours, theirs]: readonly [Name, Name], goal?: Goal, peer?: Peer): Figure {
    return this.#figure(what, [theirs, ours], { unit: '×', ...(goal && { goal }) }, peer);
  }

  #figure(
    what: string,
    [above, below]: readonly [Name, Name],
    more: Pick<Figure, 'unit' | 'goal'>,
    peer: Peer | undefined,
  ): Figure {
    const missing = peer !== undefined && 'missing' in peer ? notMeasured(peer.missing) : undefined;
    if (missing !== undefined) return { what, ...more, measured: missing };
    const amounts = [above, below].map((name) => `${name} ${this.#amount(name)}`).join(', ');
    return { what, ...more, measured: ratio(this.#costs[above], this.#costs[below]), amounts };
  }

  #amount(name: Name): string {
    const { median } = spread(this.#costs[name]);
    return median < 1000 ? `${digits(median)} µs` : `${digits(median / 1000)} ms`;
  }
}

/** A number with three significant digits. */
export const digits = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));

/** An amount compared with a goal. */
export const amount = (what: string, unit: Figure['unit'], measured: Spread | number, goal?: Goal): Figure => ({
  ...{ what, unit, measured },
  ...(goal && { goal }),
});
