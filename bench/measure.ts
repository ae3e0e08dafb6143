import { performance } from 'node:perf_hooks';

/** The median of a figure's rounds, and the first and third quartiles. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** Runs one round of a contender and returns the cost of one unit of work. */
export type Contender = () => number | Promise<number>;

/** The contenders' costs, one number for each round. */
export type Costs<Name extends string> = Readonly<Record<Name, readonly number[]>>;

/** The spread of some figures. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.round((sorted.length - 1) * part)] ?? Number.NaN;
  return { median: at(0.5), low: at(0.25), high: at(0.75) };
}

/**
 * The first rounds do not count. V8 compiles code in them, and again when the next contender uses the code differently.
 */
const UNCOUNTED = 3;

/** Runs the contenders in turn, round after round. */
export async function inTurn<Name extends string>(
  rounds: number,
  contenders: Readonly<Record<Name, Contender>>,
): Promise<Costs<Name>> {
  const entries = Object.entries<Contender>(contenders).map(([name, run]) => ({ name, run, costs: [] as number[] }));
  for (let round = 0; round < UNCOUNTED + rounds; round++)
    for (const { run, costs } of entries) costs.push(await run());
  return Object.fromEntries(entries.map(({ name, costs }) => [name, costs.slice(UNCOUNTED)])) as Record<Name, number[]>;
}

/** The ratio of two contenders, computed in each round. */
export const ratio = (ours: readonly number[], theirs: readonly number[]): Spread =>
  spread(ours.map((cost, round) => cost / (theirs[round] ?? Number.NaN)));

/** CPU time of this process and all its threads, in microseconds. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Wall-clock time in microseconds. */
export const wallTime = (): number => performance.now() * 1000;

/**
 * Durations in microseconds: of a batch of work; of a warm-up round, by the contender's clock; and the limit of a warm-up round
 * in wall-clock time. V8 has fully compiled a command with a session after about five thousand commands.
 */
const [BATCH, WARM_UP, LONGEST_WARM_UP] = [60_000, 1_500_000, 20_000_000];

/** Measures one call of `work` by `clock`, in microseconds. */
export function perCall(clock: () => number, work: () => unknown): Contender {
  let [round, calls] = [0, 1];
  const batch = async (): Promise<number> => {
    const begin = clock();
    for (let call = 0; call < calls; call++) await work();
    return (clock() - begin) / calls;
  };
  return async () => {
    if (++round > UNCOUNTED) return await batch();
    const [begin, wallBegin] = [clock(), wallTime()];
    let cost = 0;
    while (clock() - begin < WARM_UP && wallTime() - wallBegin < LONGEST_WARM_UP) {
      cost = await batch();
      calls = Math.max(1, Math.min(8 * calls, Math.round(BATCH / cost)));
    }
    return cost;
  };
}

/** Measures synchronous work that is so short that awaiting it would dominate. */
export function perSyncCall(work: () => unknown): Contender {
  const thousand = perCall(cpuTime, () => {
    for (let call = 0; call < 1000; call++) work();
  });
  return async () => (await thousand()) / 1000;
}
