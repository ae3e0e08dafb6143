import '../cheap-scrypt.mjs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { readEkCertificates } from '../../src/attestation/read-ek-certificates.ts';
import { utf8 } from '../../src/bytes.ts';
import { isKeyprovError } from '../../src/errors.ts';
import { leaseTpm } from '../../src/keys/key-sources.ts';
import { type KeyStore, openKeyStore } from '../../src/keys/key-store.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { provision } from '../../src/provisioning/provision.ts';
import type { ProvisionOptions } from '../../src/provisioning/run.ts';
import { listRuns } from '../../src/provisioning/run-journal.ts';
import { unregisterKey } from '../../src/provisioning/unregister.ts';
import { authenticateWithDeviceCode } from '../../src/registration/device-code.ts';
import { exchange } from '../../src/registration/exchange.ts';
import { deleteHelloMethod, listHelloMethods } from '../../src/registration/graph.ts';
import { registerKey } from '../../src/registration/register-key.ts';
import { syncStatus, waitForSync } from '../../src/registration/sync-status.ts';
import { openTestTpm } from '../../src/testing/index.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { passingMfa } from '../fake-mfa.ts';
import { FakeRegistrar } from '../fake-registrar.ts';
import { serviceStub } from '../service-stub.ts';
import { leftovers, newTpm, tpmMissing } from './support/new-tpm.ts';

const missing = await tpmMissing();
const isClosed = (error: unknown): boolean => isKeyprovError(error, 'transport-closed');

/** A callback that never ends and ignores its signal. */
type Hang = () => Promise<never>;

const url = new URL('https://service.test/');
const USER = 'ada@contoso.test';
const DEVICE = '47f577e3-d2d0-4a0a-8aca-e0501098bde4';
const key = { user: USER, deviceId: DEVICE, keyId: new Uint8Array(32), registered: new Date() };
const code = { user_code: 'A', device_code: 'd', verification_url: url.href, expires_in: '900', interval: '5' };
const demand = { tokenEndpoint: `${url.href}token`, clientId: DEVICE, resource: 'urn:test' };
const busy = () => Response.json({}, { status: 503 });

let store: KeyStore;
beforeEach(async () => {
  store = await openKeyStore(mkdtempSync(join(tmpdir(), 'keyprov-test-')));
});
afterEach(() => rmSync(store.directory, { recursive: true }));

/** A run, of which one part hangs. */
const run = (signal: AbortSignal | undefined, change: Partial<ProvisionOptions>) =>
  provision({
    ...{ user: USER, deviceId: DEVICE, store, registrar: new FakeRegistrar(), signal, prerequisites: 'skip' },
    policy: definePolicy({ hardware: 'discouraged' }),
    sources: { software: async () => openSoftwareKeyProvider() },
    mfa: passingMfa(),
    pin: async () => utf8('730519-Xq'),
    ...change,
  });
const registrarWith = (change: Partial<FakeRegistrar>) => Object.assign(new FakeRegistrar(), change);

/** An answer whose body begins and never ends. */
function withoutEnd(hang: Hang): Response {
  const pull = (controller: ReadableStreamDefaultController) => {
    controller.enqueue(utf8('{'));
    return hang();
  };
  return new Response(new ReadableStream({ pull }, { highWaterMark: 0 }));
}

