import { createHash } from 'node:crypto';

/** CPU time of this process for some work, in microseconds. It does not depend on the machine's load. */
async function cpuTime(work: () => unknown): Promise<number> {
  const start = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(start);
  return user + system;
}

const block = new Uint8Array(16 * 1024 * 1024);
/** The reference, measured again next to each input: SHA-256 over 16 MiB, about ten milliseconds. */
const reference = (): Promise<number> => cpuTime(() => createHash('sha256').update(block).digest());

/** The cost of `work` as a multiple of the reference: the least of five runs, or of fewer if one is below `limit`. */
export async function cpuCost(work: () => unknown, limit: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 5 && least >= limit; run++) {
    const one = await reference();
    least = Math.min(least, (await cpuTime(work)) / one);
  }
  return least;
}
