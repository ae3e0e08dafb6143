import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { copy, utf8 } from '../../src/bytes.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { readTpmIdentity } from '../../src/keys/tpm-identity.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import type { MfaPrompt } from '../../src/provisioning/mfa-gate.ts';
import { provision } from '../../src/provisioning/provision.ts';
import { provisionKey, requestForKey } from '../../src/provisioning/provision-key.ts';
import { readLockout } from '../../src/tpm/capabilities.ts';
import { EvictControl } from '../../src/tpm/commands/context.ts';
import { DictionaryAttackLockReset } from '../../src/tpm/commands/dictionary-attack.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import type { HierarchyAuth } from '../../src/tpm/hierarchy-auth.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { passingMfa } from '../fake-mfa.ts';
import { FakeRegistrar } from '../fake-registrar.ts';
import { missingPrograms } from '../programs.ts';
import { asyncRefusal } from '../refusal.ts';
import { leftovers } from './support/new-tpm.ts';
import { startToolsTpm, type ToolsTpm } from './support/tpm2-tools.ts';

const PASSWORDS = {
  owner: 'the owner of it',
  endorsement: 'the endorsement',
  lockout: 'for the lockout',
  storageParent: 'of the root key',
};
const AUTH = Object.fromEntries(Object.entries(PASSWORDS).map(([name, text]) => [name, utf8(text)]));
const CHALLENGE = utf8('challenge');
const PIN = utf8('591834');
const EMPTY = new Uint8Array(0);
const SRK = '0x81000001';
const missing = missingPrograms('swtpm', 'tpm2_changeauth');

