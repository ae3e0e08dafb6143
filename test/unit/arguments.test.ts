import { describe, expect, it } from 'vitest';
import * as endorsement from '../../src/attestation/endorsement.ts';
import * as attestation from '../../src/attestation/index.ts';
import { utf8 } from '../../src/bytes.ts';
import * as services from '../../src/formats/services/index.ts';
import * as tcg from '../../src/formats/tcg/index.ts';
import * as webauthn from '../../src/formats/webauthn/index.ts';
import * as windows from '../../src/formats/windows/index.ts';
import * as x509 from '../../src/formats/x509/index.ts';
import { inspect } from '../../src/inspect/index.ts';
import * as policy from '../../src/policy/index.ts';
import * as provisioning from '../../src/provisioning/index.ts';
import { UserKey } from '../../src/provisioning/open-key.ts';
import { provisioningEvent } from '../../src/provisioning/windows/prerequisite-report.ts';
import * as registration from '../../src/registration/index.ts';
import { openTpm } from '../../src/tpm/index.ts';
import { asyncRefusal } from '../refusal.ts';
import { publicModules } from './public-modules.ts';

const SUBPATHS = await publicModules();

/** The functions that read input from outside, and those that build what others read. */
const PURE = new Map(
  SUBPATHS.flatMap((names) => Object.entries(names)).flatMap(([name, value]): [string, CallableFunction][] =>
    typeof value === 'function' && /^(verify|parse|decode|build|encode|create)/.test(name) ? [[name, value]] : [],
  ),
);

/** Messages of V8 or Node for values that were not checked. */
const INTERNAL =
  /Cannot |is not a function|not iterable|The "?\w+"? argument|must be of type|[Ff]irst argument|undefined bytes/;

const WRONG: Readonly<Record<string, readonly unknown[]>> = {
  'no arguments': [],
  texts: ['text', 'text', 'text'],
  numbers: [5, 5, 5],
  bytes: [Uint8Array.of(1, 2, 3), Uint8Array.of(1, 2, 3), Uint8Array.of(1, 2, 3)],
  'empty objects': [{}, {}, {}],
  lists: [[], [], []],
};

/** Functions that accept these arguments. Verifying evidence that is not an object fails with a finding. */
const OF_OPTIONS = ['no arguments', 'empty objects']; // all optional
const ACCEPTED: Readonly<Record<string, readonly string[]>> = {
  buildCommonName: ['texts'],
  buildSmallstepChain: ['lists'],
  buildSmallstepSecret: ['bytes'],
  createCrypto: OF_OPTIONS,
  createServiceFetch: OF_OPTIONS,
  createTestAuthority: OF_OPTIONS,
  decodeResponseCode: ['numbers'],
  encodeKeyCredentialLink: ['lists'],
  decodeContentEncryption: Object.keys(WRONG), // undefined for an unknown cipher
  decodeCustomKeyInformation: ['bytes'],
  decodeKeyMaterial: ['bytes'],
  parseDsregStatus: ['texts'],
  parseLampsAttestation: ['lists'],
  parseWcceAttributes: ['lists'],
};

describe('a function that verifies, reads or builds', () => {
  it('is one of many', () => expect(PURE.size).toBeGreaterThan(140));

  it.each(Object.entries(WRONG))('explains in words the problem with %s', async (kind, wrong) => {
    const internal: string[] = [];
    for (const [name, read] of PURE) {
      const said = await asyncRefusal(async () => Reflect.apply(read, undefined, wrong));
      const mayAccept = ACCEPTED[name]?.includes(kind) === true;
      if (INTERNAL.test(said) || (said === 'nothing thrown' && !mayAccept)) internal.push(`${name}: ${said}`);
    }
    expect(internal).toEqual([]);
  });
});

const BYTES = Uint8Array.of(1, 2, 3);
const TRUST = { challenge: BYTES, minTier: 'software' };
const ORIGINS = { rpId: 'login.example', origins: ['https://login.example'] };
const REGISTRATION = { attestationObject: BYTES, clientDataJson: BYTES };

/** The functions that decide, with arguments of the right kinds. */
const VERIFIERS: Readonly<
  Record<string, readonly [(...args: never[]) => unknown, object, Readonly<Record<string, unknown>>]>
