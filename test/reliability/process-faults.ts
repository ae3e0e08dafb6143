/**
 * Injects faults into processes: SIGKILL at every point with a side effect (also in a separate PID namespace), SIGTERM, a
 * full disk, too few file descriptors, a clock that jumps. After each fault, the operation runs again without one. Run it as
 * root with `node scripts/reliability.mjs process-faults [--kills N] [--only OPERATION] [--fault PATTERN]
 * [--tpm swtpm|libtpms]`; it prints a table. Scrypt runs with N = 2. If there are fewer kills than points, kills and SIGTERM are
 * spread over all points.
 */
import '../cheap-scrypt.mjs';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CHEAP_SCRYPT } from '../cheap-scrypt-option.ts';
import { bundle } from '../integration/support/bundle.ts';
import type { ChildOrder } from './operation-child.ts';
import { OPERATIONS } from './operations.ts';
import {
  afterwards,
  BAD,
  type Column,
  endWorld,
  freshCopy,
  given,
  lookAndClose,
  pair,
  prepare,
  printTable,
  type Swept,
  withinTime,
  world,
} from './world.ts';

const KILLS = Number(given.kills);
/** A child that takes longer hangs, in milliseconds. */
const HANG_MS = 60_000;

using script = await bundle('test/reliability/operation-child.ts');
const recoveryKey = String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));

/** How a child is started, and which fault it meets. */
interface Trial {
  /** A program in front of `node` that changes its environment. */
  readonly prefix?: readonly string[];
  readonly stopAt?: number;
  readonly terminateAt?: number;
  /** Free bytes on the store's disk. */
  readonly room?: number;
}

/** The outcome of a child: its output, `killed`, `hang`, or `not started` if Node.js itself lacked descriptors. */
async function runChild(order: ChildOrder, { prefix = [] }: Trial): Promise<{ said: string; borders: number }> {
  const [command = process.execPath, ...args] = [
    ...prefix,
    process.execPath,
    CHEAP_SCRYPT,
    script.path,
    JSON.stringify(order),
  ];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
  }, HANG_MS);
  let [output, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (output.includes('stopped')) child.kill('SIGKILL');
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  await once(child, 'close');
  clearTimeout(timer);
  if (output.includes('stopped')) return { said: 'killed', borders: 0 };
  const line = output.trim().split('\n').at(-1) ?? '';
  if (line !== '') return JSON.parse(line);
  const said = isLate
    ? 'hang'
    : errors.includes("code: 'EMFILE'")
      ? 'not started'
      : `it ended without a word: ${errors}`;
  return { said, borders: 0 };
}

/** Runs one trial. Returns its outcome; undefined if nothing was started. */
async function attempt(swept: Swept, operation: string, trial: Trial): Promise<[Column, string, number] | undefined> {
  const copy = await freshCopy(swept);
  const { user } = copy;
  const place = trial.room === undefined ? copy.directory : await onSmallDisk(copy.directory, trial.room);
  const { url, ca, tenantId: tenant } = world.service;
  const { said, borders } = await runChild(
    {
      ...{
        operation,
        directory: place,
        tpm: swept.address,
        id: swept.id,
        user,
        deviceId: world.device.deviceId,
        recoveryKey,
        device: world.device,
        stopAt: trial.stopAt,
        terminateAt: trial.terminateAt,
      },
      service: { url, ca, tenant, token: operation === 'provision' ? await world.token(user) : '' },
    },
    trial,
  );
  if (said === 'not started') return undefined;
  if (trial.room !== undefined) await fromSmallDisk(place, copy.directory);
  if (trial.terminateAt !== undefined) {
    // After a signal the process cleans up itself; nothing remains for the next process.
    const left = await lookAndClose(await swept.connect());
    if (left.length > 0) return ['leftovers', left.map((one) => one.toString(16)).join(', '), borders];
  }
  const again = await withinTime(afterwards(swept, operation, copy, said === 'correct'));
  await rm(copy.directory, { recursive: true });
  if (again === 'hang') return ['hang', 'afterwards', borders];
  if (Array.isArray(again)) return [...(again as [Column, string]), borders];
  if (again !== undefined) return ['key unusable', String(again instanceof Error ? again.stack : again), borders];
  const column =
    said === 'correct'
      ? 'correct'
      : /^(typed|killed)/.test(said)
        ? 'typed error'
        : said.startsWith('wrong')
          ? 'wrong result accepted'
          : said === 'hang'
            ? 'hang'
            : 'other error';
  return [column, said, borders];
}

