import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeActivationChallenge,
  decodeActivationResponse,
  encodeActivationChallenge,
  encodeActivationResponse,
} from '../../src/attestation/index.ts';
import { copy } from '../../src/bytes.ts';
import { KeyprovError } from '../../src/errors.ts';
import * as services from '../../src/formats/services/index.ts';
import * as webauthn from '../../src/formats/webauthn/index.ts';
import * as windows from '../../src/formats/windows/index.ts';
import * as x509 from '../../src/formats/x509/index.ts';
import { anyText } from '../any-text.ts';
import { ecKey } from '../signing-key.ts';

const { publicKey } = ecKey('P-256');

/** An encoder, its decoder, and values of the encoder's type, which it may refuse. */
interface Pair {
  readonly values: fc.Arbitrary<unknown>;
  readonly encode: (value: never) => unknown;
  readonly decode: (written: never) => unknown;
}
const pair = <T, Written>(
  values: fc.Arbitrary<T>,
  encode: (value: T) => Written,
  decode: (written: Written) => unknown,
): Pair => ({ values, encode, decode });
/** The same for an encoder of JSON. */
const jsonPair = <T>(values: fc.Arbitrary<T>, encode: (value: T) => object, decode: (json: string) => unknown): Pair =>
  pair(values, (value) => JSON.stringify(encode(value)), decode);

/** Some are longer than a limit, and some end in half of a character. */
const text = fc.oneof(
  { weight: 50, arbitrary: anyText },
  { weight: 8, arbitrary: fc.constantFrom('', ' ', '\ud800', 'a\n', 'a/b', '\ufeffa', '__proto__') },
  { weight: 1, arbitrary: fc.constantFrom(17_000, 300_000).map((length) => 'x'.repeat(length)) },
);
const some = fc.oneof(
  { weight: 50, arbitrary: fc.uint8Array({ maxLength: 70 }).map(copy) },
  { weight: 1, arbitrary: fc.constantFrom(0xffff, 0x1_0000, 140_000).map((length) => new Uint8Array(length)) },
);
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(copy);
const byte = fc.integer({ min: -1, max: 257 });
const oid = fc.constantFrom('2.23.133.1.2', '1.2.840.113549', '0.9.2342', '1', '3.1', '1.99.1', '2.999.1');
const time = fc.bigInt({ min: -1n, max: 2n ** 64n });
const credential = fc.record({ credentialBlob: some, encryptedSecret: some });
const guid = fc.uuid();

const alternativeName = fc.oneof(
  fc.record({ kind: fc.constantFrom('dns', 'email', 'uri'), value: text }),
  fc.record({ kind: fc.constant('ip'), value: some }),
  fc.record({ kind: fc.constant('permanent-identifier'), value: text, assigner: oid }, { requiredKeys: ['kind'] }),
  fc.record({ kind: fc.constant('hardware-module'), type: oid, serialNumber: some }),
) as fc.Arbitrary<x509.AlternativeName>;
const deviceName = fc.oneof(
  fc.record({ kind: fc.constant('permanent-identifier'), value: text, assigner: oid }, { requiredKeys: ['kind'] }),
  fc.record({ kind: fc.constant('hardware-module'), type: oid, serialNumber: some }),
) as fc.Arbitrary<services.DeviceName>;

