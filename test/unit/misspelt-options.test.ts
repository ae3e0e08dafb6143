import { describe, expect, it } from 'vitest';
import { encodeActivationResponse } from '../../src/attestation/index.ts';
import { encodeJwk } from '../../src/crypto/jwk.ts';
import { encodeSpkiPem } from '../../src/crypto/public-key.ts';
import * as keyprov from '../../src/index.ts';
import * as provisioning from '../../src/provisioning/index.ts';
import { UserKey } from '../../src/provisioning/open-key.ts';
import * as windows from '../../src/provisioning/windows/index.ts';
import { deleteHelloMethod } from '../../src/registration/graph.ts';
import * as testing from '../../src/testing/index.ts';
import { createCrypto } from '../../src/webcrypto/index.ts';
import { asyncRefusal } from '../refusal.ts';

type Case = readonly [call: string, run: () => unknown, message: string];

/** A text where the types demand something else. */
const text = (value: string) => JSON.parse(JSON.stringify(value));
const policy = keyprov.definePolicy();
const software = keyprov.openSoftwareKeyProvider();
const pin = Uint8Array.of(0x31, 0x32, 0x33, 0x34);
const store = Object.create(keyprov.KeyStore.prototype);
const key = new UserKey(Object({ hasPin: true, backend: 'software', annotations: {} }), { sources: { software } });
const MISSPELT = "sources has no option 'tmp', did you mean 'tpm'?";

