// Verifies attestations. `workers N COUNT` uses N threads and prints the total time in milliseconds. `long COUNT` uses one thread
// and prints CPU time and memory for each tenth.
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { type AttestationStatement, verifyEvidence } from '../../src/attestation/index.ts';
import { makeAttestations } from '../attestations.ts';
import { cpuTime } from '../measure.ts';

/** The data for a worker. */
interface Work {
  readonly list: readonly { readonly statement: AttestationStatement; readonly extraData: Uint8Array }[];
  readonly root: Uint8Array;
}

async function verify({ list, root }: Work, count: number): Promise<void> {
  for (let done = 0; done < count; done++) {
    const one = list[done % list.length];
    if (one === undefined) throw new Error('no attestations');
    const { ok } = await verifyEvidence(one.statement, {
      ...{ challenge: one.extraData, minTier: 'ek-certificate', akRoots: [root] },
    });
    if (!ok) throw new Error('a genuine attestation is refused');
  }
}

async function onWorkers(work: Work, workers: number, count: number): Promise<number> {
  const threads = Array.from({ length: workers }, () => new Worker(new URL(import.meta.url), { workerData: work }));
  await Promise.all(threads.map((thread) => once(thread, 'message')));
  const begin = performance.now();
  for (const thread of threads) thread.postMessage(count / workers);
  await Promise.all(threads.map((thread) => once(thread, 'message')));
  const time = performance.now() - begin;
  await Promise.all(threads.map((thread) => thread.terminate()));
  return time;
}

async function long(work: Work, count: number) {
  const [cpu, memory]: number[][] = [[], []];
  for (let tenth = 0; tenth < 10; tenth++) {
    const begin = cpuTime();
    await verify(work, count / 10);
    cpu?.push((cpuTime() - begin) / (count / 10));
    globalThis.gc?.();
    const { heapUsed, external } = process.memoryUsage();
    memory?.push((heapUsed + external) / 2 ** 20);
  }
  return { cpu, memory };
}

if (isMainThread) {
  const [mode, first, count] = process.argv.slice(2);
  const { list, root } = await makeAttestations(64);
  const work = { list: list.map(({ statement, extraData }) => ({ statement, extraData })), root: root.der };
  const run = mode === 'long' ? long(work, Number(first)) : onWorkers(work, Number(first), Number(count));
  console.log(JSON.stringify(await run));
} else {
  const work: Work = workerData;
  await verify(work, 3000); // so that V8 compiles the code
  parentPort?.on('message', async (count: number) => {
    await verify(work, count);
    parentPort?.postMessage('done');
  });
  parentPort?.postMessage('ready');
}
