import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { missingPrograms } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { environment, MAIN } from './support/keyprov.ts';

const CONTAINER = ['--pid', '--fork', '--kill-child', '--mount-proc'];

/** The reason why this user may not start the first process of a container. */
function containersRefused(): string | undefined {
  const { status, error, stderr } = spawnSync('unshare', [...CONTAINER, 'true'], { encoding: 'utf8' });
  if (status === 0 || error !== undefined) return undefined;
  console.warn(`skipped: ${stderr}`);
  return stderr;
}

const childOf = (pid: number) => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1'));

// The test runner's time limit reveals an endless wait.
describe.skipIf(missingPrograms('unshare') ?? containersRefused())('the first process of a container', () => {
  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)('is ended by one signal while it waits for a file: %s', async (name, status) => {
    execFileSync('unshare', ['--version']); // without it, the FIFO would never get a reader
    using directory = temporaryDirectory();
    const fifo = join(directory.path, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const command = [...CONTAINER, process.execPath, MAIN, 'inspect', fifo];
    const container = spawn('unshare', command, { env: environment(), stdio: 'ignore' });
    const ended = once(container, 'exit');
    const writer = await open(fifo, 'w'); // which waits for the reader
    try {
      process.kill(childOf(container.pid ?? 0), name);
      expect(await ended).toEqual([status, null]);
    } finally {
      container.kill('SIGKILL');
      await writer.close();
    }
  });
});