> = {
  verifyEvidence: [attestation.verifyEvidence, {}, TRUST],
  verifyStatement: [attestation.verifyStatement, {}, { challenge: BYTES, attestationKey: { spki: BYTES } }],
  verifyEkCertificate: [endorsement.verifyEkCertificate, BYTES, { roots: [BYTES] }],
  verifyWebauthnTpm: [webauthn.verifyWebauthnTpm, REGISTRATION, { ...TRUST, ...ORIGINS }],
  verifyAcmeDeviceAttest: [
    services.verifyAcmeDeviceAttest,
    Object('payload'),
    { minTier: 'software', token: 'token', accountKey: { kty: 'EC' } },
  ],
  verifyAttestedRequest: [x509.verifyAttestedRequest, BYTES, TRUST],
};

/** Members of options, and their required types. */
const MEMBERS: Readonly<Record<string, string>> = {
  challenge: 'a Uint8Array',
  akNonce: 'a Uint8Array',
  akPubArea: 'a Uint8Array',
  rpId: 'a string',
  origins: 'an array of strings',
  allowedManufacturers: 'an array of strings',
  roots: 'an array of certificates',
  akRoots: 'an array of certificates',
  ekRoots: 'an array of certificates',
  intermediates: 'an array of certificates',
  trustedAks: 'an array of objects',
  ekAllowList: 'an array of objects',
  attestationKey: 'an object with pubArea or name',
  expectedKey: 'an object with pubArea or name',
  time: 'a valid Date',
  acceptSha1: 'true or false',
  virtual: 'true or false',
};

describe.each(Object.entries(VERIFIERS))('%s', (name, [verify, evidence, options]) => {
  const call = (changed: object) =>
    asyncRefusal(async () => Reflect.apply(verify, undefined, [evidence, { ...options, ...changed }]));

  it.each(Object.entries(MEMBERS))(
    'refuses a wrong %s by name, and never reports it as failed evidence',
    async (member, kind) => {
      const wrong = kind === 'a string' ? [5, BYTES] : ['https://login.example', 5, ['text', BYTES], null];
      for (const value of wrong) {
        const said = await call({ [member]: value });
        const isKnown = !said.includes(`${name} has no option '${member}'`);
        if (isKnown) expect(said).toContain(`foreign: TypeError: ${name}: ${member} must be ${kind}`);
      }
    },
  );

  it('refuses a required option that was forgotten', async () => {
    for (const member of Object.keys(options)) expect(await call({ [member]: undefined })).toContain(member);
  });
});

describe.each(['verifyEvidence', 'verifyWebauthnTpm', 'verifyAttestedRequest'])('%s', (name) => {
  it.each<[string, unknown]>([
    ['ekAllowList', { spki: 'text' }],
    ['ekAllowList', { spki: new Uint16Array(4) }],
    ['ekAllowList', { pubArea: undefined, spki: BYTES }],
    ['ekAllowList', {}],
    ['trustedAks', { tier: 'activated' }],
    ['trustedAks', { tier: 'activated', key: BYTES }],
    ['trustedAks', { tier: 'activated', key: { name: 'text' } }],
    ['trustedAks', { teir: 'activated', key: { spki: BYTES } }],
    ['trustedAks', { tier: 'best', key: { spki: BYTES } }],
    ['trustedAks', { tier: 'software', key: { spki: BYTES } }],
  ])('refuses an entry of %s without a key or a tier: %j', async (member, entry) => {
    const [verify, evidence, options] = VERIFIERS[name] ?? expect.fail(name);
    const said = await asyncRefusal(async () =>
      Reflect.apply(verify, undefined, [evidence, { ...options, [member]: [entry] }]),
    );
    expect(said).toMatch(`foreign: TypeError: ${name}: ${member} must be an array of objects, each with `);
  });
});

describe('an origin', () => {
  it('is compared completely', async () => {
    for (const origins of ['https://login.example', new Set(['https://login.example'])]) {
      const wrong = { ...TRUST, ...ORIGINS, origins };
      const call = async () => Reflect.apply(webauthn.verifyWebauthnTpm, undefined, [REGISTRATION, wrong]);
      expect(await asyncRefusal(call)).toMatch(/^foreign: TypeError: verifyWebauthnTpm: origins must be an array/);
    }
  });
});