/** Everything that a caller gives to be waited for, by its name. */
const FUNCTIONS: Readonly<Record<string, (hang: Hang, signal: AbortSignal) => Promise<unknown>>> = {
  fetch: (hang, signal) => exchange({ method: 'GET', url }, { fetch: hang, signal }),
  'fetch, of which only the body hangs': (hang, signal) =>
    exchange({ method: 'GET', url }, { fetch: serviceStub(() => withoutEnd(hang)).fetch, signal }),
  'onCode of the device code': (hang, signal) =>
    authenticateWithDeviceCode(demand, { fetch: serviceStub(code).fetch, onCode: hang, signal }),
  'sleep of the device code': (hang, signal) =>
    authenticateWithDeviceCode(demand, { fetch: serviceStub(code).fetch, onCode: () => {}, sleep: hang, signal }),
  'sleep of registerKey': (hang, signal) =>
    registerKey(
      { endpoint: url },
      { token: 't', body: '{}', user: USER, clientRequestId: DEVICE },
      { fetch: serviceStub(busy).fetch, sleep: hang, signal },
    ),
  'lookup of registerKey': (hang, signal) =>
    registerKey(
      { endpoint: url },
      { token: 't', body: '{}', user: USER, clientRequestId: DEVICE },
      {
        fetch: serviceStub(() => Promise.reject(new TypeError('lost'))).fetch,
        sleep: async () => {},
        lookup: hang,
        signal,
      },
    ),
  'token of listHelloMethods': (hang, signal) =>
    listHelloMethods(USER, { fetch: serviceStub().fetch, token: hang, signal }),
  'token of deleteHelloMethod': (hang, signal) =>
    deleteHelloMethod(USER, 'id', { fetch: serviceStub().fetch, token: hang, signal }),
  'reader of syncStatus': (hang, signal) => syncStatus(key, { reader: { place: 'entra', read: hang }, signal }),
  'sleep of waitForSync': (hang, signal) =>
    waitForSync(key, { reader: { place: 'entra', read: async () => [] }, sleep: hang, signal }),
  'prerequisites of a run': (hang, signal) => run(signal, { prerequisites: hang }),
  'mfa of a run': (hang, signal) => run(signal, { mfa: hang }),
  'mayRetry of a run': (hang, signal) =>
    run(signal, {
      mfa: async () => ({ status: 'failed', reason: 'no' }),
      mfaOptions: { maxAttempts: 2, mayRetry: hang },
    }),
  'pin of a run': (hang, signal) => run(signal, { pin: hang }),
  'challenge of a registrar': (hang, signal) => run(signal, { registrar: registrarWith({ challenge: hang }) }),
  'register of a registrar': (hang, signal) => run(signal, { registrar: registrarWith({ register: hang }) }),
  'unregister of a registrar': async (hang, signal) => {
    const registrar = new FakeRegistrar();
    const outcome = await run(undefined, { registrar });
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    await unregisterKey(store, outcome.record.id, { registrar: registrarWith({ unregister: hang }), signal });
  },
};

/** The same, with a TPM. */
const WITH_TPM: typeof FUNCTIONS = {
  'function that opens the TPM of a run': (hang, signal) =>
    run(signal, { policy: definePolicy({ hardware: 'required' }), sources: { tpm: hang } }),
  'fetcher of readEkCertificates': async (hang, signal) => {
    await using tpm = await newTpm();
    await using ek = await openEndorsementKey(tpm);
    await readEkCertificates(tpm, { fetcher: { ek: ek.publicArea, lookUp: hang }, signal });
  },
  'enrolAk of a run': async (hang, signal) => {
    await using tpm = await newTpm();
    const policy = definePolicy({ hardware: 'required' });
    await run(signal, { policy, sources: { tpm }, profile: 'attested', enrolAk: hang }).finally(async () => {
      expect(await leftovers(tpm)).toEqual([]);
    });
  },
};

/** What the caller is told about a function that returns nothing. */
const NOTHING: Readonly<Record<string, string>> = {
  fetch: 'the result of fetch must be an object with status and headers',
  'lookup of registerKey': 'the result of lookup must be an object with kid and upn',
  'token of listHelloMethods': 'the result of token must be a string',
  'token of deleteHelloMethod': 'the result of token must be a string',
  'reader of syncStatus': 'the result of reader.read must be an array',
  'prerequisites of a run': 'prerequisites must return the result of checkPrerequisites',
  'mfa of a run': "mfa must return { status: 'passed', token } or { status: 'failed', reason }",
  'pin of a run': 'the result of the prompt for a new PIN must be a Uint8Array',
  'challenge of a registrar': 'the result of registrar.challenge must be a Uint8Array',
  'fetcher of readEkCertificates': 'the result of lookUp must be an array',
  'enrolAk of a run': 'the result of enrolAk must be an array',
};

