import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeJwk } from '../../src/crypto/jwk.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { passwordToken } from '../integration/support/service-client.ts';
import { missingPrograms } from '../programs.ts';
import { rsaKey } from '../signing-key.ts';
import { commandLines } from './support/command-lines.ts';
import { requestCertificates } from './support/request-certificates.ts';
import { ADA, type ServiceWorld, startServiceWorld, storeFiles } from './support/service-world.ts';

const commands = commandLines({ cheapScrypt: true });
const [PIN, NEXT, OTHER] = ['730519', '905173', '481516'];
const GRAPH = 'https://graph.microsoft.com';
const LOCAL = { SSH_CONNECTION: '' };

/** A kind of key storage, as given on the command line. */
interface Place extends AsyncDisposable {
  readonly args: readonly string[];
}

const PLACES: readonly (readonly [
  name: string,
  missing: string | undefined,
  open: (world: ServiceWorld) => Promise<Place>,
])[] = [
  [
    'libtpms',
    await libtpmsMissing(),
    async ({ tpmArgs }) => ({ args: tpmArgs, [Symbol.asyncDispose]: async () => {} }),
  ],
  [
    'swtpm',
    missingPrograms('swtpm'),
    async () => {
      const swtpm = await startSwtpm();
      return { args: ['--tpm', swtpm.address], [Symbol.asyncDispose]: () => swtpm.stop() };
    },
  ],
  ['software', undefined, async () => ({ args: ['--tpm', 'none'], [Symbol.asyncDispose]: async () => {} })],
];