describe('options that were forgotten', () => {
  it.each<[string, CallableFunction, readonly unknown[]]>([
    ['createAttestationKey', attestation.createAttestationKey, [{}]],
    ['attestKey', attestation.attestKey, [{}]],
    ['certifyKey', attestation.certifyKey, [{}]],
    ['certifyCreation', attestation.certifyCreation, [{}]],
    ['activateCredential', attestation.activateCredential, [{}]],
    ['makeCredential', attestation.makeCredential, []],
    ['registerKey', registration.registerKey, [{ endpoint: 'https://login.example' }]],
    ['signInWithKey', registration.signInWithKey, []],
    ['unregisterKey', provisioning.unregisterKey, [{}, 'id']],
    ['changeUserPin', provisioning.changeUserPin, [{}, 'id']],
    ['resetPinKeepingKey', provisioning.resetPinKeepingKey, [{}, 'id']],
  ])('are a TypeError in words that names %s', async (name, call, before) => {
    const said = await asyncRefusal(async () => Reflect.apply(call, undefined, before));
    expect(said).toMatch(new RegExp(`^foreign: TypeError: .*${name}`));
  });
});

describe('what a caller without types gets wrong', () => {
  const PEM = '-----BEGIN CERTIFICATE-----';
  const url = 'https://sts.contoso.test';
  const mfa = { user: 'ada', deviceId: '47f577e3-d2d0-4a0a-8aca-e0501098bde4', resource: 'urn:x' };
  const neverAsked = () => Promise.reject(new Error('the user was asked'));
  const key = new UserKey(Object('record'), { sources: {} });

  it.each<[string, () => unknown, string]>([
    [
      'a server without a scheme',
      () => registration.openKeyRegistrar({ url: 'sts.contoso.test' }),
      'url must be a URL',
    ],
    ['no server', () => Reflect.apply(registration.openKeyRegistrar, undefined, [{}]), 'url must be a URL'],
    [
      'a server without a scheme, before a user is asked',
      () => provisioning.createMfaPrompt({ url: 'sts.contoso.test', onCode: () => {} }),
      'url must be a URL',
    ],
    [
      'a token in place of the function that gets one',
      () => registration.openKeyRegistrar({ url, graph: { token: Object('eyJ0') } }),
      'graph of openKeyRegistrar: token must be a function, not an object',
    ],
    [
      'a text in place of a function',
      () => registration.openKeyRegistrar({ url, fetch: Object('fetch') }),
      'openKeyRegistrar: fetch must be a function',
    ],
    ['a root in DER', () => registration.createServiceFetch({ ca: Object(BYTES) }), 'ca must be certificates in PEM'],
    ['a root that is a number', () => registration.createServiceFetch({ ca: Object([5]) }), 'ca must be certificates'],
    [
      'a file name for a root',
      () => registration.createServiceFetch({ ca: 'ca.pem' }),
      'ca must be certificates in PEM',
    ],
    [
      'a client certificate without its key',
      () => registration.createServiceFetch({ clientCertificate: Object(PEM) }),
      'clientCertificate must be an object with certificate and privateKey',
    ],
    [
      'a key in DER',
      () => registration.createServiceFetch({ clientCertificate: { certificate: PEM, privateKey: Object(BYTES) } }),
      'the privateKey of clientCertificate must be a string',
    ],
    [
      'a misspelled option of the authentication',
      () => provisioning.passMfa(neverAsked, Object({ ...mfa, method: ['fido'] })),
      "passMfa has no option 'method', did you mean 'methods'?",
    ],
    [
      'a text for several values',
      () => provisioning.passMfa(neverAsked, { ...mfa, methods: Object('fido') }),
      'passMfa: methods must be an array of strings',
    ],
    [
      'a text for a number',
      () => provisioning.passMfa(neverAsked, Object({ ...mfa, maxAttempts: '3' })),
      'passMfa: maxAttempts must be a number, not a string',
    ],
    [
      'a name of a device',
      () => provisioning.passMfa(neverAsked, { ...mfa, deviceId: 'pc-17' }),
      'deviceId must be a GUID, not "pc-17"',
    ],
    [
      'a name of a device',
      () =>
        registration.syncStatus({ user: 'ada', keyId: new Uint8Array(32), deviceId: 'pc-17', registered: new Date() }),
      'deviceId must be a GUID, not "pc-17"',
    ],
    [
      'the name of a JWS member',
      () => services.buildJws(Object({ alg: 'ES256' })),
      "buildJws has no option 'alg', did you mean 'algorithm'?",
    ],
    [
      'an address in an object',
      () => openTpm(Object({ address: 'libtpms:./tpm' })),
      'the address, unless it is text, must be an object with kind',
    ],
    ['no data to sign', () => Reflect.apply(key.sign, key, []), 'sign needs an options object'],
    ['no PIN', () => Reflect.apply(key.changePin, key, []), 'changePin needs an options object'],
    ['no challenge', () => Reflect.apply(key.attest, key, []), 'attest needs an options object'],
    ['no challenge', () => Reflect.apply(key.request, key, []), 'request needs an options object'],
  ])('is refused by name: %s', async (_, call, message) => {
    const said = await asyncRefusal(async () => call());
    expect(said).toContain(`foreign: TypeError: ${message}`);
  });
});

