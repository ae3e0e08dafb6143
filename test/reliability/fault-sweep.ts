/**
 * Injects every type of fault into every command of every operation, on swtpm and on libtpms in this process. After each
 * fault, the operation runs again without one. Run it with
 * `node scripts/reliability.mjs fault-sweep [--seed N] [--each N] [--stride N] [--only OPERATION]
 * [--tpm swtpm|libtpms]`; with a stride of N, it injects every Nth fault. It prints a table. Its exit code is 1 if one of
 * the last five columns is not 0.
 */
import { rm } from 'node:fs/promises';
import { KeyprovError, sayError } from '../../src/errors.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';
import { Dice } from '../mutations.ts';
import { OPERATIONS, WrongResult } from './operations.ts';
import { type FaultyWire, faultyWire, type WireFault } from './wire-faults.ts';
import {
  afterwards,
  BAD,
  type Column,
  endWorld,
  freshCopy,
  given,
  lookAndClose,
  placeIn,
  prepare,
  printTable,
  type Swept,
  withinTime,
} from './world.ts';

const dice = new Dice(Number(given.seed));
/** How often each type of fault is injected into each command. */
const EACH = Number(given.each);
const STRIDE = Number(given.stride);
/** How long to wait for a silent TPM; long enough for a busy machine. */
const SILENCE_MS = 1_500;

/** Every response code that a TPM can return. Each operation meets each code once, at a random command. */
const CODES = Object.values(TPM_RC)
  .map(Number)
  .filter((code) => code !== 0);

function faultsFor(size: number, codes: readonly number[]): WireFault[] {
  const bit = () => dice.roll(Math.max(1, size) * 8);
  return [
    { kind: 'answer bit', bit: bit() },
    { kind: 'answer bit', bit: 80 + dice.roll(32) }, // in the handle, where there is one
    { kind: 'command bit', bit: bit() },
    { kind: 'truncation', length: dice.roll(Math.max(1, size)) },
    { kind: 'silence' },
    { kind: 'duplicate' },
    { kind: 'reorder' },
    ...codes.map((code): WireFault => ({ kind: 'response code', code })),
    { kind: 'cut', when: 'before' },
    { kind: 'cut', when: 'after' },
  ];
}

/** Distributes `things` at random over a number of places, at least one to each. */
function shareOut(things: readonly number[], places: number): number[][] {
  const shares = Array.from({ length: places }, (): number[] => [things[dice.roll(things.length)] ?? 0]);
  for (const thing of things) shares[dice.roll(places)]?.push(thing);
  return shares;
}

/** The original error, if `await using` hid it behind a typed clean-up error. */
const first = (outcome: unknown): unknown =>
  outcome instanceof Error && 'error' in outcome && outcome.error instanceof KeyprovError && 'suppressed' in outcome
    ? first(outcome.suppressed)
    : outcome;

/** Runs one operation with one fault, and returns the result. */
async function once(
  swept: Swept,
  operation: string,
  at: number,
  fault: WireFault | undefined,
): Promise<[Column, FaultyWire, string]> {
  const run = OPERATIONS[operation];
  if (run === undefined) throw new Error(`no operation ${operation}`);
  const { directory, user } = await freshCopy(swept);
  const connection = await swept.connect();
  const faulty = faultyWire(connection, at, fault);
  let [column, said]: [Column, string] = ['correct', ''];
  const put = (next: Column, detail: string) => {
    if (!BAD.includes(column)) [column, said] = [next, detail];
  };
  const timeouts = fault?.kind === 'silence' ? { keyGenerationMs: SILENCE_MS, otherMs: SILENCE_MS } : undefined;
  let tpm: Tpm | undefined;
  const whole = async () => {
    tpm = await Tpm.open(faulty, { commandTimeouts: timeouts, marksDirectory: directory });
    await run(await placeIn(directory, tpm, swept.id, user));
  };
  const outcome = first(await withinTime(whole()));
  if (outcome === 'hang') put('hang', '');
  else if (outcome instanceof WrongResult) put('wrong result accepted', outcome.message);
  else if (outcome instanceof KeyprovError) put('typed error', sayError(outcome));
  else if (outcome !== undefined) put('other error', String(outcome instanceof Error ? outcome.stack : outcome));
  const closed = await withinTime(tpm?.close() ?? Promise.resolve());
  if (closed === 'hang') put('hang', 'close');
  if (faulty.alive) {
    const left = await withinTime(lookAndClose(connection));
    if (!Array.isArray(left)) put('other error', `cannot look: ${left}`);
    else if (left.length > 0) put('leftovers', left.map((one) => one.toString(16)).join(', '));
  }
  if (fault !== undefined) {
    const again = await withinTime(afterwards(swept, operation, { directory, user }, outcome === undefined));
    if (again === 'hang') put('hang', 'afterwards');
    else if (Array.isArray(again)) put(...(again as [Column, string]));
    else if (again !== undefined) put('key unusable', String(again instanceof Error ? again.stack : again));
  }
  await rm(directory, { recursive: true });
  return [column, faulty, said];
}

const table = new Map<string, Map<Column, number>>();
const problems: string[] = [];
try {
  for (const name of ['libtpms', 'swtpm'].filter((one) => given.tpm === undefined || one === given.tpm)) {
    const swept = await prepare(name);
    try {
      for (const operation of Object.keys(OPERATIONS).filter((one) => given.only === undefined || one === given.only)) {
        const [clean, wire, said] = await once(swept, operation, -1, undefined);
        if (clean !== 'correct') throw new Error(`${operation} without a fault: ${clean} ${said}`);
        const counts = new Map<Column, number>();
        table.set(`${name} ${operation}`, counts);
        const codes = shareOut(CODES, wire.seen.length);
        let number = 0;
        for (const [at, { name: command, size }] of wire.seen.entries()) {
          for (const fault of Array.from({ length: EACH }, () => faultsFor(size, codes[at] ?? [])).flat()) {
            // A TPM in this process has no connection to cut.
            if (name === 'libtpms' && (fault.kind === 'cut' || fault.kind === 'silence')) continue;
            if (number++ % STRIDE > 0) continue;
            const [column, , detail] = await once(swept, operation, at, fault);
            counts.set(column, (counts.get(column) ?? 0) + 1);
            if (BAD.includes(column)) {
              problems.push(
                `${name} ${operation}, ${command} (command ${at}), ${JSON.stringify(fault)}: ${column}: ${detail}`,
              );
              console.error(problems.at(-1));
            }
          }
        }
        console.error(`${name} ${operation}: ${JSON.stringify(Object.fromEntries(counts))}`);
      }
    } finally {
      await swept.stop();
    }
  }
} finally {
  await endWorld();
}

console.log(`seed ${given.seed}, ${EACH} of each kind of fault at each command, of which one of ${STRIDE} was taken\n`);
printTable(table);
process.exitCode = problems.length > 0 ? 1 : 0;
