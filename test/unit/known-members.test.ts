import { generateKeyPairSync } from 'node:crypto';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import * as endorsement from '../../src/attestation/endorsement.ts';
import * as attestation from '../../src/attestation/index.ts';
import { EMPTY, fromBase64Url } from '../../src/bytes.ts';
import * as services from '../../src/formats/services/index.ts';
import * as windows from '../../src/formats/windows/index.ts';
import * as keyprov from '../../src/index.ts';
import * as keys from '../../src/keys/index.ts';
import { PreparedTpmKey } from '../../src/keys/prepared-key.ts';
import { checkMembers } from '../../src/known-members.ts';
import * as provisioning from '../../src/provisioning/index.ts';
import { formatDsregStatus } from '../../src/provisioning/windows/index.ts';
import * as registration from '../../src/registration/index.ts';
import { createTestAuthority, joinDevice, startIdentityService, type TestAuthority } from '../../src/testing/index.ts';
import { TPM_ALG } from '../../src/tpm/constants.ts';
import * as tpms from '../../src/tpm/index.ts';
import { userKeyTemplate } from '../../src/tpm/public-areas.ts';
import { ekTemplate } from '../../src/tpm/templates.ts';
import { createCrypto } from '../../src/webcrypto/index.ts';
import { asyncRefusal } from '../refusal.ts';

/** A TPM that must not be used. */
const tpm = new Proxy(Object.create(keyprov.Tpm.prototype), {
  get: (_, name) => expect.fail(`the TPM was asked for ${String(name)}`),
});
const policy = keyprov.definePolicy();
const store = new keyprov.KeyStore('keys');
const provider = new keyprov.TpmKeyProvider(tpm, Object({ virtual: true }), {});
const software = keyprov.openSoftwareKeyProvider();
const pool = new keyprov.KeyPool({ policy, sources: { tpm } }, 1);
const key = Object({ backend: 'tpm', hasPin: true });
const challenge = { version: 1, credentialBlob: EMPTY, encryptedSecret: EMPTY } as const;

