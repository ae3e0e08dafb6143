import { performance } from 'node:perf_hooks';

/** The median of a figure's rounds, and its first and third quartile. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** One round of a contender: what one piece of its work costs. */
export type Contender = () => number | Promise<number>;

/** What contenders have cost, a number for each round. */
export type Costs<Name extends string> = Readonly<Record<Name, readonly number[]>>;

/** The spread of some figures. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.round((sorted.length - 1) * part)] ?? Number.NaN;
  return { median: at(0.5), low: at(0.25), high: at(0.75) };
}

/** Lets the contenders have their turns, one round after the other. */
export async function inTurn<Name extends string>(
  rounds: number,
  contenders: Readonly<Record<Name, Contender>>,
): Promise<Costs<Name>> {
  const entries = Object.entries<Contender>(contenders).map(([name, run]) => ({ name, run, costs: [] as number[] }));
  for (let round = 0; round < rounds; round++) for (const { run, costs } of entries) costs.push(await run());
  return Object.fromEntries(entries.map(({ name, costs }) => [name, costs])) as Record<Name, number[]>;
}

/** The ratio of two contenders, each round by itself. */
export const ratio = (ours: readonly number[], theirs: readonly number[]): Spread =>
  spread(ours.map((cost, round) => cost / (theirs[round] ?? Number.NaN)));

/** CPU time of this process with all its threads, in microseconds. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Time on the wall, in microseconds. */
export const wallTime = (): number => performance.now() * 1000;

/** How long work is done before it is measured, by its clock or at most on the wall, and how long a batch is, in microseconds. */
const [WARM_UP, LONGEST_WARM_UP, BATCH] = [1_500_000, 4_000_000, 50_000];

/**
 * What one call of `work` costs by `clock`, in microseconds. Before the first round it is done until everything is
 * compiled, which also shows how many calls make a batch.
 */
export function perCall(clock: () => number, work: () => unknown): Contender {
  let calls = 0;
  const batch = async (): Promise<number> => {
    const begin = clock();
    for (let call = 0; call < calls; call++) await work();
    return clock() - begin;
  };
  return async () => {
    if (calls === 0) {
      const [begin, wallBegin] = [clock(), wallTime()];
      const isWarm = () => clock() - begin >= WARM_UP || wallTime() - wallBegin >= LONGEST_WARM_UP;
      let cost = 0;
      for (calls = 1; !isWarm(); calls *= 2) cost = (await batch()) / calls;
      calls = Math.max(1, Math.round(BATCH / cost));
    }
    return (await batch()) / calls;
  };
}

/** The same for work that waits for nothing, and is so short that waiting would be most of it. */
export function perSyncCall(work: () => unknown): Contender {
  const thousand = perCall(cpuTime, () => {
    for (let call = 0; call < 1000; call++) work();
  });
  return async () => (await thousand()) / 1000;
}
