import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { tctiOf } from '../integration/support/swtpm-address.ts';
import { missingPrograms, toolEnvironment } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { startServiceWorld } from './support/service-world.ts';
import { keyprovInTerminal, terminalsMissing } from './support/terminal.ts';

const commands = commandLines({ cheapScrypt: true });
const PASSWORDS = { owner: 'the owner of it', endorsement: 'the endorsement', lockout: 'for the lockout' };
const PIN = '731902';

describe.skipIf(missingPrograms('swtpm', 'tpm2_changeauth') !== undefined)('passwords of the hierarchies', () => {
  let swtpm: SwtpmProcess;
  let directory: ReturnType<typeof temporaryDirectory>;
  let tpm: string[];
  const path = (name: string) => `${directory.path}/${name}`;
  const tool = (name: string, ...args: string[]): void => {
    const env = { ...toolEnvironment(), TPM2TOOLS_TCTI: tctiOf(swtpm) };
    const { status, stderr } = spawnSync(`tpm2_${name}`, args, { env, encoding: 'utf8' });
    expect(status, stderr).toBe(0);
  };

  beforeEach(async () => {
    swtpm = await startSwtpm();
    directory = temporaryDirectory();
    tpm = ['--tpm', swtpm.address];
    for (const [name, password] of Object.entries(PASSWORDS)) {
      tool('changeauth', '-c', name, password);
      writeFileSync(path(name), `${password}\n`, { mode: 0o600 });
    }
    writeFileSync(path('pin'), PIN, { mode: 0o600 });
    writeFileSync(path('data'), 'what is signed');
  });
  afterEach(async () => {
    directory[Symbol.dispose]();
    await swtpm[Symbol.asyncDispose]();
  });

  const files = () => ['--tpm-auth', `owner=${path('owner')}`, '--tpm-auth', `endorsement=${path('endorsement')}`];
  const create = () => ['create', ...tpm, '--out', path('key'), '--algorithm', 'p-256', '--pin-file', path('pin')];
  const sign = () => ['sign', ...tpm, '--store', path('key'), '--in', path('data'), '--pin-file', path('pin')];

  it('come from files, or standard input, for every command on a key', async () => {
    expect(await commands.onlyJson([...create(), ...files()])).toMatchObject({ status: 0 });
    const input = `${PASSWORDS.owner}\n`;
    expect((await commands.run([...sign(), '--tpm-auth', 'owner=-'], { input })).status).toBe(0);
    expect((await commands.run(['status', ...tpm, '--store', path('key'), ...files()])).stdout).toContain(
      'has the key',
    );
    const attest = ['attest', ...tpm, '--store', path('key'), '--format', 'statement', '--challenge', 'c0ffee'];
    expect((await commands.run([...attest, ...files(), '--out', path('statement')])).status).toBe(0);
  });

  it('are named with the option if one is missing or wrong, and no software key takes the place', async () => {
    const none = await commands.run(create());
    expect(none).toMatchObject({ status: 4, stderr: expect.stringContaining('the owner hierarchy has a password') });
    expect(none.stderr).toContain("provide the owner hierarchy's password (--tpm-auth owner=FILE)");
    expect((await commands.run([...create(), ...files()])).status).toBe(0);
    for (const more of [[], ['--json']]) {
      const { stdout } = await commands.run(['status', ...tpm, '--store', path('key'), ...more]);
      expect(stdout).toContain("provide the owner hierarchy's password (--tpm-auth owner=FILE)");
      expect(stdout).not.toContain('hierarchyAuth');
    }
    rmSync(path('key'), { recursive: true });
    const [option = '', file = ''] = files();
    const half = await commands.run([...create(), option, file, '--attestation', 'required']);
    expect(half).toMatchObject({ status: 3, stderr: expect.stringContaining('the endorsement hierarchy has') });
    expect(half.stderr).toContain("provide the endorsement hierarchy's password (--tpm-auth endorsement=FILE)");
    // If policy only prefers an attestation, the key is made, and the output says why there is none.
    const { json: made } = await commands.onlyJson([...create(), option, file]);
    expect(made).toMatchObject({
      ...{ backend: 'tpm', fellBack: false },
      warnings: [expect.stringContaining('(--tpm-auth endorsement=FILE)')],
    });
    expect(JSON.stringify(made)).not.toContain('hierarchyAuth');
    writeFileSync(path('owner'), 'another');
    const { json } = await commands.onlyJson([...create(), ...files(), '--force']);
    expect(json).toMatchObject({ error: { code: 'tpm-unavailable' } });
    expect(JSON.stringify(json)).toContain('owner hierarchy');
    for (const wrong of [files(), []]) {
      const any = await commands.run([...create(), ...wrong, '--force', '--fall-back', 'any']);
      expect(any).toMatchObject({ status: 4, stderr: expect.stringContaining('--tpm-auth owner=FILE') });
      expect(any.stderr).not.toMatch(/software|--fall-back/);
    }
  });

  it.skipIf(terminalsMissing())('are asked for in a terminal, by their names, and not shown', async () => {
    const hidden = '(not shown): ';
    const steps = [
      [`Password of the TPM's owner hierarchy ${hidden}`, `${PASSWORDS.owner}\r`],
      [`Password of the TPM's endorsement hierarchy ${hidden}`, `${PASSWORDS.endorsement}\r`],
    ] as const;
    const { status, shown, stdout, echoes } = await keyprovInTerminal(create(), steps);
    expect({ status, echoes }).toEqual({ status: 0, echoes: [false, false] });
    for (const password of Object.values(PASSWORDS)) expect(shown + stdout).not.toContain(password);
  });

  it('are needed before the user authenticates, and a line of standard input serves the entire run', async () => {
    await using world = await startServiceWorld();
    const options = [
      '--attestation',
      'none',
      '--algorithm',
      'p-256',
      '--pin-file',
      path('pin'),
      '--skip-prerequisites',
    ];
    const provision = ['provision', ...world.runArgs, ...tpm, ...options, '--tpm-auth', 'owner=-'];
    const wrong = await commands.json(provision, { input: 'another\n', env: { SSH_CONNECTION: '' } });
    expect(wrong).toMatchObject({ status: 4, json: { error: { code: 'tpm-unavailable' } } });
    expect(wrong.stderr).not.toContain('Enter this code');
    const input = `${PASSWORDS.owner}\n`;
    const right = await commands.json(provision, { input, env: { SSH_CONNECTION: '' } });
    expect(right).toMatchObject({
      status: 0,
      json: { backend: 'tpm' },
      stderr: expect.stringContaining('Enter this code'),
    });
  });

  it('end the lockout of a TPM', async () => {
    expect((await commands.run([...create(), ...files()])).status).toBe(0);
    tool('dictionarylockout', '-s', '-n', '1', '-t', '1000', '-l', '0', '-p', PASSWORDS.lockout);
    writeFileSync(path('pin'), '731903', { mode: 0o600 });
    await commands.run([...sign(), ...files(), '--force']);
    const locked = await commands.run([...sign(), ...files()]);
    expect(locked.stderr.replaceAll(/\s+/g, ' ')).toMatch(
      /wait up to \d+ s, or reset the lockout with keyprov tpm --tpm \S+ --reset-lockout and the password .* set $/,
    );
    const reset = ['tpm', ...tpm, '--reset-lockout', '--tpm-auth', `lockout=${path('lockout')}`];
    expect((await commands.run(reset)).stdout).toContain('the count of wrong PINs is now 0');
    writeFileSync(path('pin'), PIN, { mode: 0o600 });
    expect((await commands.run([...sign(), ...files(), '--force'])).status).toBe(0);
  });

  it('are not tried if one is missing, so that the right one still ends a lockout', async () => {
    const reset = ['tpm', ...tpm, '--reset-lockout'];
    const without = await commands.run(reset);
    expect(without).toMatchObject({ status: 6, stdout: '' });
    expect(without.stderr).toBe(
      'keyprov: the lockout hierarchy has a password, but none was given; the command was not sent; ' +
        "provide the lockout hierarchy's password (--tpm-auth lockout=FILE)\n",
    );
    const { status, stdout } = await commands.run([...reset, '--tpm-auth', `lockout=${path('lockout')}`]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining('is now 0') });
  });

  it('say for how long a wrong one of the lockout hierarchy blocks it, and do not advise to try again', async () => {
    tool('dictionarylockout', '-s', '-n', '3', '-t', '1000', '-l', '77', '-p', PASSWORDS.lockout);
    const reset = ['tpm', ...tpm, '--reset-lockout', '--tpm-auth', `lockout=${path('lockout')}`];
    writeFileSync(path('lockout'), 'another');
    const said = async (status: number) => {
      const run = await commands.run(reset);
      expect(run.status).toBe(status);
      return run.stderr.replaceAll(/\s+/g, ' ');
    };
    const wait = 'wait 77 seconds, then pass the right password (--tpm-auth lockout=FILE) ';
    expect(await said(6)).toMatch(`the lockout hierarchy has a password, but it was missing or wrong; ${wait}`);
    writeFileSync(path('lockout'), PASSWORDS.lockout);
    const blocked = 'an earlier password for the lockout hierarchy was wrong, so the TPM accepts none at present';
    expect(await said(5)).toBe(`keyprov: TPM2_DictionaryAttackLockReset: TPM_RC_LOCKOUT: ${blocked}; ${wait}`);
    expect(await commands.onlyJson(reset)).toMatchObject({
      json: { error: { code: 'tpm-lockout', retryAfterSeconds: 77 } },
    });
  });

  it('are looked at before the TPM asks for them, which may be on another machine only', async () => {
    const refused = async (content: string | Uint8Array | undefined) => {
      if (content !== undefined) writeFileSync(path('x'), content, { mode: 0o600 });
      const { status, stderr } = await commands.run(['tpm', ...tpm, '--tpm-auth', `owner=${path('x')}`]);
      return `${status} ${stderr}`;
    };
    expect(await refused(undefined)).toBe(
      '2 keyprov: --tpm-auth owner: the file does not exist\nkeyprov: see keyprov tpm --help\n',
    );
    expect(await refused('\n')).toContain('2 keyprov: --tpm-auth owner: the password is empty');
    for (const size of [65, 66, 5000]) {
      expect(await refused('x'.repeat(size))).toContain('2 keyprov: --tpm-auth owner: a TPM password has at most 64');
    }
    expect(await refused(`${'x'.repeat(64)}\r\n`)).toBe('0 ');
    // `>` of Windows PowerShell, and an editor.
    for (const encoded of [Buffer.from(`\ufeff${PASSWORDS.owner}\r\n`, 'utf16le'), `\ufeff${PASSWORDS.owner}\n`]) {
      expect(await refused(encoded)).toContain('2 keyprov: --tpm-auth owner: the file is text in UTF-16 or');
    }
    const directory = await commands.run(['tpm', ...tpm, '--tpm-auth', `owner=${path('.')}`]);
    expect(directory).toMatchObject({ status: 2, stderr: expect.stringContaining('is a directory, not a file') });
  });

  it.each([
    ['fffe8c41d7539b02', ''],
    ['fffe8c41d7539b02', '0a'],
    ['feff0d', ''],
    ['4100', ''],
    ['00410a', '0a'],
  ])('may be any bytes: %s, then a newline if there is one: %s', async (password, newline) => {
    tool('changeauth', '-c', 'owner', '-p', PASSWORDS.owner, `hex:${password}`);
    writeFileSync(path('owner'), Buffer.from(password + newline, 'hex'));
    expect(await commands.run([...create(), ...files()])).toMatchObject({ status: 0 });
  });

  it('leave the state of the lockout visible, without a try', async () => {
    expect((await commands.run([...create(), ...files()])).status).toBe(0);
    tool('dictionarylockout', '-s', '-n', '2', '-t', '1000', '-l', '0', '-p', PASSWORDS.lockout);
    const status = ['status', ...tpm, '--store', path('key'), ...files()];
    const free = '0 of 2 wrong tries, 2 left; the count decreases by one every 1000 seconds';
    for (let i = 0; i < 2; i++) {
      expect((await commands.run(['tpm', ...tpm])).stdout).toBe(
        `no transient objects, no sessions\nPIN tries: ${free}\n`,
      );
      expect(await commands.run(status)).toMatchObject({
        status: 0,
        stdout: expect.stringContaining(`PIN tries    ${free}`),
      });
    }
    writeFileSync(path('pin'), '731903', { mode: 0o600 });
    await commands.run([...sign(), ...files()]);
    const last = await commands.run([...sign(), ...files(), '--force']);
    expect(last.stderr).toContain('the PIN is wrong; 0 tries are left; wait 1000 s for another try');
    const locked = 'locked: 2 of 2 wrong tries; the count decreases by one every 1000 seconds';
    expect((await commands.run(['tpm', ...tpm])).stdout).toContain(
      `PIN tries: ${locked}\nwait, or end it with keyprov tpm ${tpm.join(' ')} --reset-lockout\n`,
    );
    const shown = await commands.run(status);
    expect(shown.status).toBe(5);
    expect(shown.stdout).toContain(`PIN tries    ${locked}`);
    expect(shown.stdout).toContain('the TPM is locked and accepts no PIN');
    expect(await commands.onlyJson(status)).toMatchObject({
      json: { error: { code: 'tpm-lockout' }, lockout: { inLockout: true, failedTries: 2, maxTries: 2 } },
    });
  });
});