/** Entry points, called with options. */
const CALLS: Readonly<Record<string, (options: never) => unknown>> = {
  openTpm: (options) => keyprov.openTpm('libtpms', options),
  openKeyStore: (options) => keyprov.openKeyStore('keys', options),
  keySources: keyprov.keySources,
  openKey: keyprov.openKey,
  provision: keyprov.provision,
  provisionKey: keyprov.provisionKey,
  createKeyPool: keyprov.createKeyPool,
  createMfaPrompt: keyprov.createMfaPrompt,
  createServiceFetch: keyprov.createServiceFetch,
  openKeyRegistrar: keyprov.openKeyRegistrar,
  policyInForce: keyprov.policyInForce,
  'KeyStore.save': (options) => store.save(key, options),
  'KeyStore.update': (options) => store.update('id', (record) => record, options),
  'KeyStore.delete': (options) => store.delete('id', options),
  openSoftwareKeyProvider: keyprov.openSoftwareKeyProvider,
  sign: (options) => software.sign(key, options),
  changePin: (options) => software.changePin(key, options),
  'TpmKeyProvider.prepare': (options) => provider.prepare(options),
  'TpmKeyProvider.finish': (options) => provider.finish(key, options),
  'TpmKeyProvider.sign': (options) => provider.sign(key, options),
  'TpmKeyProvider.changePin': (options) => provider.changePin(key, options),
  'TpmKeyProvider.use': (options) => provider.use(key, options, async () => {}),
  'PreparedTpmKey.finish': (options) => new PreparedTpmKey(tpm, key, EMPTY, key).finish(EMPTY, options),
  'KeyPool.check': (options) => pool.check(options),
  'KeyPool.take': (options) => pool.take(options),
  'Tpm.open': (options) => keyprov.Tpm.open(tpm, options),
  commandTimeouts: (options) => keyprov.openTpm('libtpms', { commandTimeouts: options }),
  hierarchyAuth: (options) => keyprov.openTpm('libtpms', { hierarchyAuth: options }),
  enterNewPin: (options) => provisioning.enterNewPin(() => expect.fail('the user was asked'), options),
  newPinState: (options) => provisioning.newPinState(EMPTY, policy.pin, options),
  requestForKey: (options) => provisioning.requestForKey(key, options),
  openPinTryLog: (options) => keys.openPinTryLog('keys', options),
  selectKeyProvider: (options) => keys.selectKeyProvider(policy, { tpm }, options),
  readWrappingSecret: (options) => keys.readWrappingSecret(store, options),
  readNv: (options) => tpms.readNv(tpm, 1, options),
  startSession: (options) => tpms.startSession(tpm, options),
  'use of startSession': (options) => tpms.startSession(tpm, { use: options }),
  readNature: (options) => tpms.readNature(tpm, options),
  activateCredential: (options) => attestation.activateCredential(tpm, options),
  answerActivationChallenge: (options) => attestation.answerActivationChallenge(tpm, challenge, options),
  loadAttestationKey: (options) => attestation.loadAttestationKey(tpm, key, options),
  certifyCreation: (options) => attestation.certifyCreation(tpm, options),
  certifyKey: (options) => attestation.certifyKey(tpm, options),
  openEndorsementKey: (options) => endorsement.openEndorsementKey(tpm, options),
  readEkCertificates: (options) => endorsement.readEkCertificates(tpm, options),
  verifyEvidence: (options) => attestation.verifyEvidence(Object({}), options),
  verifyStatement: (options) => attestation.verifyStatement(Object({}), options),
  authorizeUrl: registration.authorizeUrl,
  deviceCodeRequest: registration.deviceCodeRequest,
  tokenProblems: (expected) => registration.tokenProblems('token', expected),
  'the request for signInWithKey': (request: object) =>
    registration.signInWithKey({ tokenEndpoint: '', user: '', key, device: key, ...request }),
  userKeyTemplate: (options) => userKeyTemplate('p-256', options),
  findKeyCredentialProblems: (options) => windows.findKeyCredentialProblems(key, options),
  findNgcAssertionProblem: (expected) => windows.findNgcAssertionProblem('jwt', expected),
  buildNgcAssertion: (options) => windows.buildNgcAssertion(key, options),
  encodeSshPublicKeyLine: services.encodeSshPublicKeyLine,
  formatDsregStatus: (options) => formatDsregStatus([], options),
  storeKey: (options) => createCrypto().storeKey(key, options),
  loadKey: (options) => createCrypto().loadKey(key, options),
  'the result of mfa': (answer: object) =>
    provisioning.passMfa(async () => ({ status: 'passed', token: 'token', ...answer }), {
      user: 'ada',
      deviceId: '47f577e3-d2d0-4a0a-8aca-e0501098bde4',
      resource: 'urn:x',
    }),
  startIdentityService,
  joinDevice: (options) => joinDevice('https://localhost', options),
};

describe('an option that does not exist', () => {
  it.each(Object.entries(CALLS))('is refused by %s, which names it and the one that was meant', async (name, call) => {
    const said = await asyncRefusal(async () => Reflect.apply(call, undefined, [{ signla: undefined }]));
    expect(said).toMatch(new RegExp(`^foreign: TypeError: ${name} has no option 'signla'`));
  });

  it('is told with the nearest name, if one is near', async () => {
    const said = (options: object) => asyncRefusal(async () => keyprov.keySources(Object(options)));
    expect(await said({ tmp: 'auto' })).toBe("foreign: TypeError: keySources has no option 'tmp', did you mean 'tpm'?");
    expect(await said({ color: 'red' })).toBe("foreign: TypeError: keySources has no option 'color'");
    expect(await said({ hierarchyauth: {} })).toMatch(/did you mean 'hierarchyAuth'\?$/);
    expect(keyprov.keySources({ tpm: 'none', store: undefined })).toEqual({ tpm: undefined, software: undefined });
  });
});

/** The certificate of a new key. */
async function ekCertificate(maker: TestAuthority): Promise<Uint8Array> {
  const { x = '', y = '' } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
  const template = ekTemplate('L-2');
  if (template.type !== TPM_ALG.ECC) throw new Error('no template of an ECC key');
  return await maker.issueEkCertificate({ ...template, unique: { x: fromBase64Url(x), y: fromBase64Url(y) } });
}

