import '../cheap-scrypt.mjs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toBase64, toHex, utf8 } from '../../src/bytes.ts';
import { KeyprovError } from '../../src/errors.ts';
import { encodePublicBlob } from '../../src/formats/windows/key-registration.ts';
import { type KeyStore, openKeyStore } from '../../src/keys/key-store.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import type { MfaPrompt } from '../../src/provisioning/mfa-gate.ts';
import { readPinState } from '../../src/provisioning/pin-state.ts';
import { provision } from '../../src/provisioning/provision.ts';
import { provisionKey } from '../../src/provisioning/provision-key.ts';
import { listRegistrations, readRegistration } from '../../src/provisioning/registration-record.ts';
import type { ProvisionOptions, RunEvent } from '../../src/provisioning/run.ts';
import { claimRun, listRuns } from '../../src/provisioning/run-journal.ts';
import { unregisterKey } from '../../src/provisioning/unregister.ts';
import { checkPrerequisites } from '../../src/provisioning/windows/prerequisites.ts';
import { openTpmIn } from '../../src/testing/tpm-conditions.ts';
import { HierarchyChangeAuth } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { passingMfa } from '../fake-mfa.ts';
import { FakeRegistrar, type RegistrarFault, serviceError } from '../fake-registrar.ts';
import { asyncRefusal } from '../refusal.ts';
import { leftovers, newTpm, tpmMissing } from './support/new-tpm.ts';

const missingTpm = await tpmMissing();
const PIN = '591834';
const USER = 'alice@contoso.test';
const DEVICE = '47f577e3-d2d0-4a0a-8aca-e0501098bde4';

let store: KeyStore;
let registrar: FakeRegistrar;
let events: RunEvent[];
let pinsAsked: number;
let now: Date;
beforeEach(async () => {
  store = await openKeyStore(await mkdtemp(join(tmpdir(), 'keyprov-run-')));
  registrar = new FakeRegistrar();
  events = [];
  pinsAsked = 0;
  now = new Date('2026-01-02T03:04:05.000Z');
});
afterEach(() => rm(store.directory, { recursive: true }));

const options = (change: Partial<ProvisionOptions> = {}): ProvisionOptions => ({
  user: USER,
  deviceId: DEVICE,
  store,
  registrar,
  policy: definePolicy({ hardware: 'discouraged', pin: { minLength: 6, history: 3 } }),
  sources: { software: async () => openSoftwareKeyProvider() },
  prerequisites: 'skip',
  mfa: passingMfa(() => now),
  pin: async ({ step }) => {
    if (step === 'enter') pinsAsked += 1;
    return utf8(PIN);
  },
  now: () => now,
  onEvent: (event) => events.push(event),
  ...change,
});
const run = (change?: Partial<ProvisionOptions>) => provision(options(change));
const steps = () => events.filter(({ type }) => type === 'end').map((event) => ('step' in event ? event.step : ''));
const nothingLeft = async () => {
  expect(await listRuns(store)).toEqual([]);
  expect(await store.list()).toEqual({ records: [], damaged: [] });
};
const neverAsked: MfaPrompt = () => Promise.reject(new Error('the user was asked to authenticate'));
const lost = () => serviceError('service-timeout', { retry: 'backoff', outcomeUnknown: true });
const refused = () => serviceError('service-refused', { status: 400 });

