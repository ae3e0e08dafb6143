import '../cheap-scrypt.mjs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { copy, utf8 } from '../../src/bytes.ts';
import { decodeSpki } from '../../src/crypto/public-key.ts';
import { type KeyStore, openKeyStore } from '../../src/keys/key-store.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy, type PolicySettings } from '../../src/policy/index.ts';
import { changeUserPin } from '../../src/provisioning/change-pin.ts';
import { provision } from '../../src/provisioning/provision.ts';
import { makeKey } from '../../src/provisioning/provision-key.ts';
import { resetPinKeepingKey } from '../../src/provisioning/reset-pin.ts';
import type { ProvisionOptions } from '../../src/provisioning/run.ts';
import { listRuns } from '../../src/provisioning/run-journal.ts';
import { readLockout } from '../../src/tpm/capabilities.ts';
import { EvictControl } from '../../src/tpm/commands/context.ts';
import { CreatePrimary, HierarchyChangeAuth } from '../../src/tpm/commands/hierarchy.ts';
import { SRK_HANDLE, TPM_RH } from '../../src/tpm/constants.ts';
import type { HierarchyAuth } from '../../src/tpm/hierarchy-auth.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { passingMfa } from '../fake-mfa.ts';
import { FakeRegistrar, serviceError } from '../fake-registrar.ts';
import { missingPrograms } from '../programs.ts';
import { leftovers } from './support/new-tpm.ts';