/** Calls with something else than the function knows, as untyped JavaScript makes them. */
const CASES: Readonly<Record<string, readonly Case[]>> = {
  'keys that are made': [
    [
      'createCrypto',
      () => createCrypto(Object({ providr: software })),
      "has no option 'providr', did you mean 'provider'?",
    ],
    [
      'createCrypto',
      () => createCrypto(Object({ provider: 'tpm' })),
      'provider must be an object with create and sign',
    ],
    [
      'makeKey',
      () => provisioning.makeKey(Object({ policy, sources: { software }, pn: pin })),
      "makeKey has no option 'pn', did you mean 'pin'?",
    ],
    ['makeKey', () => provisioning.makeKey({ policy, sources: Object({ tmp: 'auto', software }) }), MISSPELT],
    [
      'makeKey',
      () => provisioning.makeKey({ policy, sources: { software }, fallBack: text('always') }),
      "makeKey: fallBack must be 'absent' or 'any', not another string",
    ],
    [
      'provisionKey',
      () => keyprov.provisionKey({ policy, sources: Object({ tmp: 'auto', software }), challenge: pin }),
      MISSPELT,
    ],
    ['createKeyPool', () => keyprov.createKeyPool({ policy, sources: Object({ tmp: 'auto', software }) }), MISSPELT],
    [
      'createKeyPool',
      () => keyprov.createKeyPool({ policy: Object(1), sources: {} }),
      'policy must be a Policy from definePolicy',
    ],
    ['openKey', () => keyprov.openKey({ store, sources: Object({ tmp: 'auto' }) }), MISSPELT],
    [
      'readTpmFacts',
      () => provisioning.readTpmFacts(text('libtpms')),
      'sources must be an object with tpm and software',
    ],
    [
      'selectKeyProvider',
      () => keyprov.openTpmKeyProvider(text('libtpms')),
      'the tpm of openTpmKeyProvider must be an object with run and transport',
    ],
  ],
  'keys that are found': [
    [
      'findKey',
      () => provisioning.findKey(store, Object({ usr: 'ada@contoso.test' })),
      "findKey has no option 'usr', did you mean 'user'?",
    ],
    ['findKey', () => provisioning.findKey(store, text('bob@contoso.test')), 'findKey needs an options object'],
    [
      'findKey',
      () => provisioning.findKey(Object({ store, user: 'x' })),
      'findKey: store must be a KeyStore from openKeyStore',
    ],
    ['findKeys', () => provisioning.findKeys(store, Object({ usr: 'x' })), "findKeys has no option 'usr'"],
    ['findKeys', () => provisioning.findKeys(store, { user: Object(5) }), 'findKeys: user must be a string'],
    [
      'listRegistrations',
      () => provisioning.listRegistrations(store, Object({ usr: 'x' })),
      "listRegistrations has no option 'usr'",
    ],
    [
      'listRegistrations',
      () => provisioning.listRegistrations(store, text('ada@x')),
      'listRegistrations needs an options object',
    ],
    [
      'listRuns',
      () => provisioning.listRuns(Object({ store })),
      'listRuns: store must be a KeyStore from openKeyStore',
    ],
    [
      'pinMustChangeOf',
      () => Reflect.apply(provisioning.pinMustChangeOf, undefined, []),
      'the record for pinMustChangeOf must be an object',
    ],
  ],
  'PINs and evidence': [
    [
      'changeUserPin',
      () => provisioning.changeUserPin(store, 'id', Object({ currentPn: pin })),
      "changeUserPin has no option 'currentPn', did you mean 'currentPin'?",
    ],
    [
      'resetPinKeepingKey',
      () => provisioning.resetPinKeepingKey(store, 'id', Object({ recovr: 1 })),
      "resetPinKeepingKey has no option 'recovr'",
    ],
    [
      'changeUserPin',
      () => {
        const given = { provider: Object({ backend: 'tpm', sign: 0, changePin: 0 }), currentPin: pin, prompt: pin };
        return provisioning.changeUserPin(store, Object(undefined).id, { ...given, policy: policy.pin });
      },
      'the key id must be a string',
    ],
    [
      'resetPinKeepingKey',
      () => {
        const given = { provider: Object({ backend: 'tpm', sign: 0, changePin: 0 }), recover: async () => pin };
        return provisioning.resetPinKeepingKey(store, Object(undefined).id, {
          ...given,
          prompt: pin,
          policy: policy.pin,
        });
      },
      'the key id must be a string',
    ],
    [
      'unregisterKey',
      () => provisioning.unregisterKey(store, Object(undefined).id, { registrar: { address: 'own' } }),
      'the key id must be a string',
    ],
    [
      'unregisterKey',
      () => provisioning.unregisterKey(Object({ store }), 'a', { registrar: { address: 'own' } }),
      'unregisterKey: store must be a KeyStore from openKeyStore',
    ],
    [
      'deleteHelloMethod',
      () => deleteHelloMethod('ada@contoso.test', Object(undefined).id, { token: async () => 'unused' }),
      'a path segment must be a string',
    ],
    [
      'create',
      async () => (await software).create(Object({ algorithm: 'p-256', pn: pin })),
      "create has no option 'pn', did you mean 'pin'?",
    ],
    ['policyInForce', () => keyprov.policyInForce({ userSid: 'nonsense' }), 'policyInForce: userSid must be a SID'],
    [
      'encodeActivationResponse',
      () => encodeActivationResponse({ version: 1, secret: text('aa') }),
      'the secret of a response must be a Uint8Array',
    ],
    ['encodeJwk', () => encodeJwk(text('key')), 'a public key must be an object with kty'],
    [
      'encodeSpkiPem',
      () => encodeSpkiPem(Object({ kty: 'RSA', n: 'x' })),
      'each number of a public key must be a Uint8Array',
    ],
  ],
  prerequisites: [
    [
      'valuesProbe',
      () => windows.valuesProbe({ directoryUser: text('unknown') }),
      'directoryUser must be true or false, not a string',
    ],
    [
      'valuesProbe',
      () => windows.valuesProbe(Object({ joinStat: 'none' })),
      "valuesProbe has no option 'joinStat', did you mean 'joinState'?",
    ],
    ['valuesProbe', () => windows.valuesProbe({ joinState: text('joined') }), "joinState must be 'none' or 'entra' or"],
    [
      'checkPrerequisites',
      () => windows.checkPrerequisites({ pinSet: text('unknown') }),
      'pinSet must be true or false',
    ],
    ['checkPrerequisites', () => windows.checkPrerequisites({ checkCode: text('5') }), 'checkCode must be a number'],
    [
      'checkPrerequisites',
      () => windows.checkPrerequisites({}, { tpm: text('unknown') }),
      "tpm must be 'none' or an object with version",
    ],
    [
      'checkPrerequisites',
      () => windows.checkPrerequisites({}, { tpm: Object({ version: '3.0' }) }),
      "version must be '1.2' or '2.0'",
    ],
    [
      'checkPrerequisites',
      () => windows.checkPrerequisites({}, Object({ polcy: policy })),
      "checkPrerequisites has no option 'polcy', did you mean 'policy'?",
    ],
    [
      'checkPrerequisites',
      () => windows.checkPrerequisites({}, { policy: Object({ hardware: 'requird' }) }),
      'hardware must be',
    ],
    [
      'checkPrerequisites',
      () => windows.checkPrerequisites({}, { settings: { UsePassportForWork: text('no') } }),
      'UsePassportForWork must be true or false',
    ],
    ['checkPrerequisites', () => windows.checkPrerequisites({}, { joinStates: [text('joined')] }), 'joinStates must'],
    [
      'probePrerequisites',
      () => windows.probePrerequisites([{ read: async () => ({ pinSet: text('no') }) }]),
      'pinSet must be true or false',
    ],
  ],
  'the test kit': [
    [
      'openTestTpm',
      () => testing.openTestTpm(Object({ enigne: 'swtpm' })),
      "openTestTpm has no option 'enigne', did you mean 'engine'?",
    ],
    [
      'withTpm',
      () => testing.withTpm(Object({ lockot: 'locked' }), async () => {}),
      "withTpm has no option 'lockot', did you mean 'lockout'?",
    ],
    [
      'withTpm',
      () => testing.withTpm({ engine: text('swtmp') }, async () => {}),
      "withTpm: engine must be 'auto' or 'libtpms' or 'swtpm'",
    ],
    [
      'withTpm',
      () => testing.withTpm({ lockout: text('lockd') }, async () => {}),
      "withTpm: lockout must be 'default' or 'windows' or 'locked'",
    ],
    ['withTpm', () => testing.withTpm(Object({})), 'withTpm needs the body of the test: a function'],
    ['openTpmIn', () => testing.openTpmIn(text('lockd')), 'openTpmIn: the condition must be one of working, absent'],
    ['openTpmIn', () => testing.openTpmIn('absent', Object({ enigne: 'swtpm' })), "openTpmIn has no option 'enigne'"],
    ['missingSimulator', () => testing.missingSimulator({ engine: text('swtmp') }), 'missingSimulator: engine must be'],
    [
      'startIdentityService',
      () => testing.startIdentityService({ users: [], attestation: text('ignored') }),
      "startIdentityService: attestation must be 'ignore' or 'verify' or 'require'",
    ],
    [
      'startIdentityService',
      () => testing.startIdentityService({ users: [Object({ name: 'ada', pasword: 'x' })] }),
      "a user of the identity service has no option 'name'",
    ],
    [
      'startIdentityService',
      () => testing.startIdentityService({ users: [{ upn: 'ada@x', password: 'x', mfa: { answer: text('aprove') } }] }),
      "the mfa of a user: answer must be 'approve' or 'deny' or 'ignore'",
    ],
    [
      'joinDevice',
      () => testing.joinDevice('https://localhost', Object({ ca: 'PEM', tenant: 'contoso' })),
      'the user of joinDevice must be an object with upn and password',
    ],
  ],
  'a key': [
    ['sign', () => key.sign(Object({ data: pin, pni: pin })), "sign has no option 'pni', did you mean 'pin'?"],
    [
      'sign',
      () => key.sign({ data: pin, hash: text('sha999') }),
      "sign: hash must be 'sha256' or 'sha384' or 'sha512'",
    ],
    ['changePin', () => key.changePin(Object({ oldPin: pin, newPin: pin })), "changePin has no option 'oldPin'"],
    ['changePin', () => key.changePin({ pin, newPin: text('1234') }), 'the new PIN must be a Uint8Array'],
    [
      'attest',
      () => key.attest(Object({ challenge: pin, enrollAk: () => [] })),
      "attest has no option 'enrollAk', did you mean 'enrolAk'?",
    ],
    [
      'request',
      () => key.request(Object({ challenge: pin, profil: 'strict' })),
      "request has no option 'profil', did you mean 'profile'?",
    ],
    ['webCrypto', () => key.webCrypto({ pin: Object(pin) }), 'webCrypto: pin must be a function'],
    ['webCrypto', () => key.webCrypto(Object({ pinCachMs: 5 })), "webCrypto has no option 'pinCachMs'"],
  ],
};