describe('a run', () => {
  it("does not store a registrar's answer before checking it", async () => {
    const { register } = registrar;
    registrar.register = async (request) => ({ ...(await register.call(registrar, request)), kid: '' });
    expect(await run()).toMatchObject({ status: 'pending', problem: { code: 'service-answer' } });
    registrar.register = register;
    expect(await run()).toMatchObject({ status: 'registered', resumed: true });
    expect(registrar.keys).toHaveLength(1);
  });

  it('never unregisters a key that a registrar assigns to another user, even if it does not report an error', async () => {
    const { register } = registrar;
    registrar.register = async (request) => {
      const answer = await register.call(registrar, { ...request, user: 'eve@contoso.test' });
      return { ...answer, upn: 'eve@contoso.test' };
    };
    await expect(run()).rejects.toMatchObject({ code: 'service-answer', misplaced: { upn: 'eve@contoso.test' } });
    expect([registrar.takenBack, registrar.keys.map(({ user }) => user)]).toEqual([[], ['eve@contoso.test']]);
    await nothingLeft();
  });

  it.each(['..', '.', '', 'a b', 'a\n', '\u001b[2J', '\u202e', 'k'.repeat(257)])(
    'does not keep %j as the number of a key',
    async (kid) => {
      const { register } = registrar;
      registrar.register = async (request) => ({ ...(await register.call(registrar, request)), kid });
      expect(await run()).toMatchObject({ status: 'pending', problem: { code: 'service-answer' } });
      registrar.register = register;
      expect(await run()).toMatchObject({ status: 'registered', resumed: true });
    },
  );

  it.skipIf(missingTpm)("has the TPM's passwords, also when it is continued", async () => {
    await using tpm = await newTpm();
    const [ownerAuth, endorsementAuth] = [utf8('the owner of it'), utf8('the endorsement')];
    await tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth: ownerAuth });
    await tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.ENDORSEMENT, newAuth: endorsementAuth });
    const policy = definePolicy({ hardware: 'required', attestation: 'required', algorithm: 'p-256' });
    const wish = { policy, sources: { tpm }, tpmOptions: { ownerAuth, endorsementAuth }, profile: 'attested' } as const;
    const { register } = registrar;
    registrar.register = async (request) => ({ ...(await register.call(registrar, request)), kid: '' });
    expect(await run(wish)).toMatchObject({ status: 'pending' });
    registrar.register = register;
    expect(await run(wish)).toMatchObject({ status: 'registered', resumed: true, attestation: { status: 'made' } });
    expect(await leftovers(tpm)).toEqual([]);
  });

  it('ends with the key at the service and in the store, and no journal', async () => {
    const outcome = await run();
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    const { record, registration } = outcome;
    expect(outcome.resumed).toBe(false);
    expect(registrar.keys).toEqual([
      { kid: registration.kid, user: USER, kngc: toBase64(encodePublicBlob(record.publicKey)) },
    ]);
    expect(registration).toMatchObject({
      user: USER,
      deviceId: DEVICE,
      domain: 'contoso.test',
      tenant: 'contoso.test',
    });
    expect(registration).toMatchObject({ attestationLevel: 'none', aikStatus: 'none', service: registrar.address });
    expect(registration.registered).toEqual(now);
    expect(await listRuns(store)).toEqual([]);
    const kept = await store.load(record.id);
    expect(kept).toEqual(record);
    expect(readRegistration(kept)).toEqual(registration);
    expect(readPinState(kept)).toMatchObject({ setAt: now.toISOString(), met: { minLength: 6 } });
    expect(steps()).toEqual(['mfa', 'pin', 'key', 'request', 'registration', 'record']);
    const provider = openSoftwareKeyProvider();
    expect(await provider.sign(kept, { data: utf8('x'), pin: utf8(PIN) })).toHaveLength(256);
  });

  it('does nothing if a prerequisite fails', async () => {
    const prerequisites = checkPrerequisites({ deviceJoined: false }, { policy: definePolicy() });
    expect(await run({ prerequisites: async () => prerequisites })).toEqual({ status: 'blocked', prerequisites });
    expect(registrar.requests).toEqual([]);
    await nothingLeft();
  });

  it.each([
    ['an absent TPM', 'required', 'absent', /^hardware-required: policy requires a TPM, but none is usable/],
    ['a locked TPM', 'required', 'locked', /^tpm-unavailable: .*; wait up to \d+ s, or [^,]*$/],
    ['a locked TPM that is not a must', 'preferred', 'locked', /^tpm-unavailable: /],
  ] as const)('prompts nobody for a key that %s cannot make', async (_, hardware, condition, error) => {
    const tpm = () => openTpmIn(condition);
    const wish = { policy: definePolicy({ hardware }), sources: { ...options().sources, tpm }, mfa: neverAsked };
    expect(await asyncRefusal(() => run(wish))).toMatch(error);
    expect([pinsAsked, steps()]).toEqual([0, []]);
    await nothingLeft();
  });

  it.skipIf(missingTpm)('makes no software key after a TPM key that was only deleted from the store', async () => {
    await using tpm = await newTpm();
    const outcome = await run({ policy: definePolicy({ algorithm: 'p-256' }), sources: { tpm } });
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    await store.delete(outcome.record.id);
    expect(await asyncRefusal(run)).toMatch(/^downgrade-refused: /);
    expect(await run({ allowDowngrade: true })).toMatchObject({
      status: 'registered',
      record: { backend: 'software' },
    });
  });

  it.skipIf(missingTpm)(
    'makes no software key if the store has a TPM key of the user that is not registered',
    async () => {
      await using tpm = await newTpm();
      const policy = definePolicy({ algorithm: 'p-256' });
      const { record } = await provisionKey({
        policy,
        sources: { tpm },
        user: USER.toUpperCase(),
        challenge: utf8('c'),
      });
      await store.save(record);
      expect(await asyncRefusal(run)).toMatch(/^downgrade-refused: /);
      await store.save({ ...record, id: 'ngc-0', user: 'eve@contoso.test' });
      await store.delete(record.id, { note: false });
      expect(await run()).toMatchObject({ status: 'registered', record: { backend: 'software' } });
    },
  );

  it.each([
    ['a PIN of text', { pin: '271828' }, "provision: pin must be a function that asks for it, a Uint8Array, or 'none'"],
    ['no PIN', { pin: undefined }, "provision: pin must be a function that asks for it, a Uint8Array, or 'none'"],
    ['a store without await', { store: Promise.resolve() }, 'provision: store must be a KeyStore from openKeyStore'],
    ['a registrar without await', { registrar: Promise.resolve() }, /^registrar must be an object with address and /],
    ['settings for a policy', { policy: { hardware: 'required' } }, 'policy must be a Policy from definePolicy'],
    [
      'an address for sources',
      { sources: 'libtpms:x' },
      'sources must be an object with tpm and software, such as keySources() returns',
    ],
    ['a word for prerequisites', { prerequisites: 'none' }, /^provision: prerequisites must be 'skip', or a function/],
    ['a controller for its signal', { signal: new AbortController() }, 'provision: signal must be an AbortSignal'],
    ['no mfa', { mfa: undefined }, /^provision: mfa must be a function/],
  ])('prompts nobody if an untyped caller passes %s', async (_, change, message) => {
    const error = await run({ mfa: neverAsked, ...change } as never).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toHaveProperty('message', typeof message === 'string' ? message : expect.stringMatching(message));
    expect(pinsAsked).toBe(0);
  });

  it.each([undefined, 'eyJ0', { token: 'eyJ0' }])('says what mfa must return, not %j', async (answer) => {
    await expect(run({ mfa: async () => answer as never })).rejects.toThrow(
      new TypeError("mfa must return { status: 'passed', token } or { status: 'failed', reason }"),
    );
    await nothingLeft();
  });

  it('prompts nobody for a key that is refused because the last one was in a TPM', async () => {
    expect(await asyncRefusal(() => run({ previous: 'tpm', mfa: neverAsked }))).toMatch(/^downgrade-refused: /);
    expect(pinsAsked).toBe(0);
    await nothingLeft();
  });

  it.each([
    ['nothing', undefined],
    ['false', false],
    ['true', true],
    ['the findings alone', [{ id: 'hardware-eligible', status: 'fail' }]],
    ['another word', { result: 'willprovision' }],
  ])('does nothing if the prerequisites return %s', async (_, answer) => {
    const prerequisites = async () => answer as never;
    await expect(run({ prerequisites })).rejects.toThrow(
      new TypeError('prerequisites must return the result of checkPrerequisites'),
    );
    expect(registrar.requests).toEqual([]);
    await nothingLeft();
  });

  it('gives a user one key per device', async () => {
    await run();
    expect(await asyncRefusal(run)).toMatch(
      /^key-exists: alice@contoso\.test already has the key ngc-[0-9a-f]{32} on this/,
    );
    expect(await listRuns(store)).toEqual([]);
    expect((await run({ deviceId: '00000000-0000-0000-0000-000000000001' })).status).toBe('registered');
    expect((await run({ user: 'bob@contoso.test' })).status).toBe('registered');
    expect(registrar.keys).toHaveLength(3);
  });

  it('leaves nothing when the user does not authenticate, gives no PIN, or gives up', async () => {
    const mfa: MfaPrompt = async () => ({ status: 'failed', reason: 'the user said no' });
    expect(await asyncRefusal(() => run({ mfa }))).toMatch('mfa-failed: ');
    await nothingLeft();
    expect(await asyncRefusal(() => run({ pin: async () => utf8('123456') }))).toMatch('pin-refused: ');
    const never = () => expect.fail('somebody was asked to authenticate');
    expect(await asyncRefusal(() => run({ pin: utf8('123456'), mfa: never }))).toMatch('pin-refused: ');
    await nothingLeft();
    const controller = new AbortController();
    const giveUp = async () => {
      controller.abort(new Error('given up'));
      return utf8(PIN);
    };
    expect(await asyncRefusal(() => run({ pin: giveUp, signal: controller.signal }))).toBe('foreign: Error: given up');
    await nothingLeft();
    expect(registrar.requests).toEqual([]);
  });

  it('leaves nothing when the service refuses the key', async () => {
    registrar.faults.push({ before: refused() });
    expect(await asyncRefusal(run)).toBe('service-refused: the service: service-refused');
    await nothingLeft();
  });

  it('asks for another authentication when the service wants a newer one, but once only', async () => {
    const stale = () => ({ before: serviceError('service-refused', { status: 401, retry: 'mfa' }) });
    registrar.faults.push(stale());
    expect((await run()).status).toBe('registered');
    expect(steps().filter((step) => step === 'mfa')).toHaveLength(2);
    expect(registrar.keys).toHaveLength(1);
    expect(registrar.asked).toHaveLength(2); // a challenge for each authentication
    registrar.faults.push(stale(), stale());
    expect(await asyncRefusal(() => run({ user: 'bob@contoso.test' }))).toMatch('service-refused');
    expect(registrar.requests).toHaveLength(4);
    expect(await listRuns(store)).toEqual([]);
  });

  it('asks again when the authentication has become too old over the PIN', async () => {
    const slowly = async () => {
      now = new Date(now.getTime() + 301_000);
      return utf8(PIN);
    };
    expect((await run({ pin: slowly })).status).toBe('registered');
    expect(steps()).toEqual(['mfa', 'pin', 'mfa', 'key', 'request', 'registration', 'record']);
    expect(registrar.asked).toEqual([`${USER} on ${DEVICE}, ${registrar.requests[0]?.token}`]);
  });
});