describe('a function of the caller that returns nothing', () => {
  it.each(
    [...Object.entries(FUNCTIONS), ...(missing === undefined ? Object.entries(WITH_TPM) : [])].flatMap(
      ([name, begin]) => {
        const message = NOTHING[name];
        return message === undefined ? [] : [[name, message, begin] as const];
      },
    ),
  )('is named: %s', async (_, message, begin) => {
    const nothing: Hang = async () => undefined as never;
    await expect(begin(nothing, new AbortController().signal)).rejects.toThrow(new TypeError(message));
  });

  it.each([
    ['nothing', undefined, 'the result of registrar.register must be an object with kid and upn'],
    ['another object', { ok: true }, 'the result of registrar.register must be an object with kid and upn'],
    ['a number', { kid: 42, upn: USER }, 'kid of the result of registrar.register must be a string'],
  ])('is named, and the key stays: register that returns %s', async (_, answer, message) => {
    const registrar = registrarWith({ register: async () => answer as never });
    await expect(run(undefined, { registrar })).rejects.toThrow(new TypeError(message));
    expect(await listRuns(store)).toMatchObject([{ state: { progress: { step: 'sending' } } }]);
    expect(await run(undefined, {})).toMatchObject({ status: 'registered', resumed: true });
  });

  it('is named, and the key stays: unregister of a registrar', async () => {
    const outcome = await run(undefined, {});
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    const { id } = outcome.record;
    const registrar = registrarWith({ unregister: async () => undefined as never });
    await expect(unregisterKey(store, id, { registrar })).rejects.toThrow(
      new TypeError("registrar.unregister must return 'deleted' or 'absent'"),
    );
    expect((await store.load(id)).id).toBe(id);
  });

  it.skipIf(missing !== undefined)('is named: a password', async () => {
    await using tpm = await openTpm('libtpms', { hierarchyAuth: { owner: async () => Object('text') } });
    await expect(tpm.askPassword('owner', {})).rejects.toThrow(
      new TypeError('the result of hierarchyAuth.owner must be a Uint8Array'),
    );
  });

  it.skipIf(missing !== undefined)('is named, and the TPM is closed: wrap', async () => {
    const directory = join(store.directory, 'tpm');
    const open = [
      () => openTpm(`libtpms:${directory}`, { wrap: () => Object(undefined).transport }),
      () => openTestTpm({ wrap: () => Object(undefined).transport }),
    ];
    for (const opening of open) {
      await expect(opening()).rejects.toThrow(
        new TypeError('the result of wrap must be an object with send and close'),
      );
    }
    await (await openTpm(`libtpms:${directory}`)).close();
  });

  it('is named: software of the sources', async () => {
    const sources = { software: async () => undefined as never };
    await expect(run(undefined, { sources })).rejects.toThrow(
      new TypeError('the result of sources.software must be an object with create and sign'),
    );
  });
});

describe('a function of the caller that fails without a code', () => {
  const down = async () => {
    throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
  };
  const lost = (name: string, outcomeUnknown: boolean) => ({
    ...{ code: 'service-unreachable', retry: 'backoff', outcomeUnknown },
    ...{ message: `${name} failed: fetch failed (connect ECONNREFUSED)`, cause: expect.any(TypeError) },
  });

  it('ends a run that has sent nothing: challenge', async () => {
    const registrar = registrarWith({ challenge: down });
    await expect(run(undefined, { registrar })).rejects.toMatchObject(lost('registrar.challenge', false));
    expect(await listRuns(store)).toEqual([]);
  });

  it('leaves a run to continue: register', async () => {
    const outcome = await run(undefined, { registrar: registrarWith({ register: down }) });
    expect(outcome).toMatchObject({ status: 'pending', problem: lost('registrar.register', true) });
  });

  it('is not hidden if it is a mistake in the program: register', async () => {
    const registrar = registrarWith({ register: async () => Object(undefined).no.member });
    await expect(run(undefined, { registrar })).rejects.toThrow(TypeError);
  });

  it('keeps the record: unregister', async () => {
    const outcome = await run(undefined, {});
    if (outcome.status !== 'registered') throw new Error(outcome.status);
    const registrar = registrarWith({ unregister: down });
    const { id } = outcome.record;
    await expect(unregisterKey(store, id, { registrar })).rejects.toMatchObject(lost('registrar.unregister', true));
    expect((await store.load(id)).id).toBe(id);
  });

  it.skipIf(missing !== undefined)(
    'costs only the certificate, unless policy requires the attestation: enrolAk',
    async () => {
      await using tpm = await newTpm();
      const ofTpm = { sources: { tpm }, profile: 'attested', enrolAk: down } as const;
      const policy = definePolicy({ hardware: 'required', attestation: 'required' });
      await expect(run(undefined, { ...ofTpm, policy })).rejects.toMatchObject({
        code: 'attestation-unavailable',
        message: expect.stringContaining(
          'the key was not attested: enrolAk failed: fetch failed (connect ECONNREFUSED)',
        ),
      });
      const outcome = await run(undefined, { ...ofTpm, policy: definePolicy({ hardware: 'required' }) });
      expect(outcome).toMatchObject({
        status: 'registered',
        attestation: {
          status: 'made',
          uncertified: { code: 'service-unreachable', reason: 'enrolAk failed: fetch failed (connect ECONNREFUSED)' },
        },
        registration: { attestationLevel: 'certified', aikStatus: 'uncertified' },
      });
    },
  );
});

