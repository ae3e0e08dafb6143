import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';

const commands = commandLines();
const missing = await libtpmsMissing();
const old: { pin: string; challenge: string; files: Readonly<Record<string, string>> } = JSON.parse(
  readFileSync('test/cli/fixtures/old-directories.json', 'utf8'),
);

/** The directories that the old code wrote, in a temporary one, with a PIN and something to sign. */
function unpack() {
  const directory = temporaryDirectory();
  const path = (...names: string[]) => join(directory.path, ...names);
  for (const [name, base64] of Object.entries(old.files)) {
    mkdirSync(dirname(path(name)), { recursive: true, mode: 0o700 });
    writeFileSync(path(name), Buffer.from(base64, 'base64'), { mode: 0o600 });
  }
  writeFileSync(path('pin'), old.pin, { mode: 0o600 });
  writeFileSync(path('next'), '975310', { mode: 0o600 });
  writeFileSync(path('letter'), 'sign me');
  const args = (name: string, pin = 'pin') => [
    ...['--store', path(name), '--tpm', `libtpms:${path('tpm')}`],
    ...(name.endsWith('-pin') ? ['--pin-file', path(pin)] : []),
  ];
  const sign = async (name: string, pin?: string) => {
    const sigPath = path(`${name}.sig`);
    const { status, stderr } = await commands.run([
      'sign',
      ...args(name, pin),
      '--in',
      path('letter'),
      '--out',
      sigPath,
    ]);
    expect(status, stderr).toBe(0);
    const verify = ['dgst', '-sha256', '-verify', path(name, 'public.pem'), '-signature', sigPath, path('letter')];
    expect(spawnSync('openssl', verify, { encoding: 'utf8' }).stdout).toBe('Verified OK\n');
  };
  return { path, args, sign, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

const NAMES = ['tpm-pin', 'tpm-plain', 'software', 'software-pin'];

describe.skipIf(missing)('a directory that the old code wrote', () => {
  it.each(NAMES)('is a store with a key that signs: %s', async (name) => {
    using unpacked = unpack();
    await unpacked.sign(name);
    const before = name.endsWith('-pin') ? ['pin-attempts'] : [];
    const own = Object.keys(old.files).filter((file) => file.startsWith(`${name}/`));
    expect(readdirSync(unpacked.path(name)).filter((file) => !before.includes(file))).toEqual(
      own.map((file) => file.slice(name.length + 1)),
    );
  });

  it.each(['tpm-pin', 'tpm-plain'])('is verified and attested: %s', async (name) => {
    using unpacked = unpack();
    const store = ['--store', unpacked.path(name)];
    expect((await commands.run(['verify', ...store, '--challenge', old.challenge])).status).toBe(0);
    expect((await commands.run(['verify', ...store, '--challenge', 'aa'])).status).toBe(8);
    const tpm = ['--tpm', `libtpms:${unpacked.path('tpm')}`];
    const made = await commands.onlyJson(['attest', ...store, ...tpm, '--format', 'statement', '--challenge', 'aa']);
    expect(made).toMatchObject({ status: 0, json: { challenge: 'aa' } });
  });

  it.each(['tpm-pin', 'software-pin'])('has a PIN that can be changed, in key.pem too: %s', async (name) => {
    using unpacked = unpack();
    const keyPem = () => readFileSync(unpacked.path(name, 'key.pem'), 'utf8');
    const before = keyPem();
    const args = ['change-pin', ...unpacked.args(name), '--new-pin-file', unpacked.path('next')];
    const { status, stderr } = await commands.run(args);
    expect(status, stderr).toBe(0);
    expect(keyPem()).not.toBe(before);
    expect(existsSync(unpacked.path(name, 'record.json'))).toBe(false);
    await unpacked.sign(name, 'next');
  });

  it.each(NAMES)('loses its key with remove: %s', async (name) => {
    using unpacked = unpack();
    const { status, stderr } = await commands.run(['remove', '--store', unpacked.path(name), '--yes']);
    expect(status, stderr).toBe(0);
    for (const file of ['record.json', 'key.pem', 'public.pem', 'request.json'])
      expect(existsSync(unpacked.path(name, file))).toBe(false);
  });

  it('is shown by status with the contents of its record', async () => {
    using unpacked = unpack();
    expect(await commands.onlyJson(['status', '--store', unpacked.path('tpm-pin')])).toMatchObject({
      json: {
        keys: [
          {
            ...{ user: 'ada@contoso.test', deviceId: '6f5902ac-237f-424a-a1cd-8d2b6d2bbd01', backend: 'tpm' },
            ...{ assurance: 'virtual', hasPin: true, registered: null, policy: { hardware: 'required' } },
          },
        ],
      },
    });
  });
});
