import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startIdentityService } from '../../src/testing/index.ts';
import { type Bundle, bundle } from './support/bundle.ts';

const USER = { upn: 'ada@contoso.test', password: 'correct horse' };

let script: Bundle;
const directories: string[] = [];
beforeAll(async () => {
  script = await bundle('test/integration/children/identity-service.ts');
});
afterAll(() => {
  script[Symbol.dispose]();
  for (const directory of directories) rmSync(directory, { recursive: true });
});

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'keyprov-test-'));
  directories.push(directory);
  return directory;
}

it('starts again with all its data after its process was killed, but not while another one runs', async () => {
  const directory = newDirectory();
  const child = spawn(process.execPath, [script.path, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  try {
    await once(createInterface({ input: child.stdout }), 'line');
    await expect(startIdentityService({ users: [USER], directory })).rejects.toMatchObject({
      ...{ code: 'state-in-use', message: expect.stringContaining(`process ${child.pid}`) },
    });
  } finally {
    child.kill('SIGKILL');
    await exit;
  }
  const lock = join(directory, 'service.db.lock');
  expect(existsSync(lock)).toBe(true);

  const service = await startIdentityService({ users: [USER], directory });
  expect(service.devices()).toMatchObject([{ upn: USER.upn, enabled: true }]);
  await service.close();
  await service.close();
  expect(existsSync(lock)).toBe(false);
});

it('keeps its keys from other users of the machine', async () => {
  const directory = join(newDirectory(), 'new');
  await using service = await startIdentityService({ users: [USER], directory });
  expect(service.devices()).toEqual([]);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
});

it('ends and frees port and temporary directory if it cannot start', async () => {
  const directory = newDirectory();
  writeFileSync(join(directory, 'service.db'), 'no database at all, and longer than a header is'.repeat(10));
  await expect(startIdentityService({ users: [], directory })).rejects.toMatchObject({ code: 'state-invalid' });
  await expect(startIdentityService({ users: [], directory: script.path })).rejects.toMatchObject({ code: 'state-io' });

  const kept = newDirectory();
  await using first = await startIdentityService({ users: [] });
  const second = startIdentityService({ users: [], directory: kept, port: first.port });
  await expect(second).rejects.toMatchObject({ code: 'service-unreachable' });
  const third = await startIdentityService({ users: [], directory: kept });
  await third.close();
  const aborted = AbortSignal.abort(new Error('enough'));
  await expect(startIdentityService({ users: [], signal: aborted })).rejects.toThrow('enough');
});
