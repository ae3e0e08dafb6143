/**
 * Feeds randomly changed valid samples to every public reader of bytes or text and to every TPM structure. Run it with
 * `node scripts/reliability.mjs fuzz [--seed N] [--inputs N] [--minutes N] [--only NAME]`. It prints a table. Its exit code
 * is 1 if one of the last three columns is not 0, or if memory grew. All arguments other than the input are valid, so only a
 * KeyprovError is a typed error; a TypeError or RangeError is a bug. A seed repeats the changes but not the test keys, so an
 * input that reveals a bug is printed in full.
 */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { KeyprovError } from '../../src/errors.ts';
import { decode, encode } from '../../src/tpm/index.ts';
import { arbitrary } from '../arbitrary.ts';
import { bytes, type Entrance, same } from '../entrances/entrance.ts';
import { entrancesByFamily } from '../entrances.ts';
import { Dice, type Seed } from '../mutations.ts';
import { changed } from '../structured-mutations.ts';
import { STRUCTURES } from '../structures.ts';

const { values: given } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    inputs: { type: 'string', default: '10000000' },
    minutes: { type: 'string', default: 'Infinity' },
    only: { type: 'string' },
  },
});
const SEED = Number(given.seed);
/** CPU time limit for one input, in microseconds. */
const MOST_CPU = 1_000_000;
/** How much the heap may grow after the first tenth, in MiB. */
const MOST_MIB = 16;
/** How many samples of each TPM structure are changed. */
const EACH_STRUCTURE = 8;
/** How many inputs are printed for each reader and type of bug. */
const PRINTED = 3;

/** A column of the table; the last three are bad. */
type Count = 'accepted' | 'refused' | 'untyped' | 'over 1 s' | 'garbage';
const COUNTS: readonly Count[] = ['accepted', 'refused', 'untyped', 'over 1 s', 'garbage'];
const BAD: readonly Count[] = ['untyped', 'over 1 s', 'garbage'];

interface Target {
  readonly name: string;
  readonly family: string;
  readonly samples: readonly Entrance[];
}

function structures(): Target[] {
  return [...STRUCTURES].map(([name, codec]) => {
    const values = fc.sample(arbitrary(codec), { seed: SEED, numRuns: EACH_STRUCTURE });
    const read = (input: Uint8Array) => decode(codec, input);
    const judge = same((found: unknown) => encode(codec, found));
    return {
      name: `decode.${name}`,
      family: 'structures',
      samples: values.map((value) => bytes(read, encode(codec, value), judge)),
    };
  });
}

const { world, families } = await entrancesByFamily();
const all: Target[] = [...families].flatMap(([family, entrances]) =>
  Object.entries(entrances).map(([name, entrance]) => ({ name, family, samples: [entrance] })),
);
const targets = [...all, ...structures()].filter(({ name }) => given.only === undefined || name.includes(given.only));
const pool: Seed[] = [
  ...world.samples,
  ...all.flatMap(({ samples }) => samples.map(({ sample }) => ({ bytes: sample }))),
];

const table = new Map<string, Map<Count, number>>();
const exceptions = new Map<string, string[]>();
const printed = new Map<string, number>();

function count(family: string, column: Count): void {
  const row = table.get(family) ?? new Map<Count, number>();
  table.set(family, row.set(column, (row.get(column) ?? 0) + 1));
}

function report(name: string, column: Count, input: Uint8Array, detail: string): void {
  const key = `${name} ${column}`;
  const times = (printed.get(key) ?? 0) + 1;
  printed.set(key, times);
  if (times > PRINTED) return;
  console.error(`${key}: ${detail}\n  input ${Buffer.from(input).toString('base64')}`);
}

async function feed({ name, family }: Target, entrance: Entrance, input: Uint8Array): Promise<void> {
  const start = process.cpuUsage();
  let column: Count = 'refused';
  let detail = '';
  try {
    const { accepted, garbage } = await entrance.judge(input);
    if (garbage !== undefined) [column, detail] = ['garbage', garbage];
    else if (accepted) column = 'accepted';
  } catch (error) {
    if (!(error instanceof KeyprovError))
      [column, detail] = ['untyped', String(error instanceof Error ? error.stack : error)];
  }
  const { user, system } = process.cpuUsage(start);
  if (user + system > MOST_CPU) [column, detail] = ['over 1 s', `${((user + system) / 1e6).toFixed(1)} s`];
  count(family, column);
  if (BAD.includes(column)) report(name, column, input, detail);
}

/** Separate dice for each target, so that `--only` does not change its inputs. */
const diceOf = (name: string): Dice =>
  new Dice([...name].reduce((sum, letter) => (Math.imul(sum, 31) + (letter.codePointAt(0) ?? 0)) | 0, SEED) ^ 0x5eed);

/** Heap in use, which unlike resident memory does not depend on the machine's load. */
function heldMib(): number {
  for (let n = 0; n < 3; n++) globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}

const dice = new Map(targets.map(({ name }) => [name, diceOf(name)]));
const start = performance.now();
/** Progress from 0 to 1, by inputs or by minutes, whichever is further. */
const doneBy = (inputs: number): number =>
  Math.max(inputs / Number(given.inputs), (performance.now() - start) / 60_000 / Number(given.minutes));
let inputs = 0;
let early: number | undefined;
// One input for each target in turn, so that the run may end at any time.
while (doneBy(inputs) < 1) {
  for (const target of targets) {
    const own = dice.get(target.name) ?? diceOf(target.name);
    const entrance = own.pick(target.samples);
    await feed(target, entrance, changed(entrance.sample, pool, own));
  }
  inputs += targets.length;
  if (early === undefined && doneBy(inputs) > 0.1) early = heldMib();
}
const late = heldMib();
early ??= late;
for (const { name, samples } of targets) {
  const [{ judgedBy } = { judgedBy: '' }] = samples;
  exceptions.set(judgedBy, [...(exceptions.get(judgedBy) ?? []), name]);
}

console.log(`seed ${SEED}, ${inputs} inputs, ${targets.length} entrances\n`);
console.log(`| family | ${COUNTS.join(' | ')} |\n|---|${COUNTS.map(() => '---:').join('|')}|`);
for (const [family, row] of table)
  console.log(`| ${family} | ${COUNTS.map((column) => row.get(column) ?? 0).join(' | ')} |`);
console.log(`\nheap: ${early.toFixed(0)} MiB after a tenth, ${late.toFixed(0)} MiB at the end\n`);
for (const [words, names] of exceptions)
  console.log(`- ${words}: ${words === 'the same bytes' ? names.length : names.join(', ')}`);
const bad = [...table.values()].some((row) => BAD.some((column) => (row.get(column) ?? 0) > 0));
if (bad || late - early > MOST_MIB) process.exitCode = 1;
