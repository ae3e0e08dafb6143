import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { startKeyprov } from './support/keyprov.ts';
import { addressOf, openPage } from './support/page-client.ts';

const missing = await libtpmsMissing();
const commands = commandLines({ cheapScrypt: true });
const PIN = '730519-Xq';
const DEVICE = 'a40e6b36-4d0f-4d3a-8f5c-0a0d6b8a3c11';

interface Entry {
  readonly status: string;
  readonly name: string;
  readonly detail: string;
  readonly remedy?: string;
  readonly rows?: readonly (readonly [string, string])[];
}

/** The entries of each section of a state. */
const sectionsOf = (state: Record<string, unknown>): Record<string, Entry[]> =>
  Object.fromEntries(Array.from(Object(state.sections), (section) => [Object(section).id, Object(section).entries]));

/** What each section shows if it has no entries. */
const emptyOf = (state: Record<string, unknown>): Record<string, string> =>
  Object.fromEntries(Array.from(Object(state.sections), (section) => [Object(section).id, Object(section).empty]));

const rowsOf = (entry: Entry | undefined): Record<string, string> => Object.fromEntries(entry?.rows ?? []);

/** All files below a directory, with their contents and modification times. */
const filesOf = (directory: string): unknown[] =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => join(directory, name))
    .map((path) => [path, statSync(path).mtimeMs, statSync(path).isFile() && readFileSync(path, 'base64')]);

let directory: ReturnType<typeof temporaryDirectory>;
let started: ReturnType<typeof startKeyprov> | undefined;
beforeEach(() => {
  directory = temporaryDirectory();
  started = undefined;
});
afterEach(async () => {
  started?.child.kill('SIGKILL');
  await started?.ended;
  directory[Symbol.dispose]();
});

const path = (name: string): string => join(directory.path, name);
const store = (): string => path('store');

async function dashboard(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const command = startKeyprov(['dashboard', '--store', store(), ...args], { env: { SSH_CONNECTION: '', ...env } });
  started = command;
  const address = await addressOf(command);
  return { ...command, address, page: await openPage(address) };
}

