import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readLockout } from '../../src/tpm/capabilities.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { isRunning } from '../integration/support/is-running.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { missingPrograms } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { keyprov, MAIN, startKeyprov } from './support/keyprov.ts';

const missing = missingPrograms('swtpm');
const withoutTools = missing ?? missingPrograms('tpm2_getrandom');
const withoutLibtpms = await libtpmsMissing();

/** Resolves when `condition` is true. The test's time limit applies. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A command that prints its process id and its TPM, then runs until it is ended. */
const WAITER = ['sh', '-c', 'echo "$$ $KEYPROV_TPM"; while :; do sleep 0.05; done'];

/** Starts WAITER under `keyprov sim` and waits until it runs. */
async function startWaiter(...args: string[]) {
  const started = startKeyprov(['sim', ...args, '--', ...WAITER]);
  const line = await new Promise<string>((resolve) => started.child.stdout.once('data', resolve));
  const [pid = '', address = ''] = line.trim().split(' ');
  const directory = dirname(address.replace(/^[a-z]+:(unix:)?/, ''));
  return { ...started, pid: Number(pid), address, directory };
}

/** The process id of the swtpm that serves below `directory`. */
const swtpmPid = (directory: string) => Number(readFileSync(join(directory, 'pid'), 'utf8'));

