/**
 * The scenarios that the libtpms tests run in a separate process or worker: `script NAME DIRECTORY`. Prints one line of JSON
 * for each result.
 */
import { writeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { isMainThread, parentPort } from 'node:worker_threads';
import { toHex } from '../../../src/bytes.ts';
import { KeyprovError } from '../../../src/errors.ts';
import { openLibtpms } from '../../../src/tpm/transports/libtpms.ts';
import { loopTurnsDuring } from '../../event-loop.ts';
import {
  CREATE_ECC,
  codeOf,
  createRsa,
  FLUSH,
  GET_RANDOM,
  NV_DEFINE,
  nvWrite,
  STARTUP_CLEAR,
} from '../support/raw-commands.ts';

const [, , name = '', directory = ''] = process.argv;

function report(result: unknown): void {
  if (isMainThread) writeSync(1, `${JSON.stringify(result)}\n`);
  else parentPort?.postMessage(result);
}

async function started(options: { directory?: string } = {}) {
  const tpm = await openLibtpms(options);
  await tpm.send(STARTUP_CLEAR);
  return tpm;
}

/** Exits the process during `command`, `delay` milliseconds after it was sent. */
async function leaveDuring(command: Uint8Array, how: 'exit' | 'throw', delay: number): Promise<void> {
  const tpm = await started({ directory });
  await tpm.send(NV_DEFINE);
  void tpm.send(command);
  if (delay > 0) await setTimeout(delay);
  report('leaving');
  if (how === 'exit') process.exit(7);
  globalThis.setTimeout(() => {
    throw new Error('nobody catches this');
  });
}

async function openingFails(): Promise<void> {
  try {
    await using _ = await openLibtpms({ directory, lockTimeoutMs: 0 });
    report('opened');
  } catch (error) {
    report(error instanceof KeyprovError ? error.code : String(error));
  }
}

const scenarios: Readonly<Record<string, () => Promise<void>>> = {
  async bindings() {
    await using tpm = await started();
    report(codeOf(await tpm.send(CREATE_ECC)));
  },
  'exit during NV_Write': () => leaveDuring(nvWrite(1), 'exit', 0),
  'exit later during NV_Write': () => leaveDuring(nvWrite(1), 'exit', 1),
  'exit during CreatePrimary': () => leaveDuring(createRsa(1), 'exit', 0),
  'exit later during CreatePrimary': () => leaveDuring(createRsa(1), 'exit', 10),
  'throw during NV_Write': () => leaveDuring(nvWrite(1), 'throw', 0),
  'throw during CreatePrimary': () => leaveDuring(createRsa(1), 'throw', 0),
  /** Counts up in NV and prints every number that the TPM has acknowledged, until it is killed. */
  async count() {
    const tpm = await started({ directory });
    for (let value = 1; ; value++) {
      if (codeOf(await tpm.send(nvWrite(value))) !== 0) throw new Error('NV_Write failed');
      report(value);
    }
  },
  'open as another user': async () => {
    // Loads all files that this user may not read later.
    await using _ = await openLibtpms();
    if (process.getuid?.() === 0) process.seteuid?.(65534);
    await openingFails();
  },
  open: openingFails,
  async memory() {
    if (globalThis.gc === undefined) throw new Error('needs --expose-gc');
    await using tpm = await started({ directory });
    await tpm.send(NV_DEFINE);
    const resident = () => {
      globalThis.gc?.();
      return process.memoryUsage().rss;
    };
    let value = 0;
    const run = async (commands: number) => {
      for (let n = 0; n < commands; n += 2) {
        await tpm.send(n % 500 === 0 ? nvWrite(++value) : GET_RANDOM);
        tpm.sendSync(GET_RANDOM);
      }
    };
    await run(20_000);
    const before = resident();
    await run(100_000);
    report(resident() - before);
  },
  'event loop': async () => {
    await using tpm = await started();
    const turns: number[] = [];
    for (let unique = 0; unique < 20; unique++) {
      const made = async () => {
        if (codeOf(await tpm.send(createRsa(unique))) !== 0) throw new Error('CreatePrimary failed');
      };
      turns.push(await loopTurnsDuring(made));
      await tpm.send(FLUSH);
    }
    report(turns.reduce((sum, one) => sum + one));
  },
  'work in parallel': async () => {
    await using tpm = await started();
    const key = toHex(await tpm.send(createRsa(1)));
    const random = new Set<string>();
    for (let n = 0; n < 1000; n++) random.add(toHex(await tpm.send(GET_RANDOM)));
    report({ key, random: random.size });
  },
};

const scenario = scenarios[name];
if (scenario === undefined) throw new Error(`no scenario ${name}`);
await scenario();