describe('an option that does not exist', () => {
  const url = new URL('https://sts.contoso.test');
  const [x, neverSent] = [{ x: 1 }, () => expect.fail('sent')];
  const graph = { token: async () => 'T0ken', fetch: neverSent, x: 1 };
  const file = utf8('{}');
  const demand = { tokenEndpoint: url, clientId: 'c', resource: 'r' };
  const key = { user: 'ada', kid: 'k', keyId: BYTES, deviceId: 'd' };
  const signing = { tokenEndpoint: url, user: 'ada', key: {}, device: {} };

  it.each<[CallableFunction, readonly unknown[], string?]>([
    [windows.buildKast, [{}, x]],
    [windows.buildWcceAttributes, [x]],
    [policy.checkNewPin, [BYTES, policy.definePinPolicy(), x]],
    [policy.judgePin, [BYTES, policy.definePinPolicy(), x], 'checkNewPin'],
    [policy.explainPolicy, [[], x]],
    [policy.pinFromFile, [file, x]],
    [policy.mergePolicy, [[], x]],
    [policy.addToPinHistory, [{ entries: [] }, BYTES, { keep: 0, ...x }]],
    [policy.pinHistoryContains, [{ entries: [] }, BYTES, x]],
    [policy.readPolicyFile, [file, x]],
    [policy.readRegistryExport, ['', x]],
    [policy.layerOf, [{}, x]],
    [policy.parseLayer, ['{}', x]],
    [policy.readSyncMl, ['', x]],
    [policy.readWindowsRegistry, [x]],
    [registration.attestationCaEnrolment, [{ url, ...x }]],
    [registration.enrolAttestationKey, [{}, x]],
    [registration.authenticateWithDeviceCode, [demand, { onCode: neverSent, fetch: neverSent, ...x }]],
    [registration.discoverServices, [url, { fetch: neverSent, ...x }]],
    [registration.ekCertificateService, [x]],
    [registration.deleteHelloMethod, ['ada', '7', graph]],
    [registration.graphReader, [graph]],
    [registration.listHelloMethods, ['ada', graph]],
    [registration.readMethodDevice, ['ada', '7', graph]],
    [registration.takeBackKey, [key, graph]],
    [registration.ldapReader, [{}, { base: 'DC=contoso', ...x }]],
    [registration.registerKey, [{ endpoint: url }, { token: 't' }, { fetch: neverSent, ...x }]],
    [registration.signInWithKey, [signing, { fetch: neverSent, ...x }]],
    [
      registration.syncStatus,
      [{ user: 'ada', keyId: new Uint8Array(32), deviceId: 'pc-17', registered: new Date() }, x],
    ],
    [registration.waitForSync, [{}, { reader: {}, ...x }]],
    [provisioningEvent, [{ result: 'will-provision', facts: {}, findings: [] }, x]],
    [inspect, [BYTES, x]],
  ])('is refused by name: %o', async (call, args, name = call.name) => {
    const said = await asyncRefusal(async () => Reflect.apply(call, undefined, args));
    expect(said).toContain(`foreign: TypeError: ${name} has no option 'x'`);
  });
});

describe('a function that builds', () => {
  it.each<[string, CallableFunction, readonly unknown[]]>([
    ['buildTcgCsrIdevid', tcg.buildTcgCsrIdevid, []],
    ['buildAkCertificate', tcg.buildAkCertificate, []],
    ['buildEkCertificate', tcg.buildEkCertificate, []],
    ['buildJws', services.buildJws, []],
    ['buildCertificateRequest', x509.buildCertificateRequest, []],
    ['buildEnvelope', x509.buildEnvelope, [BYTES, BYTES]],
    ['buildPkinitCertificate', windows.buildPkinitCertificate, [{}, {}]],
  ])('refuses forgotten and unknown options by name: %s', async (name, build, before) => {
    const call = (...more: readonly unknown[]) =>
      asyncRefusal(async () => Reflect.apply(build, undefined, [...before, ...more]));
    const isForgotten = before.length === 0;
    if (isForgotten) expect(await call()).toContain(`foreign: TypeError: ${name} needs an options object`);
    expect(await call({ x: 1 })).toContain(`foreign: TypeError: ${name} has no option 'x'`);
  });
});
