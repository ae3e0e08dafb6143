import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SettingsService, verifyRegistrationResponse } from '@simplewebauthn/server';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { answerActivationChallenge } from '../../src/attestation/activation-challenge.ts';
import { createAttestationKey } from '../../src/attestation/attestation-key.ts';
import { attestKey } from '../../src/attestation/certify.ts';
import { openEndorsementKey } from '../../src/attestation/endorsement-key.ts';
import { verifyEkCertificate } from '../../src/attestation/verify-ek-certificate.ts';
import { verifyEvidence } from '../../src/attestation/verify-evidence.ts';
import { fromHex, toBase64Url, toHex, utf8 } from '../../src/bytes.ts';
import { encodePem } from '../../src/crypto/pem.ts';
import { COSE_ALG } from '../../src/formats/webauthn/cose-key.ts';
import {
  computeRpIdHash,
  encodeAaguid,
  encodeAuthenticatorData,
  WINDOWS_HELLO_AAGUID,
} from '../../src/formats/webauthn/webauthn-authenticator-data.ts';
import { buildWebauthnClientData } from '../../src/formats/webauthn/webauthn-client-data.ts';
import { buildWebauthnTpm, computeWebauthnExtraData } from '../../src/formats/webauthn/webauthn-tpm.ts';
import { openTpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { definePolicy } from '../../src/policy/index.ts';
import { makeKey } from '../../src/provisioning/provision-key.ts';
import {
  createTestAuthority,
  faultyTransport,
  missingSimulator,
  openTestTpm,
  openTpmIn,
  TPM_CONDITIONS,
  withTpm,
} from '../../src/testing/index.ts';
import { readLockout } from '../../src/tpm/capabilities.ts';
import { encode } from '../../src/tpm/codec/index.ts';
import { CreatePrimary } from '../../src/tpm/commands/hierarchy.ts';
import { GetRandom } from '../../src/tpm/commands/random.ts';
import { TPM_CC, TPM_RH } from '../../src/tpm/constants.ts';
import { publicKeyOf } from '../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../src/tpm/structures/object.ts';
import { srkTemplate, userKeyTemplate } from '../../src/tpm/templates.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { missingPrograms } from '../programs.ts';
import { ENGINES } from './support/engines.ts';
import { tpmMissing } from './support/new-tpm.ts';

const EMPTY = new Uint8Array(0);
const CHALLENGE = fromHex('c0ffee'.repeat(10));

const makePrimary = (tpm: Tpm, inPublic = srkTemplate('p-256')) =>
  tpm.run(CreatePrimary, {
    primaryHandle: TPM_RH.OWNER,
    inSensitive: { userAuth: EMPTY, data: EMPTY },
    inPublic,
    outsideInfo: EMPTY,
    creationPCR: [],
  });

/** The Name of the storage root key, which the TPM's seed determines. */
async function storageKey(tpm: Tpm): Promise<string> {
  await using key = (await makePrimary(tpm)).objectHandle;
  return toHex(key.name);
}

const missing = await tpmMissing();
const [[, withoutLibtpms], [, withoutSwtpm]] = ENGINES;

afterEach(() => vi.unstubAllEnvs());

for (const [engine, missing] of ENGINES) {
  describe.skipIf(missing)(`TPMs for tests in ${engine}`, () => {
    it('are independent of each other, also at the same time', async () => {
      const names: string[] = [];
      const body = withTpm({ engine }, async ({ tpm, address }) => {
        expect(tpm.transport.kind).toBe(engine);
        expect(address).toMatch(new RegExp(`^${engine}:`));
        names.push(await storageKey(tpm));
      });
      await Promise.all([body(), body(), body()]);
      expect(new Set(names).size).toBe(3);
    });

    it("are gone when the test has ended or failed, and the test's error is reported", async () => {
      const opened: Tpm[] = [];
      const body = (work: () => Promise<void>) =>
        withTpm({ engine }, async ({ tpm }) => {
          opened.push(tpm);
          await work();
        });
      await body(async () => {})();
      await expect(body(() => Promise.reject(new Error('of the test')))()).rejects.toThrow('of the test');
      for (const tpm of opened) {
        await expect(tpm.run(GetRandom, { bytesRequested: 1 })).rejects.toMatchObject({ code: 'transport-closed' });
      }
      expect(opened).toHaveLength(2);
    });

    it('have the lockout settings of Windows when they are asked for', async () => {
      await using one = await openTestTpm({ engine, lockout: 'windows' });
      expect(await readLockout(one.tpm)).toMatchObject({
        ...{ inLockout: false, failedTries: 0, maxTries: 32 },
        ...{ recoveryTimeSeconds: 600, lockoutRecoverySeconds: 86_400 },
      });
      await using locked = await openTestTpm({ engine, lockout: 'locked' });
      expect(await readLockout(locked.tpm)).toMatchObject({
        inLockout: true,
        failedTries: 1,
        recoveryTimeSeconds: 1000,
      });
      await using other = await openTestTpm({ engine });
      expect(await readLockout(other.tpm)).toMatchObject({ inLockout: false, maxTries: 3 });
    });

    it.skipIf(withoutLibtpms)('start from a state, do not change it, and leave no file of it', async () => {
      const temporary = mkdtempSync(join(tmpdir(), 'keyprov-kit-'));
      vi.stubEnv('TMPDIR', temporary);
      await using first = await openLibtpms();
      const state = first.exportState();
      const copy = toHex(state);
      const names: string[] = [];
      for (let i = 0; i < 2; i++) {
        await using kit = await openTestTpm({ engine, state });
        names.push(await storageKey(kit.tpm));
      }
      await using same = await openTestTpm({ engine: 'libtpms', state });
      expect(names).toEqual(Array(2).fill(await storageKey(same.tpm)));
      expect(toHex(state)).toBe(copy);
      expect(readdirSync(temporary)).toEqual([]);
      rmdirSync(temporary);
    });

    it('refuse what is not a state', async () => {
      await expect(openTestTpm({ engine, state: utf8('no state') })).rejects.toMatchObject({ code: 'state-invalid' });
    });
  });
}

describe('without a simulator', () => {
  it('a test fails with a typed error, and the reason to skip it can be asked for', async () => {
    vi.stubEnv('KEYPROV_LIBTPMS', '/nonexistent/libtpms.so.0');
    vi.stubEnv('PATH', '/nonexistent');
    for (const engine of ['auto', 'libtpms', 'swtpm'] as const) {
      await expect(withTpm({ engine }, async () => {})()).rejects.toMatchObject({
        code: 'library-missing',
        message: expect.stringContaining('; install '), // test runners show no `remedy`
      });
      expect(await missingSimulator({ engine })).toMatch(/install/);
    }
    expect(await missingSimulator()).toMatch(
      /^a TPM for tests needs libtpms or swtpm, and neither was found; install /,
    );
  });

  it.skipIf(withoutSwtpm)('in this process, swtpm replaces it', async () => {
    vi.stubEnv('KEYPROV_LIBTPMS', '/nonexistent/libtpms.so.0');
    await withTpm(async ({ tpm }) => expect(tpm.transport.kind).toBe('swtpm'))();
    expect(await missingSimulator()).toBeUndefined();
  });
});

describe.skipIf(missing !== undefined)('conditions and faults', () => {
  /** The result of making a key with a PIN if hardware is required. */
  const EXPECTED = {
    working: 'tpm',
    absent: 'no-tpm',
    locked: 'tpm-lockout',
    failing: 'tpm-failure-mode',
    lost: 'transport-lost',
  };

  it.each(TPM_CONDITIONS)('a key with a PIN on a machine whose TPM is %s', async (condition) => {
    const policy = definePolicy({ hardware: 'required', algorithm: 'p-256' });
    const outcome = await makeKey({ policy, sources: { tpm: () => openTpmIn(condition) }, pin: utf8('735191') }).then(
      ({ record }) => record.backend,
      (error: unknown) => Object(Object(error).cause).code,
    );
    expect(outcome).toBe(EXPECTED[condition]);
  });

  it('a fault that a test switches on comes from then on', async () => {
    let isFaulty = false;
    await using kit = await openTestTpm({
      wrap: (transport) =>
        faultyTransport(transport, (code) => (isFaulty && code === TPM_CC.Create ? TPM_RC.MEMORY : 'none')),
    });
    const provider = await openTpmKeyProvider(kit.tpm);
    expect(await provider.create({ algorithm: 'p-256' })).toMatchObject({ backend: 'tpm' });
    isFaulty = true;
    await expect(provider.create({ algorithm: 'p-256' })).rejects.toMatchObject({ code: 'tpm-out-of-memory' });
  });

  it('a TPM that fails while it is set up is closed, and the error is that of the command', async () => {
    let closed = 0;
    const opening = openTestTpm({
      lockout: 'windows',
      wrap: (transport) => ({
        ...faultyTransport(transport, (_, index) => (index === 0 ? 'none' : 'lost')),
        close: async () => {
          closed++;
          await transport.close();
        },
      }),
    });
    await expect(opening).rejects.toMatchObject({ code: 'transport-lost' });
    expect(closed).toBe(1);
  });
});

describe.skipIf(missing !== undefined).each(['rsa-2048', 'p-256'] as const)(
  'the authority, with %s keys',
  (algorithm) => {
    const template = algorithm === 'p-256' ? 'L-2' : 'L-1';

    it(
      'certifies the keys of a TPM after activation',
      withTpm(async ({ tpm }) => {
        const authority = await createTestAuthority();
        await using ek = await openEndorsementKey(tpm, { template });
        await using ak = await createAttestationKey(tpm, { algorithm });
        const activation = await authority.activate({
          ...{ ek: ek.publicArea, ak: ak.publicArea },
          answer: (challenge) => answerActivationChallenge(tpm, challenge, { ek, ak: ak.object }),
        });
        const certificate = await authority.issueAkCertificate(ak.publicArea);
        const ekCertificate = await authority.issueEkCertificate(ek.publicArea);
        const roots = [authority.root];
        expect(await verifyEkCertificate(ekCertificate, { roots, ek: ek.publicArea })).toMatchObject({ ok: true });

        await using key = (await makePrimary(tpm, userKeyTemplate(algorithm))).objectHandle;
        const statement = await attestKey(tpm, { key, ak, challenge: CHALLENGE, akCertificates: [certificate] });
        const evidence = {
          ...statement,
          ek: { pubArea: encode(TPMT_PUBLIC, ek.publicArea), certificates: [ekCertificate] },
        };
        const common = { challenge: CHALLENGE, minTier: 'virtual' } as const;
        for (const trusted of [{ akRoots: roots }, { ekRoots: roots, activation }]) {
          expect(await verifyEvidence(evidence, { ...common, ...trusted })).toMatchObject({
            ok: true,
            tier: 'virtual',
          });
        }
        const { root: other } = await createTestAuthority();
        for (const trusted of [{ akRoots: [other] }, { ekRoots: [other], activation }, { ekRoots: roots }]) {
          expect(await verifyEvidence(evidence, { ...common, ...trusted })).toMatchObject({
            ok: false,
            tier: undefined,
          });
        }
      }),
    );

    it(
      'issues a certificate that SimpleWebAuthn accepts, but not with another root',
      withTpm(async ({ tpm }) => {
        const [authority, other] = [await createTestAuthority(), await createTestAuthority()];
        await using ak = await createAttestationKey(tpm, { algorithm });
        const akCertificates = [await authority.issueAkCertificate(ak.publicArea)];
        const { objectHandle, outPublic } = await makePrimary(tpm, userKeyTemplate(algorithm));
        await using key = objectHandle;
        const [rpId, origin, credentialId] = ['login.example', 'https://login.example', fromHex('c0ffee01')];
        const authData = encodeAuthenticatorData({
          rpIdHash: computeRpIdHash(rpId),
          ...{ userPresent: true, userVerified: true, backupEligible: false, backedUp: false, signCount: 0 },
          credential: {
            ...{ aaguid: encodeAaguid(WINDOWS_HELLO_AAGUID), credentialId },
            key: {
              publicKey: publicKeyOf(outPublic),
              algorithm: algorithm === 'p-256' ? COSE_ALG.ES256 : COSE_ALG.RS256,
            },
          },
        });
        const challenge = CHALLENGE;
        const clientDataJson = buildWebauthnClientData({
          type: 'webauthn.create',
          challenge,
          origin,
          crossOrigin: false,
        });
        const context = { authData, clientDataJson };
        const statement = await attestKey(tpm, {
          key,
          ak,
          challenge: computeWebauthnExtraData(context),
          akCertificates,
        });
        const id = toBase64Url(credentialId);
        const verify = (root: Uint8Array) => {
          SettingsService.setRootCertificates({ identifier: 'tpm', certificates: [encodePem('CERTIFICATE', root)] });
          return verifyRegistrationResponse({
            response: {
              id,
              rawId: id,
              type: 'public-key',
              clientExtensionResults: {},
              response: {
                clientDataJSON: toBase64Url(clientDataJson),
                attestationObject: toBase64Url(buildWebauthnTpm(statement, context)),
              },
            },
            expectedChallenge: toBase64Url(challenge),
            ...{ expectedOrigin: origin, expectedRPID: rpId },
          });
        };
        expect(await verify(authority.root)).toMatchObject({ verified: true, registrationInfo: { fmt: 'tpm' } });
        await expect(verify(other.root)).rejects.toThrow(/^x5c could not be chained to any specified trust anchor/);
      }),
    );

    it.skipIf(missingPrograms('openssl') !== undefined)(
      'issues certificates that OpenSSL verifies, and not with another root',
      withTpm(async ({ tpm }) => {
        await using ek = await openEndorsementKey(tpm, { template });
        await using ak = await createAttestationKey(tpm, { algorithm });
        const [authority, other] = [await createTestAuthority(), await createTestAuthority()];
        const files = {
          root: authority.root,
          other: other.root,
          ak: await authority.issueAkCertificate(ak.publicArea),
          ek: await authority.issueEkCertificate(ek.publicArea),
        };
        const cwd = mkdtempSync(join(tmpdir(), 'keyprov-authority-'));
        try {
          for (const [name, der] of Object.entries(files))
            writeFileSync(join(cwd, name), encodePem('CERTIFICATE', der));
          const verify = (root: string) =>
            spawnSync('openssl', ['verify', '-CAfile', root, 'ak', 'ek'], { cwd, encoding: 'utf8' });
          expect(verify('root')).toMatchObject({ status: 0, stdout: 'ak: OK\nek: OK\n' });
          expect(verify('other')).toMatchObject({ status: 2, stdout: '' });
        } finally {
          rmSync(cwd, { recursive: true });
        }
      }),
    );
  },
);