/** Puts the store on a separate disk with `room` free bytes. */
async function onSmallDisk(directory: string, room: number): Promise<string> {
  const disk = `${directory}-disk`;
  await mkdir(disk, { mode: 0o700 });
  mustRun('mount', '-t', 'tmpfs', '-o', 'size=256k,mode=0700', 'tmpfs', disk);
  const store = join(disk, 'store');
  await cp(directory, store, { recursive: true });
  const free = Number(mustRun('df', '--output=avail', '-B1', disk).split('\n')[1]);
  if (free > room) await writeFile(join(disk, 'filler'), new Uint8Array(free - room));
  return store;
}

async function fromSmallDisk(store: string, directory: string): Promise<void> {
  await rm(directory, { recursive: true });
  await cp(store, directory, { recursive: true });
  mustRun('umount', join(store, '..'));
}

function mustRun(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

const NAMESPACE = ['unshare', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc'];

/** The faults for each operation; `borders` is the number of points at which a complete run can be killed. */
function* trials(borders: number): Generator<[name: string, trial: Trial]> {
  const spread = (n: number) => 1 + (Math.floor((n * Math.max(borders, KILLS)) / KILLS) % borders);
  for (let n = 0; n < KILLS; n++) {
    yield ['SIGKILL', { stopAt: spread(n) }];
    yield ['SIGKILL in a PID namespace', { stopAt: spread(n), prefix: NAMESPACE }];
  }
  for (let n = 0; n < Math.min(borders, KILLS); n++) yield ['SIGTERM', { terminateAt: spread(n) }];
  for (let room = 0; room <= 16_384; room += 4096) yield ['full disk', { room }];
  for (let files = 20; files < 40; files++) yield ['EMFILE', { prefix: ['prlimit', `--nofile=${files}`] }];
  if (spawnSync('which', ['faketime']).status === 0) {
    for (const jump of ['-10y', '-1d', '+1d', '+10y']) yield ['clock jump', { prefix: ['faketime', '-f', jump] }];
  }
}

const table = new Map<string, Map<Column, number>>();
let bad = 0;
try {
  for (const name of ['libtpms', 'swtpm'].filter((one) => given.tpm === undefined || one === given.tpm)) {
    const swept = await prepare(name);
    try {
      for (const operation of Object.keys(OPERATIONS).filter((one) => given.only === undefined || one === given.only)) {
        const [clean, said, borders] = (await attempt(swept, operation, {})) ?? ['other error', 'not started', 0];
        if (clean !== 'correct') throw new Error(`${operation} without a fault: ${clean} ${said}`);
        for (const [kind, trial] of trials(borders)) {
          if (!new RegExp(given.fault ?? '').test(kind)) continue;
          const came = await attempt(swept, operation, trial);
          if (came === undefined) continue;
          const [column, detail] = came;
          const row = `${name} ${operation}, ${kind}`;
          const counts = table.get(row) ?? new Map<Column, number>();
          table.set(row, counts.set(column, (counts.get(column) ?? 0) + 1));
          if (!BAD.includes(column)) continue;
          bad += 1;
          console.error(`${row} ${JSON.stringify(trial)}: ${column}: ${detail}`);
        }
      }
    } finally {
      await swept.stop();
    }
  }
} finally {
  await endWorld();
}
console.log(`${KILLS} kills of each operation, over all its borders\n`);
printTable(table);
process.exitCode = bad > 0 ? 1 : 0;