describe('a run whose outcome at the service is not known', () => {
  it.each([
    ['was not stored', { before: lost() }],
    ['was stored, but the answer was lost', { after: lost() }],
  ] satisfies [string, RegistrarFault][])('waits, and continues without another PIN: the key %s', async (_, fault) => {
    registrar.faults.push(fault);
    const first = await run();
    expect(first).toMatchObject({ status: 'pending', problem: { code: 'service-timeout' } });
    const [waiting] = await listRuns(store);
    expect(waiting).toMatchObject({ active: false, state: { progress: { step: 'sending' } } });
    events = [];
    const second = await run();
    expect(second).toMatchObject({ status: 'registered', resumed: true });
    expect(pinsAsked).toBe(1);
    expect(events[0]).toEqual({ type: 'resume', from: 'sending' });
    expect(registrar.keys).toHaveLength(1);
    expect(new Set(registrar.requests.map(({ clientRequestId }) => clientRequestId)).size).toBe(1);
    expect(await listRuns(store)).toEqual([]);
    expect((await listRegistrations(store)).map(({ registration }) => registration.kid)).toEqual([
      registrar.keys[0]?.kid,
    ]);
  });

  it('says when to try again if the service did', async () => {
    registrar.faults.push({ before: serviceError('service-unreachable', { retry: 'backoff', retryAfterMs: 300_000 }) });
    expect(await run()).toMatchObject({ status: 'pending', retryAfterMs: 300_000 });
  });

  it('keeps the key when a later refusal says nothing about the first request', async () => {
    registrar.faults.push({ after: lost() }, { before: refused() });
    await run();
    expect(await asyncRefusal(run)).toMatch('service-refused');
    expect((await listRuns(store)).map(({ state }) => state.progress.step)).toEqual(['sending']);
    expect((await run()).status).toBe('registered');
    expect(registrar.keys).toHaveLength(1);
  });

  it('keeps the key when it is refused after an authentication that an unknown outcome has led to', async () => {
    const unknown = serviceError('service-refused', { status: 401, retry: 'mfa', outcomeUnknown: true });
    registrar.faults.push({ after: unknown }, { before: refused() });
    expect(await asyncRefusal(run)).toMatch('service-refused');
    expect((await listRuns(store)).map(({ state }) => state.progress.step)).toEqual(['sending']);
    expect((await run()).status).toBe('registered');
    expect(registrar.keys).toHaveLength(1);
  });

  it('uses the current service if no service was asked before', async () => {
    const { journal } = await claimRun(store, {
      user: USER,
      deviceId: DEVICE,
      service: 'https://other.test/key/',
      now,
    });
    await journal.release();
    registrar.faults.push({ after: lost() });
    expect((await run()).status).toBe('pending');
    expect((await listRuns(store)).map(({ state }) => state.service)).toEqual([registrar.address]);
    expect(await run()).toMatchObject({ status: 'registered', resumed: true });
  });

  it('is not gone on with at another service', async () => {
    registrar.faults.push({ after: lost() });
    await run();
    const other = Object.assign(new FakeRegistrar(), { address: 'https://other.test/key/' });
    expect(await asyncRefusal(() => run({ registrar: other }))).toMatch(
      'journal-invalid: an unfinished run belongs to another service',
    );
    expect((await run()).status).toBe('registered');
  });
});

