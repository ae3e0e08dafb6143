import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { commandOutput, commandToken } from '../../../../src/cli/terminal/command-output.ts';
import { asyncRefusal } from '../../../refusal.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyprov-test-'));
});
afterEach(() => {
  vi.useRealTimers();
  for (const pid of pids()) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  rmSync(directory, { recursive: true });
});

/** Prints its process id and runs for a minute. */
const member = (name: string) => `sh -c 'echo $$ >${directory}/${name}; exec sleep 60'`;
const pids = () =>
  ['child', 'background']
    .map((name) => join(directory, name))
    .filter((path) => existsSync(path))
    .map((path) => Number(readFileSync(path, 'latin1')));
const begun = () => vi.waitFor(() => expect(pids().filter((pid) => pid > 0)).toHaveLength(2), { timeout: 200_000 });
/** A zombie, which some init does not wait for, has ended too. */
const isAlive = (pid: number) =>
  existsSync(`/proc/${pid}/stat`) && !/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
const allEnded = () => vi.waitFor(() => expect(pids().filter(isAlive)).toEqual([]), { timeout: 200_000 });

const runFor = (option: '--token-command' | '--graph-token-command', command: string) =>
  commandToken(command, { option, signal: new AbortController().signal });
const run = (command: string, signal = new AbortController().signal) =>
  commandToken(command, { option: '--token-command', signal });

// The test runner's time limit reveals an endless wait.
describe.skipIf(process.platform !== 'linux')('a command of the user', () => {
  it('is done when it ends, even if a child keeps its output open', async () => {
    expect(await run(`${member('background')} 2>/dev/null & echo abc`)).toBe('abc');
    expect(await run('head -c 65536 /dev/zero | tr "\\0" x')).toHaveLength(65_536);
  });

  it('is ended, with what it has started, if it prints too much', async () => {
    const text = 'mfa-failed: the command given with --token-command failed: it printed more than 65536 bytes; ';
    expect(await asyncRefusal(() => run(`${member('background')} & ${member('child')} & yes; true`))).toContain(text);
    await allEnded();
    expect(await asyncRefusal(() => run('head -c 65537 /dev/zero'))).toContain(text);
  });

  it.each([
    ['text before the token', 'printf "WARNING: update\\ntok\\n"', 'several lines'],
    ['a byte of value zero', 'printf "to\\0ken"', 'something that is not a token'],
    ['a word before the token', 'echo Bearer tok', 'something that is not a token'],
    ['blanks only', 'echo " "', 'something that is not a token'],
  ])('prints no token if it prints %s', async (_, command, what) => {
    const message = `the command given with --graph-token-command printed ${what}`;
    expect(await asyncRefusal(() => runFor('--graph-token-command', command))).toBe(
      `token-invalid: ${message}; make it print only the access token`,
    );
  });

  it('may print the token in UTF-16', async () => {
    expect(await run("printf '\\377\\376t\\0o\\0k\\0\\r\\0\\n\\0'")).toBe('tok');
  });

  it.each([
    ['--token-command', 'mfa-failed'],
    ['--graph-token-command', 'token-invalid'],
    ['--recovery-command', 'recovery-unavailable'],
  ] as const)('given with %s fails with %s', async (option, code) => {
    const failing = (command: string) =>
      asyncRefusal(() => commandOutput(command, { option, signal: new AbortController().signal }));
    expect(await failing('exit 3')).toBe(
      `${code}: the command given with ${option} failed: it ended with exit code 3; read its messages, and run the command on its own`,
    );
    expect(await failing('true')).toContain(`${code}: the command given with ${option} failed: it printed nothing`);
  });

  it.each(['', "trap '' TERM; "])('is ended, with what it has started, by a signal: %j', async (before) => {
    const controller = new AbortController();
    const running = run(`${before}${member('background')} & ${member('child')}; true`, controller.signal);
    const refused = expect(running).rejects.toThrow('enough');
    await begun();
    controller.abort(new Error('enough'));
    await refused;
    await allEnded();
  });

  it('has fifteen minutes', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const running = asyncRefusal(() => run(`${member('background')} & ${member('child')}; true`));
    await begun();
    vi.advanceTimersByTime(15 * 60_000);
    vi.useRealTimers();
    expect(await running).toContain('it did not end within 15 minutes');
    await allEnded();
  });
});
