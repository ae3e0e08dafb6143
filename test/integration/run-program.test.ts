import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RunProgramOptions, runProgram } from '../../src/storage/run-program.ts';
import { WatchedChild } from '../../src/tpm/transports/watched-child.ts';
import { asyncRefusal } from '../refusal.ts';
import { filesIn, textOf } from '../unit/source-files.ts';
import { bundle } from './support/bundle.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyprov-test-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const pidFile = () => join(directory, 'pid');

describe.skipIf(process.platform === 'win32')('a program that is run for its output', () => {
  const run = (script: string, options?: RunProgramOptions) => {
    const program = join(directory, 'program.exe');
    writeFileSync(program, `#!/bin/sh\necho $$ > '${pidFile()}'\n${script}\n`);
    chmodSync(program, 0o755);
    return runProgram(program, [], options);
  };

  it('is read up to 1 MiB', async () => {
    expect(await run('head -c 1048576 /dev/zero | tr "\\0" x')).toBe('x'.repeat(1_048_576));
  });

  it.each([
    ['prints more', 'exec yes', {}, 'program.exe printed more than 1048576 bytes'],
    ['is ended by a signal', 'kill -SEGV $$', {}, 'program.exe was killed by SIGSEGV'],
    ['fails', 'echo half; exit 3', {}, 'program.exe ended with exit code 3'],
    [
      'ignores SIGTERM and does not end',
      'trap "" TERM; exec sleep 20',
      { timeoutMs: 300 },
      /did not end within 300 ms$/,
    ],
    ['leaves its output to another one', 'sleep 20 & exec sleep 20', { timeoutMs: 300 }, /did not end within 300 ms$/],
  ])('that %s is an error that says so', async (_, script, options, message) => {
    await expect(run(script, options)).rejects.toMatchObject({
      code: 'library-unsuitable',
      message: typeof message === 'string' ? message : expect.stringMatching(message),
    });
  });

  it('that is not there is missing', async () => {
    const remedy = 'use another one';
    const nowhere = join(directory, 'nowhere');
    expect(await asyncRefusal(() => runProgram(nowhere, [], { remedy }))).toBe(
      `library-missing: there is no ${nowhere}; use another one`,
    );
    expect(await asyncRefusal(() => runProgram('keyprov-no-such-program', []))).toBe(
      'library-missing: there is no keyprov-no-such-program in PATH',
    );
  });

  it('is killed when its output is no longer needed', async () => {
    const abort = new AbortController();
    const running = run('trap "" TERM; exec sleep 20', { signal: abort.signal });
    running.catch(() => undefined);
    while (!existsSync(pidFile()) || readFileSync(pidFile(), 'utf8') === '') await delay(5);
    const pid = Number(readFileSync(pidFile(), 'utf8'));
    abort.abort(new Error('no longer wanted'));
    await expect(running).rejects.toThrow('no longer wanted');
    while (isAlive(pid)) await delay(5); // else the test runs into its time limit
  });

  it('adds one listener to the process, for any number of programs, and removes it', async () => {
    const before = process.listenerCount('exit');
    const all = Array.from({ length: 12 }, () => runProgram('sh', ['-c', 'sleep 0.2']));
    expect(process.listenerCount('exit')).toBe(before + 1);
    await Promise.all(all);
    expect(process.listenerCount('exit')).toBe(before);
  });

  it('is killed if this process exits, whatever else runs', async () => {
    using module = await bundle('src/storage/run-program.ts');
    const script = `import { runProgram } from ${JSON.stringify(module.path)};
      const run = (text) => runProgram('sh', ['-c', text]);
      run('echo $$ > ${pidFile()}; exec sleep 20').catch(() => {});
      await run('while ! [ -s ${pidFile()} ]; do sleep 0.01; done');
      process.exit(0);`;
    await runProgram(process.execPath, ['--input-type=module', '-e', script]);
    const pid = Number(readFileSync(pidFile(), 'utf8'));
    while (isAlive(pid)) await delay(5); // else the test runs into its time limit
  });

  it("is run by one file; others start only lasting processes or the user's commands", () => {
    expect(
      filesIn(['src', 'native'], '.ts').filter((path) =>
        /\b(spawn|exec|fork)\w*\b[^;]*from 'node:child_process'/s.test(textOf(path)),
      ),
    ).toEqual([
      'src/cli/commands/sim.ts',
      'src/cli/terminal/command-output.ts',
      'src/cli/web/open-browser.ts',
      'src/storage/run-program.ts',
      'src/tpm/transports/watched-child.ts',
    ]);
  });
});

describe.skipIf(process.platform === 'win32')('a program that runs beside this one', () => {
  it('is quoted with the last 64 KiB of its output', async () => {
    const command = ['sh', '-c', 'head -c 1000000 /dev/zero | tr "\\0" x >&2; echo end >&2'];
    const child = new WatchedChild({ command, directory });
    while (!(await child.endsWithin(1_000)));
    expect(child.said).toBe(`${'x'.repeat(65_532)}end\n`);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
