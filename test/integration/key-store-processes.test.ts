import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { keyRecord } from '../key-record.ts';
import { type Bundle, bundle } from './support/bundle.ts';

let script: Bundle;
let directory: string;

beforeAll(async () => {
  script = await bundle('test/integration/children/store-worker.ts');
});
afterAll(() => script[Symbol.dispose]());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'keyprov-store-'));
  await (await openKeyStore(directory)).save(keyRecord('shared'));
});
afterEach(async () => {
  for (const { process } of started.splice(0)) process.kill('SIGKILL');
  await rm(directory, { recursive: true });
});

const started: Worker[] = [];

class Worker {
  readonly process: ChildProcess;
  said = '';

  constructor(times: number, then = '', [command, ...before]: readonly string[] = []) {
    const run = [process.execPath, script.path, directory, String(times), then];
    const [program = '', ...rest] = command === undefined ? run : [command, ...before, ...run];
    this.process = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.said += text;
    });
    started.push(this);
  }

  /** How the process ended: code and signal. */
  async end(): Promise<unknown> {
    return await once(this.process, 'close');
  }

  /** Kills it once it has printed `word`, and tells how many updates it reported as written. */
  async killAfter(word: string): Promise<number> {
    const ended = this.end();
    while (!this.said.includes(word)) await once(this.process.stdout ?? this.process, 'data');
    this.process.kill('SIGKILL');
    expect(await ended).toEqual([null, 'SIGKILL']);
    return this.said.split('written').length - 1;
  }
}

async function counter(): Promise<number> {
  const { records, damaged } = await (await openKeyStore(directory)).list();
  expect(damaged).toEqual([]);
  return Number(records[0]?.annotations.counter);
}

describe('a key store of several processes', () => {
  it('loses no update, and shows only complete records', async () => {
    const workers = Array.from({ length: 4 }, () => new Worker(50));
    const ended = Promise.all(workers.map((worker) => worker.end()));
    const seen = [await counter()];
    while (workers.some(({ process }) => process.exitCode === null)) seen.push(await counter());
    expect(await ended).toEqual(workers.map(() => [0, null]));
    expect(await counter()).toBe(200);
    expect(seen.length).toBeGreaterThan(20);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect((await readdir(directory)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('continues at once if a process is killed while it has the lock', async () => {
    for (let kill = 1; kill <= 3; kill++) {
      expect(await new Worker(1, 'hang').killAfter('inside')).toBe(1);
      expect(await new Worker(1).end()).toEqual([0, null]);
      expect(await counter()).toBe(2 * kill);
    }
  });

  it('serves twenty processes at once', async () => {
    const workers = Array.from({ length: 20 }, () => new Worker(5));
    expect(await Promise.all(workers.map((worker) => worker.end()))).toEqual(workers.map(() => [0, null]));
    expect(await counter()).toBe(100);
  });

  it.runIf(process.platform === 'linux' && process.getuid?.() === 0)(
    'continues at once if a process in another PID namespace is killed while it has the lock',
    async () => {
      const container = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
      expect(await new Worker(1, 'hang', container).killAfter('inside')).toBe(1);
      expect(await new Worker(1).end()).toEqual([0, null]);
      expect(await new Worker(1, '', container).end()).toEqual([0, null]);
      expect(await counter()).toBe(3);
    },
  );

  it('keeps every update that was reported when processes are killed anywhere', async () => {
    const survivor = new Worker(300);
    const ended = survivor.end();
    const KILLS = 10;
    let reported = 0;
    for (let kill = 0; kill < KILLS; kill++) reported += await new Worker(10_000).killAfter('written');
    expect(await ended).toEqual([0, null]);
    const total = await counter();
    expect(reported).toBeGreaterThanOrEqual(KILLS);
    expect(total).toBeGreaterThanOrEqual(300 + reported);
    expect(total).toBeLessThanOrEqual(300 + reported + KILLS); // each may have written one that it did not report
  });
});
