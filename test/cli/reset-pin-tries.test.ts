import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { keyprovInTerminal } from './support/terminal.ts';

const commands = commandLines({ cheapScrypt: true });

describe('keyprov status --reset-pin-tries', () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  const path = (name: string) => join(directory.path, name);
  const reset = (store = 'copy') => ['status', '--store', path(store), '--reset-pin-tries'];
  const create = (...more: readonly string[]) =>
    commands.json(['create', '--store', path('store'), '--tpm', 'none', '--algorithm', 'p-256', ...more]);
  const sign = (store = 'copy') =>
    commands.run(['sign', '--store', path(store), '--in', path('data'), '--pin-file', path('pin')]);
  let id: string;

  beforeEach(async () => {
    directory = temporaryDirectory();
    writeFileSync(path('data'), 'what is signed');
    writeFileSync(path('pin'), '731902', { mode: 0o600 });
    id = String((await create('--pin-file', path('pin'))).json.id);
    expect((await sign('store')).status).toBe(0);
    cpSync(path('store'), path('copy'), { recursive: true });
  });
  afterEach(() => directory[Symbol.dispose]());

  it('unlocks a key of a restored backup, as the refusal advises', async () => {
    const locked = await sign();
    expect(locked.status).toBe(5);
    expect(locked.stderr).toMatch(/restored or copied .* yourself, .*keyprov status .*--reset-pin-tries/);
    expect(await commands.onlyJson([...reset(), '--yes'])).toMatchObject({
      status: 0,
      json: { ok: true, store: path('copy'), id, pinTriesReset: true },
    });
    expect((await sign()).status).toBe(0);
    expect((await commands.run([...reset('store'), '--yes', '--key', id])).stdout).toBe(
      `the count of wrong PINs of the key ${id} is now 0\n`,
    );
  });

  it('asks first, and without a terminal needs --yes', async () => {
    expect(await commands.run(reset())).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--yes is missing'),
    });
    expect((await commands.run(['status', '--store', path('copy'), '--yes'])).stderr).toContain(
      '--yes works only with --reset-pin-tries',
    );
    expect((await keyprovInTerminal(reset(), [['to continue: ', 'no\r']])).status).toBe(1);
    expect((await sign()).status).toBe(5);
    const { status, shown } = await keyprovInTerminal(reset(), [['to continue: ', 'yes\r']]);
    expect(shown.replaceAll(/\s+/g, ' ')).toContain(`of the key ${id} in ${path('copy')} to 0`);
    expect(status).toBe(0);
    expect((await sign()).status).toBe(0);
  });

  it('resets no count that there is not, and says so', async () => {
    const other = String((await create()).json.id);
    expect(await commands.run([...reset('store'), '--yes'])).toMatchObject({
      status: 7,
      stderr: expect.stringContaining('--key'),
    });
    expect(await commands.onlyJson([...reset('store'), '--yes', '--key', other])).toMatchObject({
      status: 7,
      json: { error: { code: 'key-invalid', message: `the key ${other} has no PIN, so there is no count to reset` } },
    });
  });
});
