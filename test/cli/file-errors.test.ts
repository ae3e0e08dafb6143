import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/commands/index.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';
import { override } from './support/keyprov.ts';

const commands = commandLines({ cheapScrypt: true });
const missing = await libtpmsMissing();
const PIN = '731902';

const root = temporaryDirectory();
const path = (name: string): string => join(root.path, name);
const [file, directory, nowhere] = [path('a file'), path('a directory'), path('nowhere')];
const store = ['--store', path('store')];
const stored = [...store, '--tpm', 'none'];
const service = ['--service', 'https://localhost:1'];
const owner = ['--user', 'ada@contoso.test', '--device-id', '11111111-2222-3333-4444-555555555555'];
const ldap = ['--ldap', 'ldaps://localhost:1', '--ldap-base', 'dc=x', '--ldap-bind-dn', 'cn=x'];

/** The arguments with which each command reaches its files; undefined for one that opens a window. */
const NEEDS: Readonly<Record<string, readonly string[] | undefined>> = {
  provision: [...service, '--token-command', 'true', ...stored, ...owner, '--skip-prerequisites'],
  create: ['--tpm', 'none', '--store', path('another store')],
  status: stored,
  'sync-status': [...ldap, '--ldap-password-file', '-', ...store],
  'change-pin': stored,
  reset: [
    ...[...service, '--token-command', 'true', '--yes', '--no-pin', '--skip-prerequisites', '--allow-downgrade'],
    ...[...owner, ...stored],
  ],
  unregister: [...service, '--yes', ...store],
  remove: ['--yes', ...store],
  sign: ['--in', file, ...stored],
  request: ['--format', 'csr', '--name', 'ada', ...stored],
  attest: ['--format', 'statement', '--challenge', 'c0ffee', ...stored],
  verify: ['--challenge', 'c0ffee', ...store],
  inspect: [],
  'policy explain': [],
  doctor: [],
  dashboard: undefined,
  sim: [],
  tpm: ['--tpm', 'libtpms', ...store],
  completion: [],
};
/** A command with these options, and the others that it needs. */
const callWith = (name: string, ...options: readonly string[]): string[] =>
  override([...name.split(' '), ...(NEEDS[name] ?? [])], ...options);
/** The commands that create missing files. */
const MAKERS = ['provision', 'create', 'sim'];

beforeAll(async () => {
  writeFileSync(file, 'x');
  mkdirSync(directory);
  const args = ['create', '--store', path('store'), '--tpm', 'none', '--pin-file', '-'];
  expect((await commands.run(args, { input: PIN })).status).toBe(0);
});
afterAll(() => root[Symbol.dispose]());

/** Every option of every command that names a file or a directory, with a path that is neither. */
async function wrongPaths(): Promise<{ name: string; args: readonly string[]; value: string }[]> {
  const all = await Promise.all(
    COMMANDS.map(async ({ name, load }) => {
      const command = new Command();
      (await load()).define(command);
      return command.options.flatMap(({ long, flags }) => {
        const [, kind] = /<(file|dir)>/.exec(flags) ?? [];
        const wrong = kind === 'dir' ? [file] : kind === 'file' ? [directory, join(file, 'below')] : [];
        const end = name === 'sim' ? ['--', 'true'] : [];
        return wrong.map((value) => ({ name, value, args: [...callWith(name, long ?? '', value), ...end] }));
      });
    }),
  );
  return all.flat().filter(({ name }) => NEEDS[name] !== undefined);
}

const paths = await wrongPaths();
const files = (): string[] => readdirSync(root.path, { recursive: true, encoding: 'utf8' }).sort();

describe('a path that cannot be used', () => {
  it('is tried with every command', () => {
    expect(Object.keys(NEEDS).sort()).toEqual(COMMANDS.map(({ name }) => name).sort());
    expect(paths.length).toBeGreaterThan(60);
  });

  it.each(paths)('is told in words: $name $args', async ({ name, args, value }) => {
    const before = files();
    const { stderr } = await commands.run(args, { cwd: directory, input: PIN });
    expect(stderr).not.toMatch(/\bE[A-Z]{3,}: |unexpected error/);
    if (stderr.includes(value)) expect(stderr).toMatch(/ is (not a directory|a directory, not a file)/);
    if (!MAKERS.includes(name)) expect(files()).toEqual(before);
  });
});

describe('a store or TPM that is not there', () => {
  const readers = [
    'status',
    'change-pin',
    'sign',
    'request',
    'attest',
    'verify',
    'sync-status',
    'reset',
    'unregister',
    'remove',
  ];

  it.each(readers)('is not made by %s', async (name) => {
    const before = files();
    const { status, stderr } = await commands.run(callWith(name, '--store', nowhere), { input: PIN });
    const remedy =
      name === 'unregister'
        ? "pass the key's store with --store"
        : 'use another directory, or make a key there (keyprov create --store';
    expect({ status, stderr }).toEqual({
      status: 7,
      stderr: expect.stringContaining(`there is no key store at ${nowhere}; ${remedy}`),
    });
    expect(files()).toEqual(before);
  });

  it.skipIf(missing).each(['status', 'sign', 'attest', 'tpm'])('is not made by %s, as a TPM', async (name) => {
    const made = ['create', '--store', path('store in a TPM'), '--tpm', `libtpms:${path('tpm')}`];
    if (!files().includes('store in a TPM')) expect((await commands.run(made)).status).toBe(0);
    const before = files();
    for (const wrong of [nowhere, directory]) {
      const args = callWith(name, '--store', path('store in a TPM'), '--tpm', `libtpms:${wrong}`);
      const { status, stdout, stderr } = await commands.run(args);
      expect(status).toBe(4);
      expect(stdout + stderr).toContain(`there is no TPM in ${wrong}`);
      if (name !== 'status') continue;
      expect(stdout.split('there is no TPM in').length).toBe(2); // said once
      expect(stdout).toContain("if the key's TPM is gone or was cleared, the key is lost");
      expect(stdout).not.toContain('make a TPM there');
    }
    expect(files()).toEqual(before);
  });
});

describe('an output that cannot be written', () => {
  const wrongPin = { input: '000000' };

  it.each(['sign', 'request'])('is found by %s before a PIN is tried', async (name) => {
    const args = [name, ...(NEEDS[name] ?? []), '--pin-file', '-'];
    const before = files();
    for (const [out, why] of [
      [join(nowhere, 'x'), `${nowhere} does not exist; check the path`],
      [join(file, 'x'), `${file} is not a directory; check the path`],
      [directory, `${directory} is a directory, not a file; give the path of a file`],
    ] as const) {
      const { status, stderr } = await commands.run([...args, '--out', out], wrongPin);
      expect({ status, stderr }).toEqual({ status: 7, stderr: expect.stringContaining(why) });
    }
    expect(files()).toEqual(before);
    expect((await commands.run([...args, '--out', path(name)], { input: PIN })).status).toBe(0);
    expect(files()).toContain(name);
  });
});