const PAIRS: Readonly<Record<string, Pair>> = {
  ActivationChallenge: jsonPair(
    credential.map((one) => ({ version: 1 as const, ...one })),
    encodeActivationChallenge,
    decodeActivationChallenge,
  ),
  ActivationResponse: jsonPair(
    some.map((secret) => ({ version: 1 as const, secret })),
    encodeActivationResponse,
    decodeActivationResponse,
  ),
  SizedCredential: pair(credential, services.encodeSizedCredential, services.decodeSizedCredential),
  Tpm2ToolsCredential: pair(credential, services.encodeTpm2ToolsCredential, services.decodeTpm2ToolsCredential),
  KeylimeBlob: pair(credential, services.encodeKeylimeBlob, services.decodeKeylimeBlob),
  GoAttestationCredential: jsonPair(
    credential,
    services.encodeGoAttestationCredential,
    services.decodeGoAttestationCredential,
  ),
  SmallstepCredential: jsonPair(credential, services.encodeSmallstepCredential, services.decodeSmallstepCredential),
  SmallstepSecret: jsonPair(some, services.buildSmallstepSecret, services.parseSmallstepSecret),
  SmallstepChain: jsonPair(
    fc.array(some, { maxLength: 3 }),
    services.buildSmallstepChain,
    services.parseSmallstepChain,
  ),
  AcmeIdentifier: jsonPair(deviceName, services.encodeAcmeIdentifier, (json) =>
    services.decodeAcmeIdentifier(JSON.parse(json)),
  ),
  SshPublicKeyLine: pair(
    fc.record({ publicKey: fc.constant(publicKey), comment: text }),
    services.encodeSshPublicKeyLine,
    services.decodeSshPublicKeyLine,
  ),
  // The tag is computed from the secret: only the id is read back.
  KeylimeActivation: pair(
    fc.oneof(text, fc.stringMatching(/^[\w.-]{1,9}$/)),
    (agentId) => services.buildKeylimeActivation(agentId, new Uint8Array(1), agentId.length % 2 === 0 ? '2.2' : '3.0'),
    (request) => services.parseKeylimeActivation(request).agentId,
  ),
  TachChallenge: pair(
    fc.tuple(credential, some).map(([one, aikOpaque]) => ({ ...one, aikOpaque })),
    windows.encodeTachChallenge,
    windows.decodeTachChallenge,
  ),
  DnBinary: pair(
    fc.record({
      binary: some,
      dn: fc.oneof(
        text,
        text.map((name) => `CN=${name}`),
      ),
    }),
    windows.encodeDnBinary,
    windows.decodeDnBinary,
  ),
  Guid: pair(fc.oneof(guid, text), windows.encodeGuid, windows.decodeGuid),
  FileTime: pair(fc.date(), windows.encodeFileTime, windows.decodeFileTime),
  CustomKeyInformation: pair(
    fc.oneof(
      fc.record({ version: byte, flags: byte, volumeType: byte }, { requiredKeys: ['version', 'flags'] }),
      fc.record({
        ...{ version: byte, flags: byte, volumeType: byte, supportsNotification: byte },
        ...{ fekKeyVersion: byte, keyStrength: byte, rest: some.filter(({ length }) => length > 0) },
      }),
    ),
    windows.encodeCustomKeyInformation,
    windows.decodeCustomKeyInformation,
  ),
  // The entries are compared in the test of the format.
  KeyCredentialLink: pair(
    fc.record(
      {
        ...{ keyMaterial: some, keyId: some, usage: byte, source: byte, deviceId: fc.oneof(guid, text) },
        ...{ lastLogon: time, created: time },
      },
      { requiredKeys: ['keyMaterial', 'keyId', 'usage'] },
    ),
    windows.buildKeyCredentialLink,
    (blob) => {
      const { entries: _, keyHash: __, ...rest } = windows.parseKeyCredentialLink(blob);
      return rest;
    },
  ),
  Aaguid: pair(fc.oneof(guid, text), webauthn.encodeAaguid, webauthn.decodeAaguid),
  WebauthnClientData: pair(
    fc.record({
      type: fc.constantFrom('webauthn.create', 'webauthn.get', 'payment.get') as fc.Arbitrary<'webauthn.get'>,
      ...{ challenge: some, origin: text, crossOrigin: fc.boolean() },
    }),
    webauthn.buildWebauthnClientData,
    webauthn.parseWebauthnClientData,
  ),
  AuthenticatorData: pair(
    fc.record(
      {
        ...{ rpIdHash: digest, userPresent: fc.boolean(), userVerified: fc.boolean(), backupEligible: fc.boolean() },
        ...{ backedUp: fc.boolean(), signCount: fc.integer({ min: -1, max: 2 ** 32 }) },
        credential: fc.record({
          ...{ aaguid: some.map((bytes) => (bytes.length > 16 ? bytes.slice(0, 16) : bytes)), credentialId: some },
          key: fc.constant({ publicKey, algorithm: webauthn.COSE_ALG.ES256 }),
        }),
        extensions: fc.dictionary(fc.string(), fc.boolean()).map((object) => new Map(Object.entries(object))),
      },
      { requiredKeys: ['rpIdHash', 'userPresent', 'userVerified', 'backupEligible', 'backedUp', 'signCount'] },
    ),
    webauthn.encodeAuthenticatorData,
    webauthn.decodeAuthenticatorData,
  ),
  CoseKey: pair(
    fc.record({
      publicKey: fc.constant(publicKey),
      algorithm: fc.oneof(
        fc.integer(),
        fc.double().filter((number) => !Object.is(number, -0)),
      ),
    }),
    webauthn.encodeCoseKey,
    webauthn.decodeCoseKey,
  ),
  AlternativeNames: pair(
    fc.array(alternativeName, { maxLength: 3 }),
    x509.encodeAlternativeNames,
    x509.decodeAlternativeNames,
  ),
};

const isRefusal = (error: unknown): boolean =>
  error instanceof KeyprovError || error instanceof TypeError || error instanceof RangeError;

describe('what an encoder accepts', () => {
  it.each(Object.entries(PAIRS))('is read back as it was: %s', (name, { values, encode, decode }) => {
    let accepted = 0;
    fc.assert(
      fc.property(values, (value) => {
        let written: unknown;
        try {
          written = encode(value as never);
        } catch (error) {
          if (isRefusal(error)) return;
          throw error;
        }
        accepted++;
        const found = decode(written as never);
        const expected = name === 'Guid' || name === 'Aaguid' ? String(value).toLowerCase() : value;
        // `toEqual` takes long for many bytes.
        if (!isDeepStrictEqual(found, expected)) expect(found).toEqual(expected);
      }),
      { numRuns: 120 },
    );
    expect(accepted).toBeGreaterThan(0);
  });
});
