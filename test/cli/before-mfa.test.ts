import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { tctiOf } from '../integration/support/swtpm-address.ts';
import { missingPrograms, toolEnvironment } from '../programs.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { type ServiceWorld, startServiceWorld } from './support/service-world.ts';
import { keyprovInTerminal, terminalsMissing } from './support/terminal.ts';

const commands = commandLines({ cheapScrypt: true });

describe.skipIf(missingPrograms('swtpm', 'tpm2_createprimary') !== undefined)('before the user authenticates', () => {
  let swtpm: SwtpmProcess;
  let directory: ReturnType<typeof temporaryDirectory>;
  let tpm: string[];
  const file = (name: string, content: string): string => {
    const path = `${directory.path}/${name}`;
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  };
  beforeEach(async () => {
    swtpm = await startSwtpm();
    directory = temporaryDirectory();
    tpm = ['--tpm', swtpm.address];
  });
  afterEach(async () => {
    directory[Symbol.dispose]();
    await swtpm[Symbol.asyncDispose]();
  });

  const tool = (name: string, ...args: string[]): void => {
    const env = { ...toolEnvironment(), TPM2TOOLS_TCTI: tctiOf(swtpm) };
    const { status, stderr } = spawnSync(`tpm2_${name}`, args, { env, encoding: 'utf8', cwd: directory.path });
    expect(status, stderr).toBe(0);
  };
  const occupySlots = (): void => {
    for (let slot = 0; slot < 3; slot++) tool('createprimary', '-G', 'ecc');
  };
  const provision = async (world: ServiceWorld, ...options: string[]) => {
    const pin = ['--pin-file', file('pin', '731902'), '--skip-prerequisites'];
    const args = ['provision', ...world.runArgs, ...tpm, '--algorithm', 'p-256', ...pin, ...options];
    return await commands.run(args, { env: { SSH_CONNECTION: '' } });
  };
  const CODE = 'Enter this code';

  it.each(['preferred', 'required'])('a full TPM ends a run, with one advice: hardware %s', async (hardware) => {
    occupySlots();
    await using world = await startServiceWorld();
    const { status, stderr } = await provision(world, '--hardware', hardware);
    expect({ status, advice: stderr.match(/flush/g) }).toEqual({ status: 4, advice: ['flush'] });
    expect(stderr).toMatch(
      /flush a loaded object or session with `keyprov tpm( --tpm \S+)?`, which lists them, and try again/,
    );
    expect(stderr).not.toContain(CODE);
  });

  it('a wrong password of the storage root key ends a run, at the cost of one try, and the right one costs none', async () => {
    tool('createprimary', '-G', 'ecc', '-c', 'srk.ctx', '-p', 'of the root key');
    tool('evictcontrol', '-c', 'srk.ctx', '0x81000001');
    tool('flushcontext', '-t');
    await using world = await startServiceWorld();
    const tries = async () => (await commands.run(['tpm', ...tpm])).stdout.match(/\d+ of 3 wrong tries/)?.[0];
    const wrong = await provision(world, '--tpm-auth', `srk=${file('srk', 'another')}`);
    expect(wrong).toMatchObject({ status: 4, stderr: expect.stringContaining('the storage root key has a password') });
    expect(wrong.stderr).not.toContain(CODE);
    expect(await tries()).toBe('1 of 3 wrong tries');
    const right = await provision(world, '--tpm-auth', `srk=${file('srk', 'of the root key')}`);
    expect(right).toMatchObject({ status: 0, stderr: expect.stringContaining(CODE) });
    // Without the option, its absence is the wrong password, and is also tried only once; then a try is spared.
    const sign = [
      'sign',
      ...tpm,
      '--store',
      world.store,
      '--in',
      file('data', 'data'),
      '--pin-file',
      file('pin', '731902'),
    ];
    expect(await commands.run(sign)).toMatchObject({ status: 6 });
    expect(await tries()).toBe('2 of 3 wrong tries');
    expect((await provision(world, '--device-id', 'f5a8e6b5-4a55-4d48-8f70-7a4fd2b6ca2b')).status).not.toBe(0);
    expect(await tries()).toBe('2 of 3 wrong tries');
  });

  it.skipIf(terminalsMissing())('a full TPM ends commands that would ask for a PIN', async () => {
    const store = ['--store', `${directory.path}/store`];
    const pin = ['--pin-file', file('pin', '731902')];
    const made = await commands.run(['create', ...tpm, ...store, '--algorithm', 'p-256', ...pin]);
    expect(made).toMatchObject({ status: 0 });
    occupySlots();
    for (const command of [['change-pin'], ['sign', '--in', file('data', 'data')]]) {
      const { status, shown } = await keyprovInTerminal([...command, ...tpm, ...store], []);
      expect({ status, asked: shown.includes('(not shown)') }, shown).toEqual({ status: 6, asked: false });
      expect(shown).toContain('no object slot is free');
    }
  });
});