describe.each(PLACES)('one store, with a TPM by %s', (name, missing, open) => {
  const isTpm = name !== 'software';
  let world: ServiceWorld;
  let place: Place;
  /** The key that was made without a service. */
  let id: string;
  let args: readonly string[];

  beforeAll(async () => {
    if (missing !== undefined) return;
    world = await startServiceWorld();
    place = await open(world);
    args = ['--store', world.store, ...place.args];
    for (const [file, content] of Object.entries({ pin: PIN, next: NEXT, other: OTHER }))
      world.file(file, content ?? '');
    world.file('letter', 'sign me');
  });
  afterAll(async () => {
    await place?.[Symbol.asyncDispose]();
    await world?.[Symbol.asyncDispose]();
  });

  const path = (file: string): string => `${world.path}/${file}`;
  const run = (command: string, ...more: readonly string[]) => commands.json([command, ...args, ...more]);
  /** The same, for a command that uses no TPM. */
  const runInStore = (command: string, ...more: readonly string[]) =>
    commands.json([command, '--store', world.store, ...more]);

  /** Signs, and has OpenSSL verify the signature with the public key that `request` gives. */
  async function signs(pin: string, ...more: readonly string[]): Promise<void> {
    rmSync(path('sig'), { force: true });
    const signed = await run('sign', ...more, '--in', path('letter'), '--out', path('sig'), '--pin-file', path(pin));
    expect(signed, JSON.stringify(signed.json)).toMatchObject({ status: 0, json: { ok: true } });
    const spki = ['request', ...args, ...more, '--format', 'spki', '--out', path('public.pem')];
    expect((await commands.run(spki)).status).toBe(0);
    const verify = ['dgst', '-sha256', '-verify', path('public.pem'), '-signature', path('sig'), path('letter')];
    expect(spawnSync('openssl', verify, { encoding: 'utf8' }).stdout).toBe('Verified OK\n');
  }

  it.skipIf(missing)('create makes a key', async () => {
    const policy = isTpm ? ['--hardware', 'required'] : [];
    const made = await run('create', '--user', ADA.upn, '--pin-file', path('pin'), ...policy);
    expect(made.status, JSON.stringify(made.json)).toBe(0);
    expect(made.json).toMatchObject({
      ...{ user: ADA.upn, backend: isTpm ? 'tpm' : 'software', hasPin: true, registered: null, store: world.store },
      request: isTpm
        ? { profile: 'attested', carriesAttestation: true }
        : { profile: 'strict', carriesAttestation: false, reason: 'a software key cannot be attested' },
    });
    id = String(made.json.id);
    expect(storeFiles(world.store)).toEqual(['key']);
  });

  it.skipIf(missing)('sign uses it', async () => await signs('pin'));

  it.skipIf(missing)('attest and verify prove it if there is a TPM', async () => {
    const out = ['--format', 'statement', '--challenge', 'bb', '--out', path('statement.json')];
    const attested = await run('attest', ...out);
    if (!isTpm) {
      expect(attested).toMatchObject({ status: 3, json: { error: { code: 'attestation-unavailable' } } });
      return;
    }
    expect(attested).toMatchObject({ status: 0, json: { challenge: 'bb' } });
    const verify = ['--in', path('statement.json'), '--challenge'];
    expect(await runInStore('verify', ...verify, 'bb')).toMatchObject({ status: 0 });
    expect(await runInStore('verify', ...verify, 'cc')).toMatchObject({ status: 8 });
  });

  it.skipIf(missing)('request builds every format', async () => {
    const { json } = await commands.json(['request', '--formats']);
    const formats: { name: string; needs: string[] }[] = Object(json).formats;
    expect(formats.length).toBeGreaterThan(15);
    const attesting = Object((await commands.json(['attest', '--formats'])).json).formats.map(
      (format: { name: string }) => format.name,
    );
    const values = isTpm ? await formatValues() : {};
    for (const format of formats) {
      const needs = format.name === 'acme' ? [...format.needs, 'challenge'] : format.needs;
      const given = needs.flatMap((option) => [`--${option}`, values[option] ?? TEXTS[option] ?? 'x']);
      const device = format.name === 'pkinit' ? ['--for-device', world.device.deviceId] : [];
      const named = [...device, '--pin-file', path('pin')];
      const holdsStatement = attesting.includes(format.name);
      if (!isTpm && holdsStatement && needs.some((option) => option.endsWith('-certificate'))) continue;
      const made = await run('request', '--format', format.name, ...given, ...named);
      const expected = isTpm || !holdsStatement || format.name === 'attested' ? 0 : 3;
      expect({ format: format.name, status: made.status, error: made.json.error }).toMatchObject({
        ...{ format: format.name, status: expected },
      });
    }
  });

  const TEXTS: Readonly<Record<string, string>> = {
    sid: 'S-1-5-21-1-2-3-1104',
    'tenant-id': '6287f28f-4f7f-4322-9651-a8697d8fe1bc',
    'rp-id': 'example.com',
    origin: 'https://example.com',
    nonce: 'nonce-of-the-service',
    challenge: 'aabb',
  };

  /** Files that formats need: certificates for the attestation key of this TPM, and of an AD CS. */
  async function formatValues(): Promise<Readonly<Record<string, string>>> {
    const { ak, exchange } = await requestCertificates(path('statement.json'));
    return {
      'ak-certificate': world.file('ak.pem', ak),
      'exchange-certificate': world.file('exchange.pem', exchange),
      'account-key': world.file('account.jwk', JSON.stringify(encodeJwk(rsaKey.publicKey))),
    };
  }

  it.skipIf(missing)('change-pin gives it another PIN', async () => {
    const changed = await run('change-pin', '--pin-file', path('pin'), '--new-pin-file', path('next'));
    expect(changed, JSON.stringify(changed.json)).toMatchObject({ status: 0, json: { id } });
    await signs('next');
    const wrong = await run('sign', '--in', path('letter'), '--pin-file', path('pin'));
    expect(wrong).toMatchObject({ status: 5, json: { error: { code: 'pin-wrong' } } });
  });

  it.skipIf(missing)('provision gives the same user a registered key in the same store', async () => {
    const profile = isTpm ? [] : ['--hardware', 'discouraged', '--allow-downgrade'];
    const made = await commands.json(
      ['provision', ...world.runArgs, ...place.args, ...profile, '--pin-file', path('other')],
      { env: LOCAL },
    );
    expect(made.status, JSON.stringify(made.json)).toBe(0);
    expect(made.json).toMatchObject({ request: { carriesAttestation: isTpm } });
    expect(storeFiles(world.store)).toEqual(['key', 'key']);
  });

  it.skipIf(missing)('sign uses the registered key, and says so; --key selects the other', async () => {
    await signs('other', '--user', ADA.upn);
    await signs('next', '--key', id);
    const { stderr } = await commands.run([...['sign', ...args, '--in', path('letter'), '--pin-file', path('other')]]);
    expect(stderr).toContain(`to use another one, pass --key: ${id}\n`);
  });

  it.skipIf(missing)('status shows both, with proof of the TPM that is named', async () => {
    const { status, json } = await run('status');
    const proof = { status: isTpm ? 'proved' : 'not-asked' };
    expect(status, JSON.stringify(json)).toBe(0);
    const keys: { registered: unknown }[] = Object(json).keys;
    expect(keys).toMatchObject([{ proof }, { proof }]);
    expect(keys.filter(({ registered }) => registered !== null)).toHaveLength(1);
  });

  it.skipIf(missing)('unregister removes the registered one, and the other stays', async () => {
    const token = world.file('graph-token', await passwordToken(world.service, ADA, { resource: GRAPH }));
    const graph = ['--graph-token-command', `cat '${token}'`, '--graph-url', `${world.service.url}/graph/`];
    const gone = await runInStore('unregister', ...world.serviceArgs, ...graph, '--yes');
    expect(gone, JSON.stringify(gone.json)).toMatchObject({ status: 0, json: { outcome: 'deleted' } });
    expect(world.service.keys()).toHaveLength(0);
    await signs('next');
    expect(storeFiles(world.store).filter((file) => file === 'key')).toHaveLength(1);
  });
});