describe('a registrar that lacks a member', () => {
  it.each([
    [
      'tenant',
      undefined,
      'registrar must be an object with address and resource and tenant and challenge and register',
    ],
    ['tenant', null, 'tenant of registrar must be a string'],
    ['address', 7, 'address of registrar must be a string'],
    ['unregister', true, 'unregister of registrar must be a function'],
  ])('is refused before the user authenticates: %s %s', async (name, value, message) => {
    const registrar = registrarWith({ [name]: value });
    const mfa = vi.fn();
    await expect(run(undefined, { registrar, mfa })).rejects.toThrow(new TypeError(message));
    expect(mfa).not.toHaveBeenCalled();
  });

  it.each(['user', 'deviceId'])('as is an empty %s', async (name) => {
    await expect(run(undefined, { [name]: '' })).rejects.toThrow(new TypeError(`provision: ${name} must not be empty`));
  });
});

describe('a function of the caller that does not obey its signal', () => {
  it.each([...Object.entries(FUNCTIONS), ...(missing === undefined ? Object.entries(WITH_TPM) : [])])(
    'delays nobody after an abort: %s',
    async (_, begin) => {
      const abort = new AbortController();
      let told = (): void => {};
      const hangs = new Promise<void>((resolve) => {
        told = resolve;
      });
      const ended = begin(() => {
        told();
        return new Promise(() => {});
      }, abort.signal);
      await Promise.race([hangs, ended]);
      abort.abort(new Error('no longer wanted'));
      await expect(ended).rejects.toThrow('no longer wanted');
    },
  );

  it.each(['fetch', 'fetch, of which only the body hangs'])('delays nobody beyond timeoutMs: %s', async (name) => {
    const hang: Hang = () => new Promise(() => {});
    const send = name === 'fetch' ? { fetch: hang } : serviceStub(() => withoutEnd(hang));
    await expect(exchange({ method: 'GET', url }, { ...send, timeoutMs: 20 })).rejects.toMatchObject({
      code: 'service-timeout',
    });
  });

  it.skipIf(missing !== undefined)('closes a TPM that overlapping calls share after the last of them', async () => {
    const runs = (tpm: Tpm) => tpm.run(GetRandom, { bytesRequested: 1 });
    let opened: Promise<Tpm> | undefined;
    const open = () => {
      opened ??= newTpm();
      return opened;
    };
    const [first, second] = await Promise.all([leaseTpm(open, {}), leaseTpm(open, {})]);
    const third = await leaseTpm(open, {});
    await first.release();
    await first.release();
    await runs(second.tpm);
    await second.release();
    await runs(third.tpm);
    await third.release();
    expect(await runs(third.tpm).catch(isClosed)).toBe(true);
  });

  it.skipIf(missing !== undefined).each(['first', 'second'] as const)(
    'closes a TPM after the last call even if its function answers the second one first: %s ends first',
    async (which) => {
      const runs = (tpm: Tpm) => tpm.run(GetRandom, { bytesRequested: 1 });
      let shared: Tpm | undefined;
      let answer = (): void => {};
      const slow = new Promise<void>((resolve) => {
        answer = resolve;
      });
      const opening = leaseTpm(async () => {
        shared = await newTpm();
        await slow;
        return shared;
      }, {});
      await vi.waitUntil(() => shared !== undefined);
      const second = await leaseTpm(async () => shared as Tpm, {});
      answer();
      const first = await opening;
      expect(first.tpm).toBe(second.tpm);
      const [sooner, later] = which === 'first' ? [first, second] : [second, first];
      await sooner.release();
      await sooner.release();
      await runs(later.tpm);
      await later.release();
      expect(await runs(later.tpm).catch(isClosed)).toBe(true);
    },
  );

  it.skipIf(missing !== undefined).each(['while it opens', 'while both use it'])(
    'does not end a TPM that another call shares if one is aborted: %s',
    async (when) => {
      const abort = new AbortController();
      let lifetime: AbortSignal | undefined;
      let go = (): void => {};
      const gate = new Promise<void>((resolve) => {
        go = resolve;
      });
      let opened: Promise<Tpm> | undefined;
      const open = async ({ signal }: { readonly signal?: AbortSignal | undefined }) => {
        opened ??= gate.then(() => openTpm('libtpms', { signal, lifetime: signal }));
        lifetime ??= signal;
        return await opened;
      };
      const leases = [leaseTpm(open, { signal: abort.signal }), leaseTpm(open, {})] as const;
      if (when === 'while both use it') {
        go();
        await Promise.all(leases);
      }
      abort.abort(new Error('no longer wanted'));
      go();
      const first = await leases[0].catch((error: Error) => error.message);
      const { tpm, release } = await leases[1];
      if (typeof first === 'string') expect(first).toBe('no longer wanted');
      else await first.release();
      expect(lifetime?.aborted).toBe(false);
      await tpm.run(GetRandom, { bytesRequested: 1 });
      await release();
      expect(await tpm.run(GetRandom, { bytesRequested: 1 }).catch(isClosed)).toBe(true);
    },
  );

  it.skipIf(missing !== undefined)('tells its function when all calls that share a TPM are aborted', async () => {
    const aborts = [new AbortController(), new AbortController()] as const;
    let lifetime: AbortSignal | undefined;
    let opened: Promise<Tpm> | undefined;
    const open = async ({ signal }: { readonly signal?: AbortSignal | undefined }) => {
      lifetime ??= signal;
      opened ??= newTpm();
      return await opened;
    };
    const [first, second] = await Promise.all(aborts.map(({ signal }) => leaseTpm(open, { signal })));
    aborts[0].abort();
    expect(lifetime?.aborted).toBe(false);
    await first?.release();
    aborts[1].abort(new Error('no longer wanted'));
    expect(lifetime?.reason).toEqual(new Error('no longer wanted'));
    await second?.release();
  });

  it.skipIf(missing !== undefined).each([{}, { create: false }])(
    'gets a signal, and only the options that were given: %j',
    async (given) => {
      const open = vi.fn(async (_: object) => await newTpm());
      await (await leaseTpm(open, given)).release();
      expect(open.mock.calls.map(([options]) => Object.keys(options).sort())).toEqual([
        [...Object.keys(given), 'signal'],
      ]);
    },
  );

  it.skipIf(missing !== undefined)('leaves a TPM open that was open before', async () => {
    await using tpm = await newTpm();
    for (const source of [tpm, async () => tpm]) {
      await (await leaseTpm(source, {})).release();
      await tpm.run(GetRandom, { bytesRequested: 1 });
    }
  });

  it.skipIf(missing !== undefined)('closes a TPM that was opened after the abort', async () => {
    const abort = new AbortController();
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const opened = gate.then(() => newTpm());
    const leasing = leaseTpm(() => opened, { signal: abort.signal });
    abort.abort(new Error('no longer wanted'));
    await expect(leasing).rejects.toThrow('no longer wanted');
    go();
    const tpm = await opened;
    await vi.waitUntil(() => tpm.run(GetRandom, { bytesRequested: 1 }).then(() => false, isClosed));
  });
});
