import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/bytes.ts';
import { isRoot, ORDINARY_USER } from '../ordinary-user.ts';
import { type Bundle, bundle } from './support/bundle.ts';
import { libtpmsMissing, openStarted } from './support/libtpms.ts';
import { NV_DEFINE, NV_READ, nvValue, nvWrite } from './support/raw-commands.ts';

const SUCCESS = 0;

let parent: string;
/** A state directory that does not exist yet. */
let directory: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'keyprov-libtpms-'));
  directory = join(parent, 'tpm');
});

afterEach(() => rmSync(parent, { recursive: true }));

describe.skipIf(await libtpmsMissing())('a TPM in another process or worker', () => {
  let script: Bundle;
  beforeAll(async () => {
    script = await bundle('test/integration/children/libtpms-scenario.ts');
  });
  afterAll(() => script[Symbol.dispose]());

  /** Runs a scenario of `children/libtpms-scenario.ts` to its end; a hanging one fails. */
  function run(name: string, { env = {} }: { env?: NodeJS.ProcessEnv } = {}) {
    const child = spawnSync(process.execPath, ['--expose-gc', script.path, name, directory], {
      env: { ...process.env, ...env },
      encoding: 'utf8',
      killSignal: 'SIGKILL',
      timeout: 280_000,
      cwd: parent,
    });
    const reports = child.stdout.split('\n').filter((line) => line !== '');
    return { ...child, reports: reports.map((line): unknown => JSON.parse(line)) };
  }

  function start(name: string): ChildProcess {
    return spawn(process.execPath, [script.path, name, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  }

  /** The one report of a scenario in a worker. */
  async function runInWorker(name: string): Promise<unknown> {
    const worker = new Worker(script.path, { argv: [name, directory] });
    const exit = once(worker, 'exit');
    const [report] = await once(worker, 'message');
    await exit;
    return report;
  }

  it("calls the system's OpenSSL, never the one inside Node.js", () => {
    const output = join(parent, 'bindings');
    const { reports } = run('bindings', { env: { LD_DEBUG: 'bindings', LD_DEBUG_OUTPUT: output } });
    expect(reports).toEqual([SUCCESS]);
    const log = readdirSync(parent).filter((name) => name.startsWith('bindings'));
    const bindings = log
      .flatMap((name) => readFileSync(join(parent, name), 'utf8').split('\n'))
      .map((line) => /binding file (\S+) \[\d+\] to (\S+) \[\d+\]: \S+ symbol `([^']+)'/.exec(line))
      .filter((match) => match !== null)
      .map(([, from = '', to = '', symbol = '']) => ({ from, to, symbol }));
    const ours = bindings.filter(({ from }) => from.startsWith('/proc/self/fd/'));
    const crypto = bindings.filter(({ from }) => /\/libcrypto\.so/.test(from));
    expect(ours.filter(({ to }) => /\/libcrypto\.so/.test(to)).length).toBeGreaterThan(100);
    expect(crypto.length).toBeGreaterThan(1000);
    expect([...ours, ...crypto].filter(({ to }) => to === process.execPath || /\/node$/.test(to))).toEqual([]);
  });

  it.each([
    ['exit during NV_Write', 7],
    ['exit later during NV_Write', 7],
    ['exit during CreatePrimary', 7],
    ['exit later during CreatePrimary', 7],
    ['throw during NV_Write', 1],
    ['throw during CreatePrimary', 1],
  ])('does not keep its process from ending: %s', (name, status) => {
    for (let n = 0; n < 3; n++) {
      const child = run(name);
      expect(child.signal).toBeNull();
      expect(child.status).toBe(status);
      expect(child.reports).toEqual(['leaving']);
    }
  });

  it('keeps everything that it has acknowledged when its process is killed', async () => {
    {
      await using tpm = await openStarted({ directory });
      await tpm.send(NV_DEFINE);
      await tpm.send(nvWrite(0));
    }
    for (let cycle = 0; cycle < 20; cycle++) {
      const child = start('count');
      let acknowledged = 0;
      for await (const line of createInterface({ input: child.stdout as Readable })) {
        acknowledged = JSON.parse(line);
        if (acknowledged === 1 + cycle) child.kill('SIGKILL');
      }
      if (child.signalCode === null && child.exitCode === null) await once(child, 'exit');
      expect(child.signalCode).toBe('SIGKILL');
      await using tpm = await openStarted({ directory });
      const found = nvValue(await tpm.send(NV_READ));
      expect([acknowledged, acknowledged + 1]).toContain(found);
    }
  });

  it('is refused a directory that is in use, and gets it when it is free', async () => {
    {
      await using _ = await openStarted({ directory });
      expect(run('open').reports).toEqual(['state-in-use']);
      expect(await runInWorker('open')).toBe('state-in-use');
    }
    expect(run('open').reports).toEqual(['opened']);
    expect(await runInWorker('open')).toBe('opened');
  });

  it('makes no new TPM if it may not read the old one', async () => {
    await (await openStarted({ directory })).close();
    const path = join(directory, 'tpm2.state');
    const file = readFileSync(path);
    chmodSync(parent, 0o755);
    for (const theirs of isRoot ? [directory, join(directory, '.lock')] : []) {
      chownSync(theirs, ORDINARY_USER.uid, ORDINARY_USER.gid);
    }
    chmodSync(path, 0);
    expect(run('open as another user').reports).toEqual(['state-io']);
    chmodSync(path, 0o600);
    expect(toHex(readFileSync(path))).toBe(toHex(file));
    expect(readdirSync(directory).sort()).toEqual(['.lock', 'tpm2.state']);
  });

  it('leaves nothing in the working directory', () => {
    expect(run('bindings').reports).toEqual([SUCCESS]);
    expect(readdirSync(parent)).toEqual([]);
  });

  it('needs no more memory after 100,000 commands', () => {
    const [growth] = run('memory').reports;
    expect(growth).toBeLessThan(5 * 1024 * 1024);
  });

  it('lets the event loop go on while RSA keys are made', () => {
    const [turns] = run('event loop').reports;
    expect(turns).toBeGreaterThan(100); // while 20 keys were made
  });

  it('works in two workers at the same time', async () => {
    const reports = await Promise.all([runInWorker('work in parallel'), runInWorker('work in parallel')]);
    const keys = reports.map((report) => {
      expect(report).toMatchObject({ key: expect.stringMatching(/^8002[0-9a-f]{8}00000000/), random: 1000 });
      return (report as { key: string }).key;
    });
    expect(keys[0]).not.toBe(keys[1]);
  });
});