describe.skipIf(missing)('keyprov sim', () => {
  it.skipIf(withoutTools)('runs a command that finds the TPM with tpm2-tools', () => {
    const { status, stdout } = keyprov(['sim', '--', 'tpm2_getrandom', '--hex', '16']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^[0-9a-f]{32}$/);
  });

  it('gives the same TPM to keyprov, tpm2-tools and OpenSSL', () => {
    const { stdout } = keyprov(['sim', 'sh', '-c', 'echo "$KEYPROV_TPM $TPM2TOOLS_TCTI $TPM2OPENSSL_TCTI"']);
    const [, path] = /^swtpm:unix:(\S+) /.exec(stdout) ?? [];
    expect(stdout).toBe(`swtpm:unix:${path} swtpm:path=${path} swtpm:path=${path}\n`);
    expect(existsSync(dirname(path ?? ''))).toBe(false);
  });

  it('lets create say that its next command needs this TPM', () => {
    using directory = temporaryDirectory();
    const create = ['create', '--store', join(directory.path, 'keys'), '--pin-file', '-'];
    const { stderr } = keyprov(['sim', '--', process.execPath, MAIN, ...create], { input: '271828' });
    expect(stderr).toMatch(/^next, while the TPM at swtpm:unix:\S+ runs: keyprov sign --in FILE --store /m);
  });

  it('keeps the state in the given directory, and shuts the TPM down cleanly', async () => {
    using directory = temporaryDirectory();
    const state = join(directory.path, 'state');
    const out = join(directory.path, 'key');
    const sim = (...args: string[]) =>
      keyprov(['sim', '--state', state, '--', process.execPath, MAIN, ...args], { input: '135790' });
    expect(sim('create', '--algorithm', 'p-256', '--pin-file', '-', '--out', out).status).toBe(0);
    // Without a shutdown, using a PIN key and losing power three times locks the TPM.
    for (let time = 0; time < 4; time++) {
      expect(sim('sign', '--pin-file', '-', '--store', out, '--in', join(out, 'public.pem')).status).toBe(0);
    }
    await using swtpm = await (await import('../../src/tpm/transports/swtpm-process.ts')).startSwtpm({
      stateDirectory: state,
    });
    await using tpm = await openTpm(swtpm.address);
    expect(await readLockout(tpm)).toMatchObject({ inLockout: false, failedTries: 0 });
  });

  it('ends as the command ends', () => {
    expect(keyprov(['sim', '--', 'sh', '-c', 'exit 42']).status).toBe(42);
    expect(keyprov(['sim', '--', 'sh', '-c', 'kill -9 $$']).status).toBe(137);
    const { status, stderr } = keyprov(['sim', '--', 'no-such-program'], { env: { PATH: '/usr/bin:/bin' } });
    expect(status).toBe(127);
    expect(stderr).toContain('keyprov: there is no program no-such-program; check its name, and PATH');
    const words = keyprov(['sim', '--', 'echo hello'], { env: { PATH: '/usr/bin:/bin' } });
    expect(words.stderr.replaceAll(/\s+/g, ' ')).toContain('or a shell command as: sh -c COMMAND');
  });

  it.each([
    [['--json', 'no-such-program'], 127, 'library-missing'],
    [['--tpm', 'x', '--json'], 2, 'usage'],
  ])('reports its own error as JSON: %j', (args, status, code) => {
    const ended = keyprov(['sim', ...args]);
    expect({ ...ended, json: JSON.parse(ended.stdout) }).toMatchObject({
      status,
      stderr: '',
      json: { ok: false, error: { code } },
    });
  });

  it('leaves standard input and output to the command', () => {
    expect(keyprov(['sim', '--', 'cat'], { input: 'in and out' })).toEqual({
      status: 0,
      stdout: 'in and out',
      stderr: '',
    });
  });

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'passes %s on to the command, and ends the TPM after it',
    async (name) => {
      const { child, ended, pid, directory } = await startWaiter();
      const swtpm = swtpmPid(directory);
      child.kill(name);
      const { status } = await ended;
      expect(status).toBe({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }[name]);
      expect([isRunning(pid), isRunning(swtpm), existsSync(directory)]).toEqual([false, false, false]);
    },
  );

  it('leaves neither the TPM nor the command running when it is killed', async () => {
    const { child, ended, pid, directory } = await startWaiter();
    const swtpm = swtpmPid(directory);
    child.kill('SIGKILL');
    await ended;
    await until(() => !isRunning(pid) && !isRunning(swtpm) && !existsSync(directory));
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)("leaves none of the command's children running: %s", async (name) => {
    const script = 'sleep 400 & echo "$$ $!"; sleep 400; true';
    const { child, ended } = startKeyprov(['sim', '--', 'sh', '-c', script]);
    const line = await new Promise<string>((resolve) => child.stdout.once('data', resolve));
    child.kill(name);
    const pids = line.trim().split(' ').map(Number);
    expect(pids).toHaveLength(2);
    await until(() => !pids.some(isRunning));
    await ended; // which their end brings about: they have its output
  });

  it('leaves nothing behind that does not obey, when it is killed', async () => {
    const script = 'trap "" TERM HUP INT; sleep 400 & echo "$$ $!"; sleep 400; true';
    const { child, ended } = startKeyprov(['sim', '--', 'sh', '-c', script]);
    const line = await new Promise<string>((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGTERM'); // is passed on
    child.kill('SIGKILL');
    const pids = line.trim().split(' ').map(Number);
    expect(pids).toHaveLength(2);
    await until(() => !pids.some(isRunning));
    await ended;
  });

  it('waits for the command when the TPM is killed, and ends as it does', async () => {
    const { ended, pid, directory } = await startWaiter();
    process.kill(swtpmPid(directory), 'SIGKILL');
    await until(() => !existsSync(join(directory, 'pid')) || !isRunning(swtpmPid(directory)));
    process.kill(pid, 'SIGUSR1');
    expect((await ended).status).toBe(138);
    expect(existsSync(directory)).toBe(false);
  });

  it.each([
    [[], 'there is no command to run'],
    [['--engine', 'qemu', '--', 'true'], '--engine'],
    [['--stat', 'x', 'true'], 'unknown option --stat, did you mean --state?'],
  ])('refuses %j', (args, problem) => {
    const { status, stdout, stderr } = keyprov(['sim', ...args]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain(`keyprov: ${problem}`);
  });

  it.each([[], ['--engine', 'libtpms']])('explains the problem with the temporary directory %j', (...engine) => {
    const env = { TMPDIR: '/nonexistent/tmp' };
    const { status, stderr } = keyprov(['sim', ...engine, '--', 'true'], { env });
    expect(status).toBe(7);
    expect(stderr).toMatch(/^keyprov: the temporary directory .* does not exist; set TMPDIR to an existing directory/);
    const json = JSON.parse(keyprov(['sim', '--json', ...engine, '--', 'true'], { env }).stdout);
    expect(json).toMatchObject({ ok: false, error: { code: 'store-io' } });
  });

  it('says what to install if there is no swtpm', () => {
    using directory = temporaryDirectory();
    const { status, stderr } = keyprov(['sim', '--', 'true'], { env: { PATH: directory.path } });
    expect(status).toBe(4);
    expect(stderr).toContain('apt-get install swtpm');
    expect(readdirSync(directory.path)).toEqual([]);
  });
});

describe.skipIf(withoutLibtpms)('keyprov sim --engine libtpms', () => {
  it('gives a TPM that several calls of keyprov use one after the other', () => {
    using directory = temporaryDirectory();
    const script = `
      "$0" "$1" create --algorithm p-256 --out "$2/key" --json >/dev/null &&
      "$0" "$1" sign --store "$2/key" --in "$2/key/public.pem" >/dev/null 2>&1 &&
      echo "$KEYPROV_TPM"`;
    const args = ['--', 'sh', '-c', script, process.execPath, MAIN, directory.path];
    const { status, stdout } = keyprov(['sim', '--engine', 'libtpms', ...args]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^libtpms:\/.*\/state\n$/);
    expect(existsSync(dirname(stdout.trim().slice(8)))).toBe(false);
  });

  it('leaves nothing behind when it is killed', async () => {
    const { child, ended, pid, directory } = await startWaiter('--engine', 'libtpms');
    child.kill('SIGKILL');
    await ended;
    await until(() => !isRunning(pid) && !existsSync(directory));
  });
});