describe('keyprov dashboard', () => {
  it('prints its address in the object of --json, which is the only one', async () => {
    const { address, page, child, ended } = await dashboard(['--tpm', 'none', '--json']);
    await page.stateThat(sectionsOf);
    child.kill('SIGINT');
    const { stdout, status } = await ended;
    expect(JSON.parse(stdout)).toEqual({ ok: true, address, warnings: [] });
    expect(status).toBe(130);
  });

  it('shows an empty store, and makes nothing', async () => {
    const { page, child, ended } = await dashboard(['--tpm', 'none']);
    const sections = await page.stateThat(sectionsOf);
    expect(Object.keys(sections)).toEqual(['keys', 'runs', 'errors', 'prerequisites', 'machine', 'policy']);
    expect(sections.machine?.[0]).toMatchObject({ status: 'ok', name: 'node' });
    expect(sections.keys).toEqual([]);
    child.kill('SIGINT');
    expect((await ended).status).toBe(130);
    await expect(fetch(page.origin)).rejects.toThrow('fetch failed');
    expect(existsSync(store())).toBe(false);
  });

  it.skipIf(process.platform === 'win32')(
    'reports a store that others may write to, until it is private again',
    async () => {
      mkdirSync(store(), { mode: 0o700 });
      const { page } = await dashboard(['--tpm', 'none', '--user', 'ada@contoso.test'].concat('--device-id', DEVICE));
      expect((await page.stateThat(sectionsOf)).errors).toEqual([]);
      chmodSync(store(), 0o777);
      const { errors, empty } = await page.stateThat((state) => {
        const { errors: [error] = [] } = sectionsOf(state);
        return error === undefined ? undefined : { errors: sectionsOf(state).errors, empty: emptyOf(state).keys };
      });
      expect(errors).toEqual([
        {
          ...{ status: 'problem', name: 'store', detail: `${store()} is writable by other users (mode 0777)` },
          ...{
            remedy: `choose another directory, or, if only keyprov uses this one, chmod go-w ${store()}`,
            rows: [['code', 'not-private']],
          },
        },
      ]);
      expect(empty).toBe('The key store cannot be used: see Errors.');
      expect(await page.post('check')).toBe(204);
      const checked = await page.stateThat((state) => {
        const found = sectionsOf(state).prerequisites ?? [];
        return found[0]?.name === 'prerequisites' ? found : undefined;
      });
      expect(checked.map((entry) => rowsOf(entry).code)).toEqual(['not-private']);
      chmodSync(store(), 0o700);
      const well = await page.stateThat((state) =>
        sectionsOf(state).errors?.length === 0 ? emptyOf(state).keys : undefined,
      );
      expect(well).toBe(`There is no key in ${store()}.`);
    },
  );

  it('shows failed prerequisites with remedies, and the winning source of each setting', async () => {
    writeFileSync(path('policy.json'), '{"hardware":"required","pin":{"minLength":9}}');
    const { page } = await dashboard(
      ['--tpm', 'none', '--policy', path('policy.json'), '--user', 'ada@contoso.test'].concat('--device-id', DEVICE),
      { KEYPROV_POLICY_HARDWARE: 'preferred', KEYPROV_POLICY_ATTESTATION: 'required', SSH_CONNECTION: 'x' },
    );
    const { prerequisites = [], policy = [] } = await page.stateThat(sectionsOf);
    const failed = prerequisites.filter(({ status }) => status === 'problem');
    expect(failed.map(({ name }) => name)).toEqual(expect.arrayContaining(['session-not-remote']));
    expect(failed.every(({ remedy = '' }) => remedy !== '')).toBe(true);
    const hardware = policy.find(({ name }) => name === 'hardware');
    expect(hardware?.detail).toMatch(/^preferred: set by environment/);
    expect(hardware?.rows).toEqual([['overridden', expect.stringMatching(/^not required from /)]]);
    expect(policy.at(-1)?.detail).toContain('at least 9 characters');
  });

  it.skipIf(missing)(
    'shows keys as they are made, contains no secret, and changes neither the store nor the count of tries',
    async () => {
      writeFileSync(path('pin'), `${PIN}\n`, { mode: 0o600 });
      writeFileSync(path('wrong'), '482915-Xq\n', { mode: 0o600 });
      writeFileSync(path('letter'), 'sign me');
      const make = (user: string) =>
        commands.run(['create', '--store', store(), '--user', user, '--pin-file', path('pin'), ...tpm]);
      const tpm = ['--tpm', `libtpms:${path('tpm')}`];
      expect((await make('ada@contoso.test')).status).toBe(0);
      const sign = ['sign', '--store', store(), ...tpm, '--in', path('letter'), '--out', path('letter.sig')];
      expect((await commands.run([...sign, '--pin-file', path('wrong')])).status).toBe(5);
      const before = filesOf(store());
      const { page } = await dashboard(tpm);
      const first = await page.stateThat((state) => state);
      expect(await page.post('check')).toBe(204);
      const second = await page.stateThat((state) => (state.machineAt === first.machineAt ? undefined : state));
      for (const state of [first, second]) {
        const { machine, keys } = sectionsOf(state);
        expect(machine?.find(({ name }) => name === "the TPM's PIN tries")?.detail).toMatch(/^1 of \d+ wrong tries/);
        expect(keys?.map(({ status }) => status)).toEqual(['ok']);
        expect(rowsOf(keys?.[0])).toMatchObject({
          user: 'ada@contoso.test',
          backend: 'tpm',
          assurance: 'virtual',
          'PIN age': expect.stringMatching(/^0 days, set /),
          registered: 'no',
        });
      }
      expect(filesOf(store())).toEqual(before);
      expect((await make('bob@contoso.test')).status).toBe(0);
      const both = await page.stateThat((state) => (sectionsOf(state).keys?.length === 2 ? state : undefined));
      const secrets = readdirSync(store())
        .filter((name) => name.startsWith('key-'))
        .flatMap((name) => [
          ...readFileSync(join(store(), name), 'utf8').matchAll(/"(?:privateKey|salt)":\s*"([^"]+)"/g),
        ])
        .map(([, secret = '']) => secret);
      expect(secrets.length).toBeGreaterThanOrEqual(2);
      const text = JSON.stringify([first, second, both]);
      expect([PIN, '482915-Xq', ...secrets].filter((secret) => text.includes(secret))).toEqual([]);
    },
  );

  it.skipIf(missing)('shows violations of policy, and damage, with code and remedy', async () => {
    const made = await commands.run(['create', '--store', store(), '--no-pin', '--hardware', 'discouraged']);
    expect([made.status, made.stderr]).toEqual([2, expect.stringContaining('--no-pin')]);
    expect((await commands.run(['create', '--store', store(), '--hardware', 'discouraged'])).status).toBe(0);
    writeFileSync(join(store(), 'key-broken.json'), '{', { mode: 0o600 });
    const { page } = await dashboard(['--tpm', 'none'], { KEYPROV_POLICY_HARDWARE: 'required' });
    const { errors = [], keys = [] } = await page.stateThat(sectionsOf);
    expect(keys.map(({ status }) => status)).toEqual(['problem']);
    expect(errors.map((entry) => [rowsOf(entry).code, entry.status]).sort()).toEqual([
      ['hardware-required', 'problem'],
      ['store-invalid', 'problem'],
    ]);
    expect(errors.find((entry) => rowsOf(entry).code === 'store-invalid')?.remedy).toMatch(/restore a copy/);
  });

  it.skipIf(process.platform === 'win32')('opens a browser, and shows no other user the token', async () => {
    const opener = '#!/bin/sh\nprintf %s "$1" >"$0.asked.part"; mv "$0.asked.part" "$0.asked"\n';
    writeFileSync(path('xdg-open'), opener, { mode: 0o755 });
    const { address, child, ended } = await dashboard(['--tpm', 'none', '--open'], {
      PATH: `${directory.path}:${process.env.PATH}`,
    });
    await vi.waitUntil(() => existsSync(path('xdg-open.asked')), { timeout: 200_000 });
    const asked = readFileSync(path('xdg-open.asked'), 'utf8');
    expect(asked).toMatch(/^file:\/\//);
    const file = fileURLToPath(asked);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).toContain(`url=${address}"`);
    child.kill('SIGTERM');
    await ended;
    expect(existsSync(file)).toBe(false);
  });

  it('warns if the output of dsregcmd is about another device', async () => {
    const other = '00112233-4455-6677-8899-aabbccddeeff';
    writeFileSync(path('status.txt'), `| Device Details |\n DeviceId : ${other}\n| User State |\n NgcSet : NO\n`);
    const named = ['--device-id', DEVICE, '--dsregcmd', path('status.txt')];
    const { child, page, ended } = await dashboard(['--tpm', 'none', '--json', ...named]);
    await page.stateThat(sectionsOf);
    child.kill('SIGINT');
    expect(JSON.parse((await ended).stdout).warnings).toEqual([
      `--dsregcmd: the output is about another device: its DeviceId is ${other}, not ${DEVICE}`,
    ]);
  });

  it('reports wrong arguments, all at once', async () => {
    const { status, stderr } = await commands.run(['dashboard', '--device-id', 'x', '--dsregcmd', path('none')]);
    expect(status).toBe(2);
    expect(stderr).toContain('--device-id is not a GUID');
    expect(stderr).toContain('--dsregcmd');
  });
});
