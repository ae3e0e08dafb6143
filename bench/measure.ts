import { loadavg } from 'node:os';
import { Bench } from 'tinybench';

/** What is measured, in its order. */
export type Tasks = Readonly<Record<string, () => unknown>>;

/**
 * Runs the tasks in turn, five rounds of them, and prints for each the median of the rounds' medians, their spread,
 * and the ratio to the first task. Throws when a task does.
 */
export async function measure(title: string, tasks: Tasks, { rounds = 5, time = 200 } = {}): Promise<void> {
  const medians = new Map<string, number[]>(Object.keys(tasks).map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const bench = new Bench({ time, warmupTime: round === 0 ? 200 : 20, throws: true });
    for (const [name, task] of Object.entries(tasks)) bench.add(name, async () => void (await task()));
    await bench.run();
    for (const { name, result } of bench.tasks) {
      if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`);
      medians.get(name)?.push(result.latency.p50 * 1000);
    }
  }
  console.log(`\n${title} (load ${loadavg()[0]?.toFixed(1)}, ${rounds} rounds)`);
  let first: number | undefined;
  for (const [name, values] of medians) {
    values.sort((a, b) => a - b);
    const median = values[Math.floor(values.length / 2)] ?? Number.NaN;
    first ??= median;
    const [low, high] = [values[0] ?? Number.NaN, values.at(-1) ?? Number.NaN];
    const spread = `${low.toFixed(1)}–${high.toFixed(1)}`;
    console.log(
      `  ${name.padEnd(52)} ${median.toFixed(1).padStart(9)} µs  ${spread.padStart(17)}  ×${(median / first).toFixed(2)}`,
    );
  }
}
