import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { environment, keyprov, MAIN, temporaryDirectory } from './support/keyprov.ts';

const KEYPROV = [process.execPath, MAIN];
const IN_SOFTWARE = ['--tpm', 'none', '--hardware', 'discouraged'];

/** How a shell connects the outputs; `$@` is the command. `code` of the result that is lost, `said` on standard error. */
interface Sink {
  readonly shell: string;
  readonly code: number;
  readonly said: RegExp;
}

const ALL_IS_WELL = { code: 0, said: /^/ };
const FULL = { code: 7, said: /^keyprov: the result cannot be written to standard output: ENOSPC/m };

const SINKS: Readonly<Record<string, Sink>> = {
  'a reader of standard error that leaves': { shell: 'exec 4> >(:); wait $!; "$@" 2>&4', ...ALL_IS_WELL },
  'a full standard error': { shell: '"$@" 2>/dev/full', ...ALL_IS_WELL },
  'a closed standard error': { shell: '"$@" 2>&-', ...ALL_IS_WELL },
  'a full standard output': { shell: '"$@" >/dev/full', ...FULL },
  'a full standard output and error': { shell: '"$@" >/dev/full 2>&1', code: 7, said: /^$/ },
  'a closed standard output': { shell: '"$@" >&-', ...ALL_IS_WELL },
  // As for a program that SIGPIPE ends.
  'a reader of standard output that leaves': { shell: 'exec 4> >(:); wait $!; "$@" >&4', code: 141, said: /^/ },
};

/** What is in a directory, keys without their number. */
const filesIn = (directory: string) =>
  readdirSync(directory)
    .map((name) => name.replace(/^key-.*/, 'key'))
    .sort();

describe.each(Object.entries(SINKS))('%s', (_, { shell, code, said }) => {
  let directory: ReturnType<typeof temporaryDirectory>;
  let key: string;
  beforeAll(() => {
    directory = temporaryDirectory();
    key = join(directory.path, 'key');
    expect(keyprov(['create', ...IN_SOFTWARE, '--out', key]).status).toBe(0);
  });
  afterAll(() => directory[Symbol.dispose]());

  const run = (args: readonly string[]) =>
    spawnSync('bash', ['-c', shell, 'sh', ...KEYPROV, ...args], {
      encoding: 'utf8',
      env: environment(),
      timeout: 60_000,
    });

  it.each([
    ['status', () => ['status', '--store', key]],
    ['status as JSON', () => ['status', '--store', key, '--json']],
    ['sign', () => ['sign', '--store', key, '--in', join(key, 'public.pem')]],
    ['request', () => ['request', '--store', key, '--format', 'strict']],
    ['policy explain', () => ['policy', 'explain']],
    ['inspect', () => ['inspect', join(key, 'public.pem')]],
    ['help', () => ['--help']],
  ])('takes nothing from keyprov %s but its output', (__, args) => {
    const { status, stderr } = run(args());
    expect({ status, stderr }).toEqual({ status: code, stderr: expect.stringMatching(said) });
  });

  it('does not end keyprov create in the middle', () => {
    const out = join(directory.path, 'new');
    expect(run(['create', ...IN_SOFTWARE, '--out', out]).status).toBe(code);
    expect(filesIn(out)).toEqual(filesIn(key));
    expect(keyprov(['sign', '--store', out, '--in', join(key, 'public.pem')]).status).toBe(0);
  });

  it('leaves an error its exit code', () => {
    const { status } = run(['status', '--store', join(directory.path, 'missing')]);
    expect(status).toBe(7);
  });
});
