import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/cli/commands/index.ts';
import { dsregSection, formatDsregStatus } from '../../src/provisioning/windows/dsregcmd.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { temporaryDirectory } from '../temporary-directory.ts';
import { commandLines } from './support/command-lines.ts';

const commands = commandLines({ cheapScrypt: true });
const root = temporaryDirectory();
afterAll(() => root[Symbol.dispose]());
const demo = (name: string): string => join(root.path, 'demo', name);
const read = (name: string) => (): string => readFileSync(demo(name), 'utf8');
/** The file that each option names. */
const FILE = join(root.path, 'given');

/** How the content of a text file gets into one, without a change of its meaning. */
const ENCODINGS: Readonly<Record<string, (text: string) => Buffer>> = {
  'UTF-8 with a mark': (text) => Buffer.from(`\ufeff${text}`),
  'UTF-16LE with a mark': (text) => Buffer.from(`\ufeff${text}`, 'utf16le'),
  'lines that end with CRLF': (text) => Buffer.from(text.replaceAll('\n', '\r\n')),
};

interface TextOption {
  /** A command line without the option. */
  readonly args: () => readonly string[];
  readonly content: () => string;
  /** What it does not accept. Default: the first half of the content. */
  readonly wrong?: string;
}

const OWNER = ['--user', 'ada@contoso.test', '--device-id', '11111111-2222-3333-4444-555555555555'];
const stored = () => ['--store', demo('store'), '--tpm', `libtpms:${demo('tpm')}`];
const provision = (...more: readonly string[]) => [
  ...[
    'provision',
    '--service',
    'https://localhost:1',
    '--token-command',
    'true',
    '--skip-prerequisites',
    '--tpm',
    'none',
  ],
  ...['--store', join(root.path, 'none'), ...more],
];
const request = (format: string, ...more: readonly string[]) => ['request', ...stored(), '--format', format, ...more];
const webauthn = (...more: readonly string[]) =>
  request('webauthn', '--rp-id', 'x.test', '--origin', 'https://x.test', '--challenge', '0011', ...more);
const sync = (...more: readonly string[]) => ['sync-status', '--store', demo('store'), ...more];
const verify = (...more: readonly string[]) => ['verify', '--challenge', read('challenge.hex')().trim(), ...more];

/** The options for text files, which may come from an editor or a shell of Windows. */
const TEXTS: Readonly<Record<string, TextOption>> = {
  'service-ca': { args: () => provision(...OWNER, '--no-pin'), content: read('service-ca.pem') },
  'device-cert': {
    args: () => provision('--user', 'ada@contoso.test', '--no-pin', '--device-key', demo('device-key.pem')),
    content: read('device.pem'),
  },
  'device-key': {
    args: () => provision('--user', 'ada@contoso.test', '--no-pin', '--device-cert', demo('device.pem')),
    content: read('device-key.pem'),
  },
  'recovery-key': {
    args: () => provision(...OWNER, '--pin-file', demo('pin')),
    content: () => {
      const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      return String(publicKey.export({ type: 'pkcs1', format: 'pem' }));
    },
  },
  dsregcmd: {
    args: () => provision(...OWNER, '--no-pin'),
    content: () => formatDsregStatus([dsregSection('Device State', { AzureAdJoined: 'YES' })]),
    wrong: 'Dear Ada\n',
  },
  policy: { args: () => ['policy', 'explain'], content: () => '{ "hardware": "required" }\n' },
  'ldap-ca': {
    args: () =>
      sync(
        ...['--ldap', 'ldaps://localhost:1', '--ldap-base', 'dc=x', '--ldap-bind-dn', 'cn=x'],
        ...['--ldap-password-file', demo('pin')],
      ),
    content: read('service-ca.pem'),
  },
  scheduler: { args: () => sync(), content: () => 'SyncCycleEnabled : True\n', wrong: 'Dear Ada\n' },
  'account-key': {
    args: () => request('acme', '--token', 'tok', '--ak-certificate', demo('ak-certificate.pem')),
    content: () => {
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      return JSON.stringify(publicKey.export({ format: 'jwk' }), undefined, 1);
    },
  },
  'ak-certificate': { args: () => webauthn(), content: read('ak-certificate.pem') },
  'ek-certificate': {
    args: () => request('csr-wcce', '--exchange-certificate', demo('service-ca.pem')),
    content: read('service-ca.pem'),
  },
  'exchange-certificate': { args: () => request('csr-wcce'), content: read('service-ca.pem') },
  statement: { args: () => request('csr-lamps'), content: read('attestation.json') },
  in: { args: () => verify('--ak-roots', demo('service-ca.pem')), content: read('attestation.json') },
  'ak-roots': { args: () => verify('--in', demo('attestation.json')), content: read('service-ca.pem') },
  'ek-roots': { args: () => ['tpm', '--tpm', `libtpms:${demo('tpm')}`], content: read('service-ca.pem') },
};
/** Those of which every byte counts, and those that name a file to write. */
const SECRETS = ['pin-file', 'new-pin-file', 'ldap-password-file'];
const OTHERS = ['sign --in', 'out'];

describe.skipIf((await libtpmsMissing()) !== undefined)('a text file that an option names', () => {
  beforeAll(async () => {
    expect((await commands.run(['provision', '--demo', '--out', demo('')])).status).toBe(0);
    writeFileSync(demo('pin'), '739204x', { mode: 0o600 });
  });
  const run = async (option: string, content: string | Uint8Array) => {
    writeFileSync(FILE, content);
    const { status, stderr } = await commands.run([...(TEXTS[option]?.args() ?? []), `--${option}`, FILE]);
    return { status, stderr: stderr.replaceAll(/\(\d+\.\d s\)/g, '') };
  };

  it('is in the table, for every option', async () => {
    const found = COMMANDS.map(async ({ name, load }) => {
      const command = new Command();
      (await load()).define(command);
      return command.options
        .filter(({ flags }) => /<(?:file|path)>/.test(flags))
        .map(({ long }) => (name === 'sign' && long === '--in' ? 'sign --in' : (long ?? '').slice(2)));
    });
    const known = [...Object.keys(TEXTS), ...SECRETS, ...OTHERS];
    expect([...new Set((await Promise.all(found)).flat())].sort()).toEqual(known.sort());
  });

  it.each(Object.keys(TEXTS))('means the same in each encoding: --%s', async (option) => {
    const content = TEXTS[option]?.content() ?? '';
    const plain = await run(option, content);
    // It was read: the demo's TPM has no certificate that could be given.
    expect(plain.stderr.replace(/--ek-certificate does not belong .*/, '')).not.toMatch(
      new RegExp(`--${option}|${FILE}`),
    );
    for (const [name, encoded] of Object.entries(ENCODINGS)) {
      expect({ name, ...(await run(option, encoded(content))) }).toEqual({ name, ...plain });
    }
  });

  it.each(Object.keys(TEXTS))('is refused by its name or that of the option: --%s', async (option) => {
    const { content = () => '', wrong = content().slice(0, content().length / 2) } = TEXTS[option] ?? {};
    const { status, stderr } = await run(option, wrong);
    expect({ status, stderr }).toEqual({ status: expect.toSatisfy((code) => code > 0), stderr: expect.any(String) });
    expect(stderr).toMatch(new RegExp(`--${option}|${FILE}`));
  });
});