describe.skipIf(missingTpm)('a continued run with a key in a TPM', () => {
  const policy = definePolicy({ hardware: 'required', algorithm: 'p-256' });
  const begin = async (tpm: Tpm) => {
    registrar.faults.push({ after: lost() });
    expect((await run({ policy, sources: { tpm } })).status).toBe('pending');
  };

  it('prompts nobody while the TPM cannot be used', async () => {
    await using tpm = await newTpm();
    await begin(tpm);
    for (const condition of ['absent', 'failing', 'lost'] as const) {
      const sources = { tpm: () => openTpmIn(condition) };
      expect(await asyncRefusal(() => run({ policy, sources, mfa: neverAsked }))).toMatch(
        /^(no-tpm|tpm-failure-mode|transport-lost): /,
      );
    }
    expect(await asyncRefusal(() => run({ policy, sources: {}, mfa: neverAsked }))).toMatch(/^no-tpm: /);
    expect(await run({ policy, sources: { tpm } })).toMatchObject({ status: 'registered', resumed: true });
    expect([pinsAsked, registrar.keys.length]).toEqual([1, 1]);
  });

  it('has the user authenticate once if the key is lost with its TPM', async () => {
    await using first = await newTpm();
    await begin(first);
    await using second = await newTpm();
    let asked = 0;
    const mfa: MfaPrompt = (request, more) => {
      asked += 1;
      return passingMfa(() => now)(request, more);
    };
    expect(await run({ policy, sources: { tpm: second }, mfa })).toMatchObject({ status: 'registered', resumed: true });
    expect([asked, registrar.takenBack.length, registrar.keys.length]).toEqual([1, 1, 1]);
  });

  it('prompts nobody for a lost key that the service cannot remove', async () => {
    await using first = await newTpm();
    await begin(first);
    await using second = await newTpm();
    registrar.unregister = undefined;
    const [{ path } = { path: '' }] = await listRuns(store);
    const said = await asyncRefusal(() => run({ policy, sources: { tpm: second }, mfa: neverAsked }));
    expect(said).toMatch(/^service-refused: an unfinished run's key can no longer be used \(the key's parent, /);
    expect(said).toMatch(
      `); the service may have it, but the registrar cannot unregister it; unregister it at the service, then remove ${path}`,
    );
    expect(said).not.toMatch('provision a new key');
    await rm(path);
    expect(await run({ policy, sources: { tpm: second } })).toMatchObject({ status: 'registered', resumed: false });
  });
});

