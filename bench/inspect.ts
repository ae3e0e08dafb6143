// Tests robustness rather than speed: `inspect` must handle each of a million changed files within 100 ms and without leaking
// memory. `node scripts/bench.mjs inspect`; the variables COUNT and SEED override the defaults.
import { toHex } from '../src/bytes.ts';
import { type Inspection, inspect, printInspection } from '../src/inspect/index.ts';
import { inspectSamples } from '../test/inspect-samples.ts';
import { Dice, mutated } from '../test/mutations.ts';

const count = Number(process.env.COUNT ?? 1_000_000);
const seed = Number(process.env.SEED ?? 20260101);
const LIMIT_MS = 100;

const samples = await inspectSamples();
const dice = new Dice(seed);
const confidences = new Map<string, number>();
const formats = new Set<string>();
let slowest = { milliseconds: 0, format: '', bytes: 0 };
let over = 0;

function memory(): string {
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  return `RSS ${(rss / 2 ** 20).toFixed(0)} MiB, heap in use ${(heapUsed / 2 ** 20).toFixed(1)} MiB`;
}

async function timed(bytes: Uint8Array): Promise<{ found: Inspection; milliseconds: number }> {
  const start = performance.now();
  const found = await inspect(bytes);
  return { found, milliseconds: performance.now() - start };
}

async function least(bytes: Uint8Array): Promise<number> {
  const runs: number[] = [];
  for (let run = 0; run < 3; run++) runs.push((await timed(bytes)).milliseconds);
  return Math.min(...runs);
}

console.log(`${count} inputs made of ${samples.length} samples, seed ${seed}`);
const begin = performance.now();
for (let i = 0; i < count; i++) {
  // After a tenth, all code is compiled and every cache is filled.
  if (i % (count / 10) === 0) console.log(`${String(i).padStart(8)}: ${memory()}`);
  const bytes = mutated(samples, dice);
  const first = await timed(bytes);
  // Repeats slow inputs, because the machine may have been busy.
  const milliseconds = first.milliseconds < LIMIT_MS / 10 ? first.milliseconds : await least(bytes);
  const { found } = first;
  if (milliseconds > slowest.milliseconds) slowest = { milliseconds, format: found.format, bytes: bytes.length };
  if (milliseconds > LIMIT_MS) {
    over++;
    console.log(`over ${LIMIT_MS} ms: ${milliseconds.toFixed(0)} ms, ${found.format}, ${toHex(bytes.subarray(0, 64))}`);
  }
  printInspection(found);
  confidences.set(found.confidence, (confidences.get(found.confidence) ?? 0) + 1);
  formats.add(found.format);
}
console.log(`${String(count).padStart(8)}: ${memory()}`);
const seconds = (performance.now() - begin) / 1000;
console.log(
  `${seconds.toFixed(0)} s, ${[...confidences].map(([name, n]) => `${n} ${name}`).join(', ')}, ${formats.size} formats`,
);
const { milliseconds, format, bytes } = slowest;
console.log(`slowest: ${milliseconds.toFixed(1)} ms (${format}, ${bytes} bytes); over ${LIMIT_MS} ms: ${over}`);
if (over > 0) process.exitCode = 1;