describe('an option that the object of the caller inherits', () => {
  interface Given {
    readonly challenge: Uint8Array;
    readonly time?: Date;
  }
  const check = (given: Given) => checkMembers('check', given, 'challenge:bytes time:date?');

  it('counts as its own, and is read once', () => {
    let reads = 0;
    class Later {
      readonly #time = new Date(0);
      get challenge() {
        reads += 1;
        return Uint8Array.of(1);
      }
      get time() {
        return this.#time;
      }
    }
    expect({ ...check(new Later()) }).toEqual({ challenge: Uint8Array.of(1), time: new Date(0) });
    expect(reads).toBe(1);
    expect(Object.keys(check({ challenge: Uint8Array.of(1) }))).toEqual(['challenge']);
  });

  it('is not lost on the way to the checks: a certificate is not accepted that was not valid then', async () => {
    const maker = await createTestAuthority();
    const der = await ekCertificate(maker);
    const roots = { roots: [maker.root] };
    expect((await endorsement.verifyEkCertificate(der, roots)).ok).toBe(true);
    const inherited = Object.assign(Object.create({ time: new Date(0) }), roots);
    expect((await endorsement.verifyEkCertificate(der, inherited)).findings).toContainEqual(
      expect.objectContaining({ id: 'chain/validity', status: 'fail' }),
    );
  });
});

describe('a number or a time', () => {
  interface Given {
    readonly waitMs: number;
    readonly time?: Date;
  }
  const check = (given: object) =>
    checkMembers<Given, 'waitMs:number' | 'time:date?'>('check', Object(given), 'waitMs:number', 'time:date?');

  it.each<[object, string]>([
    [{ waitMs: '3' }, 'TypeError: check: waitMs must be a number, not a string'],
    [{ waitMs: 3n }, 'TypeError: check: waitMs must be a number, not a bigint'],
    [{}, 'TypeError: check: waitMs must be a number, not undefined'],
    [{ waitMs: Number.NaN }, 'RangeError: check: waitMs must be 0 or more, not NaN'],
    [{ waitMs: -1 }, 'RangeError: check: waitMs must be 0 or more, not -1'],
    [{ waitMs: 0, time: '2026-01-01' }, 'TypeError: check: time must be a valid Date, not a string'],
    [{ waitMs: 0, time: 0 }, 'TypeError: check: time must be a valid Date, not a number'],
    [{ waitMs: 0, time: new Date('x') }, 'TypeError: check: time must be a valid Date, not an object of another kind'],
  ])('is refused by name: $1', async (given, message) => {
    expect(await asyncRefusal(async () => check(given))).toBe(`foreign: ${message}`);
  });

  it('may be 0, infinite, or of another realm', () => {
    const time = runInNewContext('new Date(0)');
    expect(check({ waitMs: 0, time })).toEqual({ waitMs: 0, time });
    expect(check({ waitMs: Number.POSITIVE_INFINITY })).toEqual({ waitMs: Number.POSITIVE_INFINITY });
  });
});

describe('bytes of another realm', () => {
  it('are treated as bytes, not as a parsed value', async () => {
    const foreign: Uint8Array = runInNewContext('new Uint8Array([1, 2, 3])');
    expect(foreign).not.toBeInstanceOf(Uint8Array);
    const { challenge } = checkMembers('check', { challenge: foreign }, 'challenge:bytes');
    expect(challenge).toEqual(Uint8Array.of(1, 2, 3));
    expect(challenge.buffer).toBe(foreign.buffer);
    const der = await ekCertificate(await createTestAuthority());
    expect(await asyncRefusal(() => endorsement.verifyEkCertificate(der, { roots: [foreign] }))).toMatch(
      /^certificate-invalid: /,
    );
  });

  it('are the only objects besides certificates that are roots, and holes are none', async () => {
    for (const roots of [[{}], new Array(1), [Object.create(null)]]) {
      const call = () => endorsement.verifyEkCertificate(Uint8Array.of(1), Object({ roots }));
      expect(await asyncRefusal(call)).toMatch(
        /^foreign: TypeError: verifyEkCertificate: roots must be an array of cert/,
      );
    }
  });
});