describe('a run that policy has overtaken', () => {
  const stricter = { policy: definePolicy({ hardware: 'discouraged', allowedAlgorithms: ['p-256'] }) };

  it.each([
    ['may have', { after: lost() }],
    ['has not', { before: lost() }],
  ] satisfies [string, RegistrarFault][])(
    'unregisters the key that the service %s, and makes another one',
    async (_, fault) => {
      registrar.faults.push(fault);
      expect((await run()).status).toBe('pending');
      const outcome = await run({ ...stricter, profile: 'attested' });
      expect(outcome).toMatchObject({ status: 'registered', resumed: true, record: { algorithm: 'p-256' } });
      expect(pinsAsked).toBe(2);
      expect(registrar.keys).toHaveLength(1);
      expect((await store.list()).records).toHaveLength(1);
    },
  );

  it.skipIf(missingTpm).each([
    ['was not sent to the service', { before: lost() }],
    ['may be at the service', { after: lost() }],
    ['is registered but not stored', undefined],
  ] satisfies [string, RegistrarFault | undefined][])(
    'makes no software key in place of a TPM key that %s, not even in a later run',
    async (_, fault) => {
      await using tpm = await newTpm();
      const full = async () => Promise.reject(new KeyprovError('store-io', 'the disk is full'));
      const broken = new Proxy(store, { get: (of, name) => (name === 'save' ? full : Reflect.get(of, name, of)) });
      const first = { policy: definePolicy({ algorithm: 'rsa-2048' }), sources: { tpm } };
      if (fault === undefined) await expect(run({ ...first, store: broken })).rejects.toThrow('the disk is full');
      else {
        registrar.faults.push(fault);
        expect((await run(first)).status).toBe('pending');
      }
      const wish = { ...stricter, profile: 'attested' } as const;
      for (let time = 0; time < 2; time++) expect(await asyncRefusal(() => run(wish))).toMatch(/^downgrade-refused: /);
      expect(registrar.keys).toEqual([]);
      await nothingLeft();
      expect(await run({ ...wish, allowDowngrade: true })).toMatchObject({
        status: 'registered',
        record: { backend: 'software' },
      });
    },
  );

  it.skipIf(missingTpm).each([
    ['refuses', { before: refused() }, 'service-refused'],
    ['says it has for somebody else', { upn: 'eve@contoso.test' }, 'service-answer'],
  ] satisfies [string, RegistrarFault, string][])(
    'makes no software key after a TPM key that the service %s',
    async (_, fault, code) => {
      await using tpm = await newTpm();
      registrar.faults.push(fault);
      const policy = definePolicy({ algorithm: 'p-256' });
      expect(await asyncRefusal(() => run({ policy, sources: { tpm } }))).toMatch(code);
      await nothingLeft();
      expect(await asyncRefusal(run)).toMatch(/^downgrade-refused: /);
    },
  );

  it('leaves nothing if the service refuses the other key', async () => {
    registrar.faults.push({ after: lost() }, 'none', { before: refused() });
    expect((await run()).status).toBe('pending');
    expect(await asyncRefusal(() => run({ ...stricter, profile: 'attested' }))).toMatch('service-refused');
    expect(registrar.keys).toEqual([]);
    await nothingLeft();
  });

  it('never continues with a software key if hardware is now required', async () => {
    registrar.faults.push({ after: lost() });
    await run();
    const said = await asyncRefusal(() => run({ policy: definePolicy({ hardware: 'required' }) }));
    expect(said).toMatch('hardware-required: policy requires a TPM, but none is usable');
    expect(registrar.keys).toEqual([]);
    await nothingLeft();
  });

  it('unregisters a key that was registered but not yet stored', async () => {
    const full = async () => Promise.reject(new KeyprovError('store-io', 'the disk is full'));
    const broken = new Proxy(store, { get: (of, name) => (name === 'save' ? full : Reflect.get(of, name, of)) });
    expect(await asyncRefusal(() => run({ store: broken }))).toBe('store-io: the disk is full');
    expect((await listRuns(store)).map(({ state }) => state.progress.step)).toEqual(['registered']);
    expect(await run({ ...stricter, profile: 'attested' })).toMatchObject({ record: { algorithm: 'p-256' } });
    expect(registrar.keys).toHaveLength(1);
  });
});