const RSA = { name: 'RSA-OAEP', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' };
const EMPTY = new Uint8Array(0);
const PIN = utf8('591834');
const RIGHT = utf8('of the root key');
const WRONG = utf8('of another key');
const ENDORSEMENT = utf8('the endorsement');
const missing = missingPrograms('swtpm');

describe.skipIf(missing !== undefined)('before the user authenticates', () => {
  let swtpm: SwtpmProcess;
  let store: KeyStore;
  let registrar: FakeRegistrar;
  beforeEach(async () => {
    swtpm = await startSwtpm();
    store = await openKeyStore(await mkdtemp(join(tmpdir(), 'keyprov-before-')));
    registrar = new FakeRegistrar();
  });
  afterEach(async () => {
    await swtpm.stop();
    await rm(store.directory, { recursive: true });
  });

  /** Runs `work` with the TPM, opened without marks, so that it does not know whose objects are there. */
  const withTpm = async <T>(work: (tpm: Tpm) => Promise<T>): Promise<T> => {
    const tpm = await Tpm.open(await swtpm.open());
    try {
      return await work(tpm);
    } finally {
      await tpm.close();
    }
  };
  const makePrimary = async (tpm: Tpm, userAuth = EMPTY, noDA = true) => {
    const template = srkTemplate('p-256', 'empty');
    return await tpm.run(CreatePrimary, {
      ...{ primaryHandle: TPM_RH.OWNER, inSensitive: { userAuth, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] },
      inPublic: { ...template, objectAttributes: { ...template.objectAttributes, noDA } },
    });
  };
  /** Loads that many objects, and leaves them there as a program that dies does. */
  const occupySlots = async (count: number): Promise<void> => {
    const transport = await swtpm.open();
    const tpm = await Tpm.open(transport);
    for (let slot = 0; slot < count; slot++) await makePrimary(tpm);
    await transport.close();
  };
  const persistSrk = (userAuth = EMPTY, { noDA = false } = {}) =>
    withTpm(async (tpm) => {
      const { objectHandle } = await makePrimary(tpm, userAuth, noDA);
      await tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle, persistentHandle: SRK_HANDLE });
      await objectHandle.flush();
    });
  const failedTries = () => withTpm(async (tpm) => (await readLockout(tpm)).failedTries);

  let opened = 0;
  const policyOf = (settings: PolicySettings = {}) =>
    definePolicy({ hardware: 'preferred', attestation: 'none', algorithm: 'p-256', ...settings });
  /** One run, which opens the TPM again for each look. @returns how often the user was asked, and the outcome. */
  const run = async (
    settings: PolicySettings = {},
    { hierarchyAuth, ...more }: Partial<ProvisionOptions> & { readonly hierarchyAuth?: HierarchyAuth } = {},
  ) => {
    const asked = { mfa: 0, pin: 0 };
    const options: ProvisionOptions = {
      ...{ user: 'ada@contoso.test', deviceId: '6f5902ac-237f-424a-a1cd-8d2b6d2bbd01', store, registrar },
      ...{ policy: policyOf(settings), prerequisites: 'skip', profile: 'attested' },
      sources: {
        tpm: async () => {
          opened++;
          return await Tpm.open(await swtpm.open(), { hierarchyAuth });
        },
        software: openSoftwareKeyProvider(),
      },
      mfa: (...args) => {
        asked.mfa++;
        return passingMfa()(...args);
      },
      pin: async () => {
        asked.pin++;
        return copy(PIN);
      },
      ...more,
    };
    const outcome = await provision(options).then(
      (done) => (done.status === 'registered' ? done.record.backend : done.status),
      (error) => `${error.code}: ${error.message}; ${error.remedy}`,
    );
    return { ...asked, outcome };
  };

  describe.each(['none', 'required'] as const)(
    'with attestation %s, a TPM whose slots others occupy',
    (attestation) => {
      it.each([
        [3, false],
        [2, false],
        [3, true],
        [2, true],
      ])('refuses the run: %d, root key: %s', async (count, hasSrk) => {
        if (hasSrk) await persistSrk();
        await occupySlots(count);
        const { outcome, ...asked } = await run({ attestation });
        expect(outcome).toMatch(/^tpm-unavailable: .*no object slot is free.*another program's/);
        expect(asked).toEqual({ mfa: 0, pin: 0 });
      });

      it.each([false, true])('makes a key if two are free; root key: %s', async (hasSrk) => {
        if (hasSrk) await persistSrk();
        await occupySlots(1);
        expect(await run({ attestation })).toEqual({ mfa: 1, pin: 2, outcome: 'tpm' });
        expect(await withTpm(leftovers)).toHaveLength(1);
      });
    },
  );

  it.each([
    [true, 0],
    [false, 1],
  ])('asks for the PIN, if askPinFirst is %s', async (askPinFirst, mfa) => {
    const none = async () => {
      throw serviceError('service-refused');
    };
    expect(await run({}, { askPinFirst, pin: none })).toMatchObject({
      mfa,
      outcome: expect.stringMatching(/^service/),
    });
    expect(await run({}, { askPinFirst })).toEqual({ mfa: 1, pin: 2, outcome: 'tpm' });
  });

  it('uses software for a full TPM if the caller accepts that', async () => {
    await occupySlots(3);
    expect(await run({}, { fallBack: 'any' })).toEqual({ mfa: 1, pin: 2, outcome: 'software' });
  });

  it('proves the password of the endorsement hierarchy in a continued run, too', async () => {
    await withTpm((tpm) => tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.ENDORSEMENT, newAuth: ENDORSEMENT }));
    const right = { hierarchyAuth: { endorsement: ENDORSEMENT } };
    registrar.faults.push({ before: serviceError('service-timeout', { retry: 'backoff', outcomeUnknown: true }) });
    expect(await run({ attestation: 'required' }, right)).toMatchObject({ mfa: 1, outcome: 'pending' });
    for (const endorsement of [WRONG, undefined]) {
      const { outcome, ...asked } = await run({ attestation: 'required' }, { hierarchyAuth: { endorsement } });
      expect(outcome).toMatch(/^tpm-auth-failed: .*the endorsement hierarchy has a password/);
      expect(asked).toEqual({ mfa: 0, pin: 0 });
    }
    expect(await listRuns(store)).toHaveLength(1);
    expect(await run({ attestation: 'required' }, right)).toEqual({ mfa: 1, pin: 0, outcome: 'tpm' });
  });

  it('loads a key before its user gives a PIN, or proves who they are for another PIN', async () => {
    const policy = policyOf();
    const service = await crypto.subtle.generateKey(RSA, true, ['encrypt', 'decrypt']);
    const servicePublicKey = decodeSpki(new Uint8Array(await crypto.subtle.exportKey('spki', service.publicKey)));
    if (servicePublicKey.kty !== 'RSA') throw new Error('no RSA key');
    const recovery = { servicePublicKey, user: 'ada@contoso.test' };
    const { record } = await withTpm((tpm) => makeKey({ policy, sources: { tpm }, pin: PIN, pinRecovery: recovery }));
    await store.save(record);
    await occupySlots(3);
    await withTpm(async (tpm) => {
      const options = { provider: await openTpmKeyProvider(tpm), policy: policy.pin, prompt: PIN };
      const ask = () => Promise.reject(new Error('the user was asked'));
      const full = { code: 'tpm-out-of-memory' };
      await expect(changeUserPin(store, record.id, { ...options, currentPin: ask })).rejects.toMatchObject(full);
      await expect(resetPinKeepingKey(store, record.id, { ...options, recover: ask })).rejects.toMatchObject(full);
    });
  });

  describe('a storage root key with a password', () => {
    it('uses the right one, which costs no try', async () => {
      await persistSrk(RIGHT);
      expect(await run({}, { hierarchyAuth: { storageParent: RIGHT } })).toEqual({ mfa: 1, pin: 2, outcome: 'tpm' });
      expect(await failedTries()).toBe(0);
    });

    it.each([{ storageParent: WRONG }, {}])(
      'refuses a wrong or missing one, at the cost of one try: %o',
      async (auth) => {
        await persistSrk(RIGHT);
        for (const tries of [1, 2]) {
          const { outcome, ...asked } = await run({ attestation: 'preferred' }, { hierarchyAuth: auth });
          expect(outcome).toMatch(/^tpm-unavailable: .*the storage root key has a password/);
          expect(asked).toEqual({ mfa: 0, pin: 0 });
          expect(await failedTries()).toBe(tries);
        }
        // The last try is never spent.
        const { outcome, ...asked } = await run({}, { hierarchyAuth: auth });
        expect(outcome).toMatch(/^tpm-unavailable: .*the password of the storage root key was not tried/);
        expect(asked).toEqual({ mfa: 0, pin: 0 });
        expect(await failedTries()).toBe(2);
      },
    );

    it('asks for it once it is needed, and then never tries without it again', async () => {
      await persistSrk(RIGHT);
      let questions = 0;
      const storageParent = async () => {
        questions++;
        return copy(RIGHT);
      };
      opened = 0;
      expect(await run({}, { hierarchyAuth: { storageParent } })).toEqual({ mfa: 1, pin: 2, outcome: 'tpm' });
      expect([opened, questions, await failedTries()]).toEqual([2, 2, 1]);
    });

    it('uses passwords of another realm', async () => {
      await persistSrk(RIGHT, { noDA: true });
      await withTpm((tpm) => tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth: WRONG }));
      const foreign = (bytes: Uint8Array): Uint8Array => runInNewContext(`Uint8Array.of(${bytes.join()})`);
      for (const give of [foreign, (bytes: Uint8Array) => async () => foreign(bytes)]) {
        const hierarchyAuth = { owner: give(WRONG), storageParent: give(RIGHT) };
        const tpm = await Tpm.open(await swtpm.open(), { hierarchyAuth });
        await (await makePrimary(tpm)).objectHandle.flush();
        await (await openTpmKeyProvider(tpm)).create({ algorithm: 'p-256' });
        await tpm.close();
      }
    });

    it('refuses a password that is a text when the TPM is opened', async () => {
      const open = async () => await Tpm.open(await swtpm.open(), { hierarchyAuth: { storageParent: Object('text') } });
      await expect(open()).rejects.toThrow(
        new TypeError('hierarchyAuth.storageParent, unless it is a function, must be a Uint8Array'),
      );
    });

    it('does not take the password of a hierarchy for its own if one function gives all', async () => {
      await persistSrk();
      await withTpm((tpm) => tpm.run(HierarchyChangeAuth, { authHandle: TPM_RH.OWNER, newAuth: WRONG }));
      const ask = async () => copy(WRONG);
      const tpm = await Tpm.open(await swtpm.open(), { hierarchyAuth: { owner: ask, storageParent: ask } });
      await (await makePrimary(tpm)).objectHandle.flush(); // needs the password of the owner
      const provider = await openTpmKeyProvider(tpm);
      await provider.create({ algorithm: 'p-256' });
      await tpm.close();
      expect(await failedTries()).toBe(0);
    });

    it('does not take the password of another TPM for its own if one function gives both', async () => {
      await persistSrk(RIGHT);
      const hierarchyAuth = { storageParent: async () => copy(RIGHT) };
      expect(await run({}, { hierarchyAuth })).toMatchObject({ outcome: 'tpm' });
      const another = await startSwtpm();
      try {
        const tpm = await Tpm.open(await another.open(), { hierarchyAuth });
        const { objectHandle } = await makePrimary(tpm);
        await tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle, persistentHandle: SRK_HANDLE });
        await objectHandle.flush();
        await (await openTpmKeyProvider(tpm)).create({ algorithm: 'p-256' });
        await tpm.close();
      } finally {
        await another.stop();
      }
    });

    it('does not ask for one that there is not', async () => {
      await persistSrk();
      const storageParent = () => Promise.reject(new Error('asked for a password'));
      expect(await run({}, { hierarchyAuth: { storageParent } })).toEqual({ mfa: 1, pin: 2, outcome: 'tpm' });
    });

    it('refuses a wrong one in a continued run at the cost of one try', async () => {
      await persistSrk(RIGHT);
      registrar.faults.push({ before: serviceError('service-timeout', { retry: 'backoff', outcomeUnknown: true }) });
      expect(await run({}, { hierarchyAuth: { storageParent: RIGHT } })).toMatchObject({ mfa: 1, outcome: 'pending' });
      const { outcome, ...asked } = await run({}, { hierarchyAuth: { storageParent: WRONG } });
      expect(outcome).toMatch(/^tpm-auth-failed: .*the storage root key has a password/);
      expect([asked, await failedTries()]).toEqual([{ mfa: 0, pin: 0 }, 1]);
    });
  });
});
