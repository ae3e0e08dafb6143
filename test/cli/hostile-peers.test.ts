import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviceCodeToken } from '../integration/support/service-client.ts';
import { commandLines } from './support/command-lines.ts';
import { type Ended, override } from './support/keyprov.ts';
import { ADA, type ServiceWorld, startServiceWorld } from './support/service-world.ts';

/** Clears the screen, sets the clipboard, turns the direction of text, adds a line, in C0, C1 and beyond. */
const EVIL = 'a\u001b[2J\u001b]52;c;eA==\u0007\u009b1m\u202eb\r\nkeyprov: forged\u2028\u2029\u{e0041}';
/** Characters with an effect on a terminal, other than line ends. */
const HARMFUL = /[^\P{C}\n]|[\p{Zl}\p{Zp}]/u;
const SOFTWARE = [
  '--algorithm',
  'p-256',
  '--hardware',
  'discouraged',
  '--attestation',
  'none',
  '--tpm',
  'none',
  '--no-pin',
];
const LOCAL = { SSH_CONNECTION: '' };

const commands = commandLines();
let world: ServiceWorld;
let tokenFile: string;
let kept: { readonly name: string; readonly content: string };

beforeAll(async () => {
  world = await startServiceWorld();
  tokenFile = world.file('token', await deviceCodeToken(world.service, ADA.upn, { device: world.device }));
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const tokenArgs = () => ['--token-command', `cat ${tokenFile}`];

function expectHarmless(ended: Ended): void {
  for (const text of [ended.stdout, ended.stderr]) {
    expect(HARMFUL.exec(text)).toBeNull();
    expect(text.match(/^keyprov: forged/m)).toBeNull();
  }
  // Not 1, which is for unexpected errors.
  expect([ended.status === 1, ended.stderr]).toEqual([false, ended.stderr]);
}

/** All names that a peer may give a string, each with the string. */
const strings = (value: unknown): object =>
  Object.fromEntries(
    [
      ...['code', 'message', 'error', 'error_description', 'ErrorType', 'Message', 'TraceId', 'Time', 'target', 'time'],
      ...['kid', 'upn', 'pctx', 'user_code', 'device_code', 'verification_url', 'verification_uri', 'access_token'],
      ...['token_type', 'Value', 'id', 'displayName', 'credential', 'secret', 'ek', 'value', 'deviceKeys', 'interval'],
      ...['expires_in', 'KeyProvisioningService', 'AuthenticationService', 'DeviceJoinService', 'NonceService', EVIL],
    ].map((name) => [name, value]),
  );
const endpoint = (host: string) => ({
  KeyProvisionEndpoint: `https://localhost/${EVIL}`,
  KeyProvisionResourceId: host,
  Endpoint: `https://localhost/${EVIL}`,
  ResourceId: host,
  ServiceVersion: EVIL,
});

/** A hostile service's answer. */
const ANSWERS: readonly (readonly [string, object])[] = [
  ['text', { status: 200, body: EVIL }],
  ['a page', { status: 500, headers: { 'content-type': 'text/html' }, body: `<h1>${EVIL}</h1>` }],
  ['strings', { status: 200, body: strings(EVIL) }],
  ['a refusal of strings', { status: 400, body: strings(EVIL) }],
  ['a refusal inside of another', { status: 403, body: { error: strings(EVIL) } }],
  ['a refusal of OAuth', { status: 400, body: { error: EVIL, error_description: EVIL, error_codes: [1] } }],
  ['services', { status: 200, body: { KeyProvisioningService: endpoint(EVIL), NonceService: endpoint(EVIL) } }],
  ['names of members', { status: 200, body: `{"${'a\\u001b[2J'}":1,"${'a\\u001b[2J'}":2}` }],
  [
    'a code',
    {
      status: 200,
      body: { user_code: EVIL, device_code: 'd', verification_url: `https://localhost/${EVIL}`, message: EVIL },
    },
  ],
  ['a registration of somebody else', { status: 200, body: { kid: 'k', upn: EVIL } }],
  ['a registration', { status: 200, body: { kid: EVIL, upn: ADA.upn, pctx: EVIL } }],
];

describe('a service that answers with control characters', () => {
  it.each([
    ['/Discover', () => ['provision', ...world.runArgs, ...SOFTWARE, '--token-command', 'true']],
    ['/oauth2/devicecode', () => ['provision', ...world.runArgs, ...SOFTWARE]],
    ['/EnrollmentServer/nonce', () => ['provision', ...world.runArgs, ...SOFTWARE, ...tokenArgs()]],
    ['/EnrollmentServer/key', () => ['provision', ...world.runArgs, ...SOFTWARE, ...tokenArgs()]],
  ])('reaches no terminal from %s', async (part, args) => {
    for (const [index, [name, answer]] of ANSWERS.entries()) {
      world.service.setIntercept();
      world.file('token', await deviceCodeToken(world.service, ADA.upn, { device: world.device }));
      let asked = 0;
      world.service.setIntercept(({ path }) => {
        if (!path.includes(part)) return 'continue';
        asked += 1;
        return { body: undefined, ...answer, status: 200, ...answer };
      });
      const json = index % 2 === 0 ? [] : ['--json'];
      const store = ['--store', join(world.path, `store-${part.replaceAll('/', '-')}-${index}`)];
      const ended = await commands.run(override(args(), ...store, ...json), { env: LOCAL });
      expectHarmless(ended);
      if (json.length > 0) JSON.parse(ended.stdout);
      expect([name, asked > 0, ended.stderr, ended.stdout]).toEqual([name, true, ended.stderr, ended.stdout]);
    }
    world.service.setIntercept();
  });
});

describe('files of strangers', () => {
  beforeAll(async () => {
    const store = join(world.path, 'kept');
    const made = await commands.run(
      override(['provision', ...world.runArgs, ...SOFTWARE, ...tokenArgs()], '--store', store),
      {
        env: LOCAL,
      },
    );
    expect([made.status, made.stderr]).toEqual([0, made.stderr]);
    const name = readdirSync(store).find((file) => file.startsWith('key-')) ?? '';
    kept = { name: join(store, name), content: readFileSync(join(store, name), 'utf8') };
  });

  it('reach no terminal as the record of a key', async () => {
    const file: { record: { name: string; annotations: { registration: Record<string, string> } }; sha256: string } =
      JSON.parse(kept.content);
    const { record } = file;
    record.name = EVIL;
    for (const member of ['kid', 'domain', 'tenant', 'pctx']) record.annotations.registration[member] = EVIL;
    file.sha256 = createHash('sha256').update(JSON.stringify(record)).digest('hex');
    writeFileSync(kept.name, `${JSON.stringify(file, undefined, 2)}\n`);
    const store = ['--store', join(world.path, 'kept')];
    const graph = ['--graph-url', `${world.service.url}/graph/`, '--graph-token-command', `cat ${tokenFile}`];
    for (const args of [
      ['status', ...store],
      ['sync-status', ...store],
      ['sync-status', ...store, ...graph.slice(2), ...graph.slice(0, 2), '--service-ca', join(world.path, 'ca.pem')],
      ['unregister', '--yes', ...store, ...world.serviceArgs, ...graph],
      ['request', '--format', 'key-registration', ...store],
      ['attest', ...store],
      ['verify', '--challenge', '00', ...store],
      ['change-pin', ...store],
    ]) {
      for (const json of [[], ['--json']]) expectHarmless(await commands.run([...args, ...json]));
    }
    const shown = await commands.run(['status', ...store]);
    expect(shown.stdout).toContain('a\\u{1b}[2J\\u{1b}]52;c;eA==\\u{7}\\u{9b}1m\\u{202e}b\\u{d}\\u{a}keyprov: forged');
    expect(readFileSync(kept.name, 'utf8')).toContain('52;c;eA=='); // nothing was taken back
  });

  it.each([
    ['verify', ['--challenge', '00', '--in']],
    ['inspect', []],
    ['policy explain', []],
    ['request', ['--format', 'key-registration', '--statement']],
    ['sync-status', ['--sync-minutes', '30', '--ldap-ca']],
    ['create', ['--policy']],
    ['sign', ['--in']],
  ])('reach no terminal by %s', async (command, args) => {
    const contents = [
      EVIL,
      JSON.stringify(strings(EVIL)),
      JSON.stringify({ format: EVIL, version: 1, ...strings(EVIL) }),
      JSON.stringify({ hardware: EVIL, pin: { minLength: EVIL }, [EVIL]: EVIL }),
      `Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork]\r\n"${EVIL}"=dword:1\r\n`,
      `<SyncML><Item><Target><LocURI>${EVIL}</LocURI></Target></Item></SyncML>`,
      `-----BEGIN ${EVIL}-----\nAAEC\n-----END ${EVIL}-----\n`,
    ];
    for (const [at, content] of contents.entries()) {
      const file = world.file(`stranger\u001b[2J-${at}`, content);
      const words = [...command.split(' '), ...args, file];
      const more = command === 'create' ? ['--out', join(world.path, `out-${at}`)] : [];
      const json = at % 2 === 0 ? [] : ['--json'];
      expectHarmless(await commands.run([...words, ...more, ...json]));
    }
  });
});