describe("a service's statement about a key", () => {
  const stricter = {
    policy: definePolicy({ hardware: 'discouraged', allowedAlgorithms: ['p-256'] }),
    profile: 'attested',
  } as const;
  const full = async () => Promise.reject(new KeyprovError('store-io', 'the disk is full'));
  const broken = () => new Proxy(store, { get: (of, name) => (name === 'save' ? full : Reflect.get(of, name, of)) });

  it('is not obeyed if it says that somebody else has the key, and the next run begins with another key', async () => {
    registrar.faults.push({ upn: 'ceo@contoso.test' });
    expect(await asyncRefusal(run)).toMatch('service-answer');
    expect([registrar.takenBack, registrar.keys.map(({ user }) => user)]).toEqual([[], ['ceo@contoso.test']]);
    await nothingLeft();
    expect(await run()).toMatchObject({ status: 'registered', resumed: false });
  });

  it('ends the run even if an earlier request had an unknown outcome', async () => {
    registrar.faults.push({ before: lost() }, { upn: 'ceo@contoso.test' });
    expect(await run()).toMatchObject({ status: 'pending' });
    expect(await asyncRefusal(run)).toMatch('service-answer');
    expect(registrar.takenBack).toEqual([]);
    await nothingLeft();
  });

  it('does not remove another key of the user whose number the service gives for ours', async () => {
    const good = { kid: 'the-good-one', user: USER, kngc: 'AAEC' };
    registrar.keys.push(good);
    const { register } = registrar;
    registrar.register = async (request) => ({ ...(await register.call(registrar, request)), kid: good.kid });
    expect(await asyncRefusal(() => run({ store: broken() }))).toBe('store-io: the disk is full');
    registrar.register = register;
    expect(await asyncRefusal(() => run(stricter))).toMatch('service-untrusted');
    expect([registrar.takenBack, registrar.keys]).toEqual([
      [`the-good-one of ${USER}`],
      expect.arrayContaining([good]),
    ]);
    await nothingLeft();
    expect(await run(stricter)).toMatchObject({ status: 'registered', resumed: false });
  });

  it('stays in the journal while the registrar cannot be reached', async () => {
    expect(await asyncRefusal(() => run({ store: broken() }))).toBe('store-io: the disk is full');
    const { unregister } = registrar;
    registrar.unregister = async () => Promise.reject(lost());
    expect(await asyncRefusal(() => run(stricter))).toMatch('service-timeout');
    registrar.unregister = unregister;
    expect(await run(stricter)).toMatchObject({ status: 'registered', resumed: true });
    expect(registrar.keys).toHaveLength(1);
  });

  it.each([
    ['another user', 'mallory@contoso.test', 'k', new Uint8Array(32)],
    ['no KeyID, as earlier versions wrote it', USER, 'k', undefined],
    ['a number that is none', USER, '..', new Uint8Array(32)],
    ['a number that rings', USER, '\u0007', new Uint8Array(32)],
  ])('is dropped from a journal with %s, with an error that says so', async (_, user, kid, keyId) => {
    const { journal } = await claimRun(store, { user: USER, deviceId: DEVICE, service: registrar.address, now });
    await journal.write({ progress: { step: 'unwanted', user, kid, keyId } });
    await journal.release();
    expect(await asyncRefusal(run)).toMatch('service-untrusted: nothing shows that the key');
    expect(registrar.takenBack).toEqual([]);
    await nothingLeft();
    expect((await run()).status).toBe('registered');
  });

  it('is an error until somebody has removed it, if the service cannot remove it', async () => {
    expect(await asyncRefusal(() => run({ store: broken() }))).toBe('store-io: the disk is full');
    registrar.unregister = undefined;
    const [{ path } = { path: '' }] = await listRuns(store);
    expect(await asyncRefusal(() => run(stricter))).toMatch(
      `for ${USER}, and the registrar cannot unregister it; unregister it at the service, then remove ${path}`,
    );
  });
});

