import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { claimRun, listRuns } from '../../src/provisioning/run-journal.ts';
import { asyncRefusal } from '../refusal.ts';
import { type Bundle, bundle } from './support/bundle.ts';

const begin = {
  user: 'alice@contoso.test',
  deviceId: '47f577e3-d2d0-4a0a-8aca-e0501098bde4',
  service: 'https://service.test/EnrollmentServer/key/',
  now: new Date(0),
};

let script: Bundle;
let directory: string;
beforeAll(async () => {
  script = await bundle('test/integration/children/run-worker.ts');
});
afterAll(() => script[Symbol.dispose]());
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'keyprov-runs-'));
});
afterEach(() => rm(directory, { recursive: true }));

const isRoot = process.platform === 'linux' && process.getuid?.() === 0;

describe('a run whose process was killed', () => {
  const places: readonly (readonly [string, readonly string[]])[] = [
    ['beside this one', []],
    ['in a PID namespace of its own', ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']],
  ];
  it.each(places.slice(0, isRoot ? 2 : 1))('%s, continues at the next start, and not before', async (_, container) => {
    const [command = '', ...rest] = [...container, process.execPath, script.path, directory];
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    try {
      await once(child.stdout, 'data');
      const store = await openKeyStore(directory);
      expect(await asyncRefusal(() => claimRun(store, begin))).toMatch(
        /^run-active: process \d+ is provisioning a key for alice/,
      );
      expect((await listRuns(store)).map(({ active }) => active)).toEqual([true]);
    } finally {
      child.kill('SIGKILL');
      await closed; // every process with the pipe is gone
    }
    const store = await openKeyStore(directory);
    expect((await listRuns(store)).map(({ active }) => active)).toEqual([false]);
    expect((await claimRun(store, begin)).resumed).toBe(true);
  });
});