describe.each(Object.entries(CASES))('%s', (_, cases) => {
  it.each(cases)('%s: $2', async (_name, run, message) => {
    const said = await asyncRefusal(async () => run());
    expect(said).toMatch(/^foreign: TypeError: /);
    expect(said).toContain(message);
  });
});

describe('a mistake of the caller', () => {
  const [right, wrong] = ['271828', '314159'].map((digits) => new TextEncoder().encode(digits));
  it.each<[string, (own: UserKey) => Promise<unknown>]>([
    ['a new PIN that the rules refuse', (own) => own.changePin({ pin: wrong ?? pin, newPin: Uint8Array.of(0x31) })],
    ['a new PIN of text', (own) => own.changePin({ pin: wrong ?? pin, newPin: text('2718281') })],
    ['an empty PIN', (own) => own.sign({ data: pin, pin: new Uint8Array() })],
  ])('costs no try of the PIN: %s', async (_, run) => {
    const { record } = await provisioning.makeKey({
      policy: keyprov.definePolicy({ hardware: 'discouraged' }),
      sources: { software },
      pin: right,
    });
    let tries = 0;
    const counted = Object.assign(Object.create(await software), {
      sign: async () => {
        tries += 1;
        throw new keyprov.PinError('pin-wrong', 'the PIN is wrong');
      },
    });
    const own = await keyprov.openKey({ record, sources: { software: counted } });
    expect(await asyncRefusal(() => run(own))).toMatch(/^(?:pin-refused: |foreign: TypeError: )/);
    expect(tries).toBe(0);
  });
});