describe('unregisterKey', () => {
  it('removes the key from service and store, even if it is called again after an interruption', async () => {
    await run();
    const [{ record } = { record: { id: '' } }] = await listRegistrations(store);
    const failing = { address: registrar.address, unregister: async () => Promise.reject(lost()) };
    expect(await asyncRefusal(() => unregisterKey(store, record.id, { registrar: failing }))).toMatch(
      'service-timeout',
    );
    expect((await store.list()).records).toHaveLength(1);
    expect(await unregisterKey(store, record.id, { registrar })).toBe('deleted');
    await nothingLeft();
    expect(registrar.keys).toEqual([]);
  });

  it('refuses a key that is not registered, or is registered elsewhere', async () => {
    await run();
    const [{ record } = { record: { id: '' } }] = await listRegistrations(store);
    const { address } = registrar;
    for (const [wrong, said] of [
      [{ address: 'https://other.test/' }, 'service-untrusted: the key'],
      [{ address }, 'service-refused: '],
    ] as const) {
      expect(await asyncRefusal(() => unregisterKey(store, record.id, { registrar: wrong }))).toMatch(said);
    }
    await store.update(record.id, (kept) => ({ ...kept, annotations: {} }));
    expect(await asyncRefusal(() => unregisterKey(store, record.id, { registrar }))).toMatch(
      'key-not-found: the key ngc-',
    );
  });
});

describe('the PIN and the token', () => {
  it('are in no event, file or error of a run', async () => {
    const errors: unknown[] = [];
    for (const fault of [{ before: refused() }, { after: lost() }, 'none'] as const) {
      registrar.faults.push(fault);
      await run().then(
        (outcome) => errors.push(outcome),
        (error: unknown) => errors.push(error),
      );
    }
    const files = await Promise.all(
      (await readdir(store.directory)).map((name) => readFile(join(store.directory, name), 'latin1')),
    );
    const everything = [
      ...files,
      inspect(events, { depth: 9 }),
      inspect(errors, { depth: 9, showHidden: true }),
    ].join();
    const tokens = registrar.requests.flatMap(({ token }) => token.split('.').slice(1));
    expect(tokens).toHaveLength(6);
    const utf16 = new Uint8Array(Buffer.from(PIN, 'utf16le'));
    const forms = [
      PIN,
      toHex(utf8(PIN)),
      toBase64(utf8(PIN)).replace(/=+$/, ''),
      toHex(utf16),
      toBase64(utf16).slice(0, 15),
    ];
    for (const secret of [...tokens, ...forms]) expect(everything).not.toContain(secret);
  });
});
