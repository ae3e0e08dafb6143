import '../cheap-scrypt.mjs';
import { createPrivateKey, randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { toBase64, toBase64Url, toHex, utf8 } from '../../src/bytes.ts';
import { decodePem } from '../../src/crypto/pem.ts';
import { encodeSpki } from '../../src/crypto/public-key.ts';
import type { KeyRecord } from '../../src/keys/key-record.ts';
import { type KeyStore, openKeyStore } from '../../src/keys/key-store.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { createKeyPool } from '../../src/provisioning/key-pool.ts';
import { openKey } from '../../src/provisioning/open-key.ts';
import { provision } from '../../src/provisioning/provision.ts';
import { listRegistrations } from '../../src/provisioning/registration-record.ts';
import type { ProvisionOptions, RunEvent } from '../../src/provisioning/run.ts';
import { listRuns } from '../../src/provisioning/run-journal.ts';
import { unregisterKey } from '../../src/provisioning/unregister.ts';
import { attestationCaEnrolment } from '../../src/registration/attestation-ca.ts';
import { deleteHelloMethod, listHelloMethods, readMethodDevice } from '../../src/registration/graph.ts';
import { ldapReader } from '../../src/registration/ldap-reader.ts';
import { signInWithKey } from '../../src/registration/sign-in.ts';
import { syncStatus } from '../../src/registration/sync-status.ts';
import {
  bindDirectory,
  openTestTpm,
  signingKeyOf,
  startDirectory,
  type TestDirectory,
  type TestTpm,
} from '../../src/testing/index.ts';
import { Clear } from '../../src/tpm/commands/hierarchy.ts';
import { ReadPublic } from '../../src/tpm/commands/object.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { asyncRefusal } from '../refusal.ts';
import { type IdentityWorld, startIdentityWorld } from './support/identity-world.ts';
import { leftovers } from './support/new-tpm.ts';

const PIN = '591834';
const USER = 'ada@contoso.test';

let directory: TestDirectory;
let world: IdentityWorld;
let kit: TestTpm;
let store: KeyStore;
let events: RunEvent[];
let tokens: string[];

beforeAll(async () => {
  kit = await openTestTpm({ lockout: 'windows' });
  directory = await startDirectory();
  const ek = await openEndorsementKey(kit.tpm);
  const ekAllowList = [{ spki: encodeSpki(publicKeyOf(ek.publicArea)) }];
  await ek.release();
  world = await startIdentityWorld({
    ...{ onPremises: directory.connection, syncIntervalMs: 1, attestation: 'require', ekAllowList },
  });
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  await directory?.close();
  await kit?.tpm.close();
});
beforeEach(async () => {
  store = await openKeyStore(await mkdtemp(join(tmpdir(), 'keyprov-service-run-')));
  world.service.setIntercept();
  events = [];
  tokens = [];
});
afterEach(() => rm(store.directory, { recursive: true }));

async function run(user: string, change: Partial<ProvisionOptions> = {}) {
  world.addUser(user);
  return await provision({
    ...{ user, deviceId: world.device.deviceId, store, prerequisites: 'skip', profile: 'attested' },
    registrar: await world.registrar({ sleep: async () => {} }),
    policy: definePolicy({ hardware: 'required', attestation: 'required', pin: { history: 2 } }),
    enrolAk: attestationCaEnrolment({ url: `${world.service.url}/attestation/`, fetch: world.fetch }),
    sources: { tpm: kit.tpm },
    mfa: async () => {
      const token = await world.token(user);
      tokens.push(token);
      return { status: 'passed', token };
    },
    pin: async () => utf8(PIN),
    onEvent: (event) => events.push(event),
    ...change,
  });
}
const keysOf = (user: string) => world.service.keys().filter(({ upn }) => upn === user);

/** Signs in with the key and its PIN, as the device. */
async function signIn(user: string, record: KeyRecord) {
  const provider = await openTpmKeyProvider(kit.tpm);
  const { certificate, privateKey } = world.device;
  return await signInWithKey(
    {
      ...{ user, audience: world.service.tenantId },
      ...{ tokenEndpoint: `${world.service.url}/${world.service.tenantId}/oauth2/token` },
      key: { publicKey: record.publicKey, sign: (options) => provider.sign(record, { ...options, pin: utf8(PIN) }) },
      device: {
        key: signingKeyOf(createPrivateKey(privateKey)),
        certificates: [decodePem(certificate, 'CERTIFICATE')],
      },
    },
    { fetch: world.fetch },
  );
}

describe('a complete run', () => {
  it('gives a key that signs in once the directory has it, until it is unregistered', async () => {
    await directory.addUser({ upn: USER, name: 'Ada' });
    const before = await leftovers(kit.tpm);
    const outcome = await run(USER);
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    const { record, registration } = outcome;
    expect(registration).toMatchObject({
      attestationLevel: 'certified',
      aikStatus: 'certified',
      pctx: expect.any(String),
    });
    expect(keysOf(USER)).toEqual([
      expect.objectContaining({
        kid: registration.kid,
        attestation: 'tpm-no-ek-certificate',
        keyId: registration.keyId,
      }),
    ]);
    expect(await leftovers(kit.tpm)).toEqual(before);

    await using bound = await bindDirectory(directory.connection, directory.connection.reader);
    const reader = ldapReader(bound.client, { base: directory.connection.base });
    const state = async () => (await syncStatus(registration, { reader })).state;
    expect(await state()).toBe('pending');
    expect(await asyncRefusal(() => signIn(USER, record))).toMatch('invalid_grant');
    expect(await world.service.runSyncCycle()).toMatchObject([{ upn: USER, action: 'add', status: 'written' }]);
    expect(await state()).toBe('synced');
    expect(await signIn(USER, record)).toMatchObject({ tokenType: 'pop' });

    expect(await unregisterKey(store, record.id, { registrar: await world.registrar() })).toBe('deleted');
    expect(keysOf(USER)).toEqual([]);
    expect(await world.service.runSyncCycle()).toMatchObject([{ upn: USER, action: 'remove', status: 'removed' }]);
    expect(await asyncRefusal(() => signIn(USER, record))).toMatch('invalid_grant');
    expect((await store.list()).records).toEqual([]);
  });

  it('registers one key although answers are lost after it was stored', async () => {
    const user = 'lost@contoso.test';
    let drops = 0;
    world.service.setIntercept(({ method, path }) => {
      if (method !== 'POST' || !path.startsWith('/EnrollmentServer/key') || drops === 2) return 'continue';
      drops += 1;
      return 'drop-after';
    });
    expect(await run(user)).toMatchObject({ status: 'registered', resumed: false });
    expect(drops).toBe(2);
    expect(events.filter(({ type }) => type === 'retry')).toHaveLength(2);
    expect(keysOf(user)).toHaveLength(1);
  });

  it('lets the service remove no other key, with any number or user in its answer', async () => {
    const deletions = () => world.service.requests.filter(({ method }) => method === 'DELETE').length;
    const answering = (body: object) =>
      world.service.setIntercept(({ method, path }) =>
        method === 'POST' && path.startsWith('/EnrollmentServer/key') ? { status: 200, body } : 'continue',
      );
    const ceo = await run('ceo@contoso.test');
    if (ceo.status !== 'registered') throw new Error(ceo.status);
    const { kid } = ceo.registration;
    const before = deletions();
    const user = 'victim@contoso.test';
    answering({ kid, upn: 'ceo@contoso.test' });
    await expect(run(user)).rejects.toMatchObject({ code: 'service-answer', misplaced: { kid } });
    answering({ kid: '..', upn: user });
    expect(await run(user)).toMatchObject({ status: 'pending', problem: { code: 'service-answer' } });
    world.service.setIntercept();
    const outcome = await run(user);
    if (outcome.status !== 'registered') throw new Error(outcome.status);

    // Now the same user has another key, of another device, and the service gives its number for this one.
    const registrar = await world.registrar();
    const other = { ...outcome.registration, deviceId: randomUUID() };
    for (const [key, said] of [
      [other, 'is not the expected key, so it was not removed'],
      [{ ...outcome.registration, keyId: ceo.registration.keyId }, 'is not the expected key, so it was not removed'],
      [{ ...outcome.registration, kid: '..' }, '".." is not a registration number'],
    ] as const) {
      expect(await asyncRefusal(() => registrar.unregister?.(key) ?? Promise.resolve())).toMatch(said);
    }
    // The other user has no such key.
    expect(await registrar.unregister?.({ ...outcome.registration, kid })).toBe('absent');
    expect([deletions() - before, keysOf(user).length, keysOf('ceo@contoso.test').length]).toEqual([0, 1, 1]);
    expect(await unregisterKey(store, outcome.record.id, { registrar })).toBe('deleted');
  });

  it('asks for nothing if its pool cannot make a key', async () => {
    const policy = definePolicy({ hardware: 'required' });
    await using pool = createKeyPool({ policy, sources: {} });
    const mfa = () => Promise.reject(new Error('the user was asked to authenticate'));
    expect(await asyncRefusal(() => run('poolless@contoso.test', { mfa, pool }))).toMatch(/^hardware-required: /);
  });

  it('takes its key from a pool if there is one', async () => {
    const user = 'pool@contoso.test';
    const policy = definePolicy({ hardware: 'required', attestation: 'required' });
    await using pool = createKeyPool({ policy, sources: { tpm: kit.tpm } });
    await pool.fill();
    const outcome = await run(user, { pool });
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    expect(events).toContainEqual(
      expect.objectContaining({ step: 'key', detail: expect.stringContaining('made in advance') }),
    );
    expect(outcome.registration.aikStatus).toBe('certified');
    const provider = await openTpmKeyProvider(kit.tpm);
    expect(await provider.sign(outcome.record, { data: utf8('x'), pin: utf8(PIN) })).toHaveLength(256);
    expect(pool.size).toBe(0);
  });

  it("can be removed if the store is lost, but not another device's key or a kept key", async () => {
    const user = 'reimaged@contoso.test';
    const { graph, device } = world;
    if ((await run(user)).status !== 'registered') throw new Error('not registered');
    const isLost = async (id: string) => (await readMethodDevice(user, id, graph)) === device.deviceId;
    const newStore = await openKeyStore(join(store.directory, 'of-the-new-machine'));
    const outcome = await run(user, { store: newStore });
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    const { record, registration } = outcome;
    const unregister = async () => unregisterKey(newStore, record.id, { registrar: await world.registrar() });
    expect(await asyncRefusal(unregister)).toMatch(
      /^service-untrusted: .*another key of the same device.*\(listHelloMethods\)/,
    );
    expect(keysOf(user)).toHaveLength(2);
    for (const { id } of await listHelloMethods(user, graph))
      if (id !== registration.kid && (await isLost(id))) await deleteHelloMethod(user, id, graph);
    expect(keysOf(user)).toHaveLength(1);
    expect(await unregister()).toBe('deleted');
    expect(keysOf(user)).toEqual([]);
    expect(await readMethodDevice(user, registration.kid, graph)).toBe('absent');
  });

  it('is not replaced by a software key unasked, even after it was unregistered', async () => {
    const user = 'downgrade@contoso.test';
    const outcome = await run(user);
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    await unregisterKey(store, outcome.record.id, { registrar: await world.registrar() });
    const software = {
      policy: definePolicy({ hardware: 'preferred', attestation: 'none' }),
      ...{ sources: { software: async () => openSoftwareKeyProvider() }, profile: 'strict' as const },
    };
    expect(await asyncRefusal(() => run(user, software))).toMatch('downgrade-refused: ');
    expect(await asyncRefusal(() => run(user.toUpperCase(), software))).toMatch('downgrade-refused: ');
    expect(await asyncRefusal(() => run(user, { ...software, allowDowngrade: true }))).toMatch('service-refused: ');
  });

  it('leaves a key that is proved at each load', async () => {
    const outcome = await run('loaded@contoso.test');
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    const { record, registration } = outcome;
    const load = async (tpm?: Tpm) => {
      await using key = await openKey({ store, id: record.id, sources: { tpm } });
      expect({ record: key.record, registration: key.registration }).toEqual({ record, registration });
      return await key.prove();
    };
    expect(await load(kit.tpm)).toMatchObject({ backend: 'tpm', address: kit.tpm.transport.address });
    expect(await asyncRefusal(() => load())).toMatch('no-tpm: the key ngc-');
    await using other = await openTestTpm();
    expect(await asyncRefusal(() => load(other.tpm))).toMatch('tpm-identity-changed: ');
    await run('second@contoso.test');
    const [second] = await listRegistrations(store, { user: 'second@contoso.test' });
    const { privateKey } = second?.record ?? record;
    await store.update(record.id, (kept) => ({ ...kept, privateKey }));
    await using mixed = await openKey({ store, id: record.id, sources: { tpm: kit.tpm } });
    expect(await asyncRefusal(() => mixed.prove())).toMatch(/^key-invalid: .* contains another key's private part/);
  });

  it('waits while the service is down, and continues with a new proof of the key', async () => {
    const user = 'down@contoso.test';
    world.service.setIntercept(({ path }) =>
      path.startsWith('/EnrollmentServer/key')
        ? { status: 503, headers: { 'retry-after': '5' }, body: '' }
        : 'continue',
    );
    expect(await run(user)).toMatchObject({
      status: 'pending',
      retryAfterMs: 5000,
      problem: { code: 'service-unreachable' },
    });
    world.service.setIntercept();
    // The caller's new objects are not leftovers of the first call.
    await using own = await createAttestationKey(kit.tpm, { algorithm: 'p-256' });
    expect(await run(user, { pin: async () => Promise.reject(new Error('asked again')) })).toMatchObject({
      status: 'registered',
      resumed: true,
      registration: { aikStatus: 'certified' },
    });
    expect((await kit.tpm.run(ReadPublic, { objectHandle: own.object })).outPublic).toEqual(own.publicArea);
    expect(keysOf(user)).toHaveLength(1);
  });

  it('asks for nothing while the TPM does not have the key', async () => {
    const user = 'elsewhere@contoso.test';
    world.service.setIntercept(({ path }) => (path.startsWith('/EnrollmentServer/key') ? 'drop-after' : 'continue'));
    expect(await run(user)).toMatchObject({ status: 'pending' });
    world.service.setIntercept();
    const mfa = () => Promise.reject(new Error('the user was asked to authenticate'));
    expect(await asyncRefusal(() => run(user, { mfa, sources: {} }))).toMatch(/^no-tpm: the key is in a TPM/);
    const gone = { tpm: `device:${store.directory}/no-tpm` };
    expect(await asyncRefusal(() => run(user, { mfa, sources: gone }))).toMatch(/^no-tpm: /);
    expect((await listRuns(store)).map(({ state }) => state.progress.step)).toEqual(['sending']);
    expect(await run(user)).toMatchObject({ status: 'registered', resumed: true });
    expect(keysOf(user)).toHaveLength(1);
  });

  it('unregisters a key that the TPM has lost, and makes another one', async () => {
    const user = 'cleared@contoso.test';
    world.service.setIntercept(({ path }) => (path.startsWith('/EnrollmentServer/key') ? 'drop-after' : 'continue'));
    expect(await run(user)).toMatchObject({ status: 'pending', problem: { outcomeUnknown: true } });
    const [lost] = keysOf(user);
    world.service.setIntercept();
    await kit.tpm.run(Clear, { authHandle: TPM_RH.LOCKOUT });
    const outcome = await run(user);
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    expect(outcome.resumed).toBe(true);
    expect(keysOf(user).map(({ kid }) => kid)).toEqual([outcome.registration.kid]);
    expect(outcome.registration.kid).not.toBe(lost?.kid);
    const provider = await openTpmKeyProvider(kit.tpm);
    expect(await provider.sign(outcome.record, { data: utf8('x'), pin: utf8(PIN) })).toHaveLength(256);
  });

  it('leaves nothing when the service does not take the attestation', async () => {
    const user = 'refused@contoso.test';
    const said = await asyncRefusal(() => run(user, { enrolAk: undefined }));
    expect(said).toMatch(/^service-refused: .*AttestationFailed/);
    expect(said).toMatch(/; have the attestation key certified by a CA that the service trusts, or send no/);
    expect(keysOf(user)).toEqual([]);
    expect(await listRuns(store)).toEqual([]);
    expect((await store.list()).records).toEqual([]);
  });
});

describe('the PIN and the tokens of complete runs', () => {
  it('are in no event, outcome, error, file, or log of requests', async () => {
    const outcomes: unknown[] = [];
    const faults = ['drop-after', { status: 500, body: 'x', headers: {} }, 'continue'] as const;
    for (const fault of faults) {
      world.service.setIntercept(({ path }) => (path.startsWith('/EnrollmentServer/key') ? fault : 'continue'));
      await run('secret@contoso.test').then(
        (outcome) => outcomes.push(outcome),
        (error: unknown) => outcomes.push(error),
      );
    }
    expect(tokens).toHaveLength(3);
    const files = await Promise.all(
      (await readdir(store.directory)).map((name) => readFile(join(store.directory, name), 'latin1')),
    );
    expect(files.length).toBeGreaterThan(0);
    const shown = [outcomes, events, world.service.requests].map((one) =>
      inspect(one, { depth: 12, showHidden: true }),
    );
    const everything = [...files, ...shown].join('\n');
    const utf16 = new Uint8Array(Buffer.from(PIN, 'utf16le'));
    const bytes = [utf8(PIN), utf16];
    const secrets = [
      PIN,
      ...bytes.flatMap((form) => [toHex(form), toBase64(form).replace(/=+$/, ''), toBase64Url(form)]),
      ...tokens.flatMap((token) => token.split('.').slice(1)),
    ];
    for (const secret of secrets) expect(everything).not.toContain(secret);
  });
});