describe.skipIf(missing !== undefined)('a TPM whose hierarchies tpm2-tools have given passwords', () => {
  let tools: ToolsTpm;
  beforeEach(async () => {
    tools = await startToolsTpm();
  });
  afterEach(() => tools[Symbol.asyncDispose]());

  const takeOwnership = async (): Promise<void> => {
    for (const name of ['owner', 'endorsement', 'lockout'] as const) {
      await tools.tool('changeauth', '-c', name, PASSWORDS[name]);
    }
  };
  /** The storage root key as the tool makes it: by its own template, which is under dictionary attack protection. */
  const persistSrk = async (...more: readonly string[]): Promise<void> => {
    await tools.tool('createprimary', '-C', 'o', '-G', 'ecc', '-c', 'srk.ctx', ...more);
    await tools.tool('evictcontrol', '-C', 'o', '-c', 'srk.ctx', SRK);
  };
  const persistSrkWith = async (owner: string): Promise<void> => {
    await tools.tool('createprimary', '-C', 'o', '-G', 'ecc', '-c', 'srk.ctx', '-P', owner);
    await tools.tool('evictcontrol', '-C', 'o', '-P', owner, '-c', 'srk.ctx', SRK);
  };
  /** Makes a key, signs with it, asks who the TPM is. */
  const useAll = (hierarchyAuth: HierarchyAuth) =>
    tools.ours(
      async (tpm) => {
        const policy = definePolicy({ algorithm: 'p-256', attestation: 'required', hardware: 'required' });
        const { record } = await provisionKey({ policy, sources: { tpm }, challenge: CHALLENGE, pin: PIN });
        await requestForKey(record, { policy, sources: { tpm }, challenge: CHALLENGE });
        const provider = await openTpmKeyProvider(tpm);
        await provider.sign(record, { data: CHALLENGE, pin: PIN });
        await using ek = await openEndorsementKey(tpm, { template: 'L-2' });
        await (await ek.authorize()).session.close();
        await ek.release();
        if (hierarchyAuth.owner !== undefined) await readTpmIdentity(tpm);
        expect(await leftovers(tpm)).toEqual([]);
        return record;
      },
      { hierarchyAuth },
    );

  it('does everything with the passwords that it was opened with, and sends none of them', async () => {
    await takeOwnership();
    const sent: Buffer[] = [];
    const record = await useAll(AUTH);
    expect(record.parent?.handle).toBe(TPM_RH.OWNER);
    await tools.ours(
      async (tpm) => {
        const send = tpm.transport.send.bind(tpm.transport);
        tpm.transport.send = (command, options) => {
          sent.push(Buffer.from(copy(command)));
          return send(command, options);
        };
        const { objectHandle } = await tpm.run(CreatePrimary, {
          ...{ primaryHandle: TPM_RH.OWNER, inPublic: srkTemplate('p-256') },
          ...{ inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] },
        });
        await tpm.run(EvictControl, { auth: TPM_RH.OWNER, objectHandle, persistentHandle: 0x81000001 });
        await objectHandle.flush();
        await tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT });
      },
      { hierarchyAuth: AUTH },
    );
    expect(sent.length).toBeGreaterThan(10);
    for (const value of Object.values(PASSWORDS)) expect(sent.some((one) => one.includes(value))).toBe(false);
  });

  it('asks for those that are needed, once each, and for none that is not set', async () => {
    await tools.tool('changeauth', '-c', 'owner', PASSWORDS.owner);
    const asked: string[] = [];
    const hierarchyAuth: HierarchyAuth = Object.fromEntries(
      Object.entries(PASSWORDS).map(([name, text]) => [
        name,
        async () => {
          asked.push(name);
          return utf8(text);
        },
      ]),
    );
    await useAll(hierarchyAuth);
    expect(asked).toEqual(['owner']);
    await tools.tool('changeauth', '-c', 'endorsement', PASSWORDS.endorsement);
    await useAll(hierarchyAuth);
    expect(asked).toEqual(['owner', 'owner', 'endorsement']);
  });

  it.each([undefined, {}])(
    "does not use up the lockout hierarchy's only try if its password is missing: %o",
    async (hierarchyAuth) => {
      await takeOwnership();
      const reset = (auth: HierarchyAuth | undefined) =>
        tools.ours((tpm) => tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT }), {
          hierarchyAuth: auth,
        });
      expect(await asyncRefusal(() => reset(hierarchyAuth))).toBe(
        'tpm-auth-failed: the lockout hierarchy has a password, but none was given; the command was not sent; ' +
          "provide the lockout hierarchy's password (hierarchyAuth.lockout)",
      );
      await reset({ lockout: AUTH.lockout });
    },
  );

  it('says of a wrong one of the lockout hierarchy that it blocks the next one, not that it ends the lockout', async () => {
    await takeOwnership();
    const reset = (lockout: Uint8Array | undefined) =>
      tools.ours((tpm) => tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT }), {
        hierarchyAuth: { lockout },
      });
    const wait = "wait for the TPM's lockout recovery time (if it is 0, restart the machine), then provide";
    expect(await asyncRefusal(() => reset(utf8('another')))).toMatch(
      `missing or wrong; ${wait} the lockout hierarchy's password (hierarchyAuth.lockout)`,
    );
    await expect(reset(AUTH.lockout)).rejects.toMatchObject({
      ...{ code: 'tpm-lockout', hierarchy: 'lockout', remedy: `${wait} the right password` },
      message: expect.stringContaining('an earlier password for the lockout hierarchy was wrong'),
    });
  });

  it('names the password that is missing or wrong, and makes no software key without a word', async () => {
    await takeOwnership();
    const policy = definePolicy({ hardware: 'preferred', attestation: 'required', algorithm: 'p-256' });
    for (const [hierarchyAuth, name] of [
      [{}, 'owner'],
      [{ owner: utf8('another') }, 'owner'],
      [{ owner: AUTH.owner }, 'endorsement'],
    ] as const) {
      const refused = await tools.ours(
        async (tpm) => {
          const sources = { tpm, software: openSoftwareKeyProvider() };
          return await asyncRefusal(() => provisionKey({ policy, sources, challenge: CHALLENGE }));
        },
        { hierarchyAuth },
      );
      expect(refused).toMatch(name === 'owner' ? /^tpm-unavailable: / : /^attestation-unavailable: /);
      expect(refused).toContain(`the ${name} hierarchy has a password`);
      expect(refused).toContain(`(hierarchyAuth.${name})`);
    }
  });

  it('refuses a run before the user authenticates if a password is missing or wrong, and counts no wrong try', async () => {
    await takeOwnership();
    const another = utf8('another');
    const directory = join(tools.directory, 'store');
    const run = (hierarchyAuth: HierarchyAuth, attestation: 'required' | 'none' = 'required') =>
      tools.ours(
        async (tpm) => {
          const store = await openKeyStore(directory);
          const policy = definePolicy({ hardware: 'preferred', attestation, algorithm: 'p-256' });
          const registrar = new FakeRegistrar();
          let authentications = 0;
          const mfa: MfaPrompt = (...args) => {
            authentications++;
            return passingMfa()(...args);
          };
          const sources = { tpm, software: openSoftwareKeyProvider() };
          const [user, deviceId] = ['ada@contoso.test', '6f5902ac-237f-424a-a1cd-8d2b6d2bbd01'];
          const options = { user, deviceId, store, policy, sources, registrar, mfa, pin: copy(PIN) };
          const outcome = provision({ ...options, prerequisites: 'skip' });
          const refused = await outcome.then(
            () => 'made',
            (error) => `${error.code}: ${error.message}; ${error.remedy}`,
          );
          expect(await leftovers(tpm)).toEqual([]);
          expect((await readLockout(tpm)).failedTries).toBe(0);
          return [authentications, refused];
        },
        { hierarchyAuth },
      );
    const { owner, endorsement } = AUTH;
    for (const [auth, name] of [
      [{}, 'owner'],
      [{ owner: another, endorsement }, 'owner'],
      [{ owner }, 'endorsement'],
      [{ owner, endorsement: another }, 'endorsement'],
    ] as const) {
      const [authentications, refused] = await run(auth);
      expect(refused).toMatch(/^tpm-unavailable: /);
      expect(refused).toContain(`the ${name} hierarchy has a password, but`);
      expect(authentications).toBe(0);
    }
    // A password that the run does not need is not asked for.
    expect(await run({ owner, endorsement: another }, 'none')).toEqual([1, 'made']);
    await rm(directory, { recursive: true });
    await persistSrkWith(PASSWORDS.owner);
    expect(await run({ endorsement })).toEqual([1, 'made']);
  });

  it('uses a storage root key as tpm2_createprimary makes it, though the password of the owner is not known', async () => {
    await persistSrk();
    await tools.tool('changeauth', '-c', 'owner', PASSWORDS.owner);
    const record = await useAll({});
    expect(record.parent?.handle).toBe(0x81000001);
  });

  it('uses one with a password, given or asked for', async () => {
    await persistSrk(
      '-p',
      PASSWORDS.storageParent,
      '-a',
      'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt',
    );
    expect((await useAll(AUTH)).parent?.handle).toBe(0x81000001);
    let asked = 0;
    const storageParent = async () => {
      asked++;
      return utf8(PASSWORDS.storageParent);
    };
    expect((await useAll({ storageParent })).parent?.handle).toBe(0x81000001);
    expect(asked).toBe(1);
    expect(await asyncRefusal(() => useAll({}))).toContain(
      "the storage root key has a password, but it was missing or wrong; provide the storage root key's password " +
        '(hierarchyAuth.storageParent)',
    );
  });

  it('does not lock the TPM by a password of the storage root key that is missing', async () => {
    await persistSrk('-p', PASSWORDS.storageParent);
    for (let i = 0; i < 4; i++) await asyncRefusal(() => useAll({}));
    const { inLockout, failedTries } = await tools.ours((tpm) => readLockout(tpm));
    expect({ inLockout, failedTries }).toEqual({ inLockout: false, failedTries: 2 });
  });
});
