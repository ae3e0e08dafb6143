import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { verifyStatement } from '../../../../src/attestation/index.ts';
import { type Bytes, concat, fromHex, toHex, utf8 } from '../../../../src/bytes.ts';
import { type CborMap, type CborValue, decodeCbor, encodeCbor, isMap } from '../../../../src/crypto/cbor.ts';
import { digest } from '../../../../src/crypto/kdf.ts';
import { COSE_ALG } from '../../../../src/formats/webauthn/cose-key.ts';
import {
  type AuthenticatorData,
  computeRpIdHash,
  decodeAaguid,
  decodeAuthenticatorData,
  encodeAaguid,
  encodeAuthenticatorData,
  WINDOWS_HELLO_AAGUID,
} from '../../../../src/formats/webauthn/webauthn-authenticator-data.ts';
import {
  buildWebauthnClientData,
  parseWebauthnClientData,
} from '../../../../src/formats/webauthn/webauthn-client-data.ts';
import {
  buildWebauthnTpm,
  computeWebauthnExtraData,
  decodeWebauthnTpm,
  encodeWebauthnTpm,
  statementFromWebauthnTpm,
} from '../../../../src/formats/webauthn/webauthn-tpm.ts';
import { decode } from '../../../../src/tpm/codec/index.ts';
import { publicKeyOf } from '../../../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../../../src/tpm/structures/object.ts';
import { AK_CERTIFICATE, issue } from '../../../certificates.ts';
import { refusal } from '../../../refusal.ts';
import { flipped, paperStatement } from '../../attestation/paper-tpm.ts';

const { tpm: w3c } = JSON.parse(readFileSync('test/vectors/webauthn.json', 'utf8'));
const { statements } = JSON.parse(readFileSync('test/vectors/attestation.json', 'utf8'));
const w3cObject = fromHex(w3c.attestationObjectHex);
const clientDataJson = utf8(w3c.clientDataJSON);

describe('the TPM object of the specification', () => {
  const object = decodeWebauthnTpm(w3cObject);

  it('is read, and written to the same bytes', () => {
    const { pubArea, certInfo, bareSignature } = statements[0].input;
    expect(object.algorithm).toBe(COSE_ALG.ES256);
    expect(object.certificates.map(({ length }) => length)).toEqual([570]);
    expect(toHex(object.pubArea)).toBe(pubArea);
    expect(toHex(object.certInfo)).toBe(certInfo);
    expect(toHex(object.signature)).toBe(bareSignature);
    expect(toHex(encodeWebauthnTpm(object))).toBe(w3c.attestationObjectHex);
  });

  it('has authenticator data that are read, and written to the same bytes', () => {
    const data = decodeAuthenticatorData(object.authData);
    expect(data).toEqual({
      rpIdHash: computeRpIdHash(w3c.rpId),
      userPresent: true,
      userVerified: true,
      backupEligible: true,
      backedUp: false,
      signCount: 0,
      credential: {
        aaguid: fromHex(w3c.aaguidHex),
        credentialId: fromHex(w3c.credentialIdHex),
        key: { algorithm: -7, publicKey: publicKeyOf(decode(TPMT_PUBLIC, object.pubArea)) },
      },
    });
    expect(toHex(encodeAuthenticatorData(data))).toBe(toHex(object.authData));
  });

  it("contains the statement that its attestation key signed, for its client data's challenge", () => {
    const { akPubArea, challenge } = statements[0].input;
    const extraData = computeWebauthnExtraData({ authData: object.authData, clientDataJson });
    expect(toHex(extraData)).toBe(challenge);
    const statement = statementFromWebauthnTpm(object, fromHex(akPubArea));
    const { findings } = verifyStatement(statement, {
      challenge: extraData,
      attestationKey: { pubArea: fromHex(akPubArea) },
    });
    // The published key was not made in a TPM, and says so.
    expect(findings.filter(({ status }) => status === 'fail').map(({ id }) => id)).toEqual(statements[0].expect);
    expect(toHex(buildWebauthnTpm(statement, { authData: object.authData, clientDataJson }))).toBe(
      w3c.attestationObjectHex,
    );
  });

  it('has client data that are read, and written to the same bytes', () => {
    const clientData = parseWebauthnClientData(clientDataJson);
    expect(clientData).toEqual({
      type: 'webauthn.create',
      challenge: fromHex(w3c.challengeHex),
      origin: w3c.origin,
      crossOrigin: false,
    });
    expect(buildWebauthnClientData(clientData)).toEqual(clientDataJson);
  });
});

const certificates = [(await issue(AK_CERTIFICATE)).der, fromHex('3003020102')];
const clientData = buildWebauthnClientData({
  type: 'webauthn.create',
  challenge: fromHex('c0ffee'),
  origin: 'https://login.example',
  crossOrigin: false,
});

/** A statement by a paper TPM for a WebAuthn registration. */
function registration(keyKind: 'rsa-2048' | 'p-256', akKind: 'rsa-2048' | 'p-256') {
  const { pubArea } = paperStatement(keyKind, akKind);
  const authData = encodeAuthenticatorData({
    rpIdHash: computeRpIdHash('login.example'),
    userPresent: true,
    userVerified: true,
    backupEligible: false,
    backedUp: false,
    signCount: 1,
    credential: {
      aaguid: encodeAaguid(WINDOWS_HELLO_AAGUID),
      credentialId: fromHex('00112233'),
      key: { publicKey: publicKeyOf(decode(TPMT_PUBLIC, pubArea)), algorithm: keyKind === 'p-256' ? -7 : -257 },
    },
  });
  const extraData = computeWebauthnExtraData({ authData, clientDataJson: clientData });
  const { ak, ...rest } = paperStatement(keyKind, akKind, { certInfo: (attest) => ({ ...attest, extraData }) });
  return { statement: { ...rest, ak: { ...ak, certificates } }, authData, extraData };
}

/** SEQUENCE of two INTEGERs, each shorter by the zeros that its number begins with. */
const DER_SIGNATURE = /^30[34][0-9a-f]02/;

describe.each([
  ['rsa-2048', 'rsa-2048', -257],
  ['p-256', 'rsa-2048', -257],
  ['rsa-2048', 'p-256', -7],
  ['p-256', 'p-256', -7],
] as const)('a WebAuthn object for a %s key, certified with %s', (keyKind, akKind, algorithm) => {
  const { statement, authData, extraData } = registration(keyKind, akKind);
  const bytes = buildWebauthnTpm(statement, { authData, clientDataJson: clientData });

  it('contains the statement, with a bare signature', () => {
    const object = decodeWebauthnTpm(bytes);
    const { pubArea, certInfo } = statement;
    expect(object).toMatchObject({ algorithm, certificates, pubArea, certInfo, authData });
    if (akKind === 'rsa-2048') expect(object.signature).toEqual(statement.signature.subarray(6));
    else expect(toHex(object.signature)).toMatch(DER_SIGNATURE);
    const { creation: _, akCreation: __, ...certified } = statement;
    const again = statementFromWebauthnTpm(object, statement.ak.pubArea);
    expect(again).toEqual(certified);
    const attestationKey = { pubArea: statement.ak.pubArea };
    expect(verifyStatement(again, { challenge: extraData, attestationKey }).ok).toBe(true);
  });

  it('is CTAP2 canonical CBOR: fmt, attStmt, authData; alg, sig, ver, x5c, pubArea, certInfo', () => {
    const outer = decodeCbor(bytes);
    expect(isMap(outer) && [...outer.keys()]).toEqual(['fmt', 'attStmt', 'authData']);
    const inner = isMap(outer) && outer.get('attStmt');
    expect(inner && isMap(inner) && [...inner.keys()]).toEqual(['alg', 'sig', 'ver', 'x5c', 'pubArea', 'certInfo']);
  });
});

describe('buildWebauthnTpm', () => {
  const { statement, authData } = registration('p-256', 'p-256');
  const context = { authData, clientDataJson: clientData };
  it.each([
    ['without certificates', { ...statement, ak: { pubArea: statement.ak.pubArea } }, context, /has no certificate$/],
    ['of another key', registration('rsa-2048', 'p-256').statement, context, /is not the attested key$/],
    ['for other client data', statement, { ...context, clientDataJson }, /was certified for other/],
    ['for other authenticator data', statement, { ...context, authData: flipped(authData, 36) }, /certified for other/],
    ['whose signature cannot be read', { ...statement, signature: fromHex('0018') }, context, /signature: /],
    ['for data without credential', statement, { ...context, authData: authDataHead() }, /has no credential$/],
  ])('refuses a statement %s', (_, given, where, problem) => {
    const said = refusal(() => buildWebauthnTpm(given, where));
    expect(said).toMatch(/^request-invalid: /);
    expect(said).toMatch(problem);
  });

  it('uses the hash of the signature for the challenge', () => {
    expect(computeWebauthnExtraData(context, 'sha384')).toEqual(
      digest('sha384', authData, digest('sha256', clientData)),
    );
  });
});

describe('decodeWebauthnTpm', () => {
  const outer = decodeCbor(w3cObject) as CborMap;
  const inner = outer.get('attStmt') as CborMap;
  const changed = (map: CborMap, name: string, value: CborValue | undefined) => {
    const other = new Map(map);
    if (value === undefined) other.delete(name);
    else other.set(name, value);
    return other;
  };
  const withOuter = (name: string, value: CborValue | undefined) => encodeCbor(changed(outer, name, value));
  const withInner = (name: string, value: CborValue | undefined) => withOuter('attStmt', changed(inner, name, value));
  const authData = outer.get('authData') as Bytes;
  it.each([
    ['no map', encodeCbor('tpm'), /attestation object: not a map$/],
    ['fmt packed', withOuter('fmt', 'packed'), /fmt: "packed", not "tpm"$/],
    ['no attStmt', withOuter('attStmt', undefined), /attStmt: not a map$/],
    ['no authData', withOuter('authData', undefined), /no authData$/],
    ['a further member', withOuter('epAtt', false), /unknown member "epAtt"$/],
    ['ver 1.2', withInner('ver', '1.2'), /ver: "1.2", not "2.0"$/],
    ['no ver', withInner('ver', undefined), /ver: undefined, not/],
    ['alg as text', withInner('alg', 'ES256'), /alg: not a number$/],
    ['x5c empty', withInner('x5c', []), /x5c: not an array of certificates$/],
    ['x5c of text', withInner('x5c', ['MII']), /x5c: a certificate is not a byte string$/],
    ['x5c cut off', withInner('x5c', [fromHex('300302')]), /x5c: certificate: cut off/],
    ['ecdaaKeyId', withInner('ecdaaKeyId', new Uint8Array(1)), /unknown member "ecdaaKeyId"$/],
    ['no sig', withInner('sig', undefined), /sig: it must be a non-empty byte string$/],
    ['an empty sig', withInner('sig', new Uint8Array(0)), /sig: it must be a non-empty byte string$/],
    ['certInfo cut off', withInner('certInfo', (inner.get('certInfo') as Bytes).subarray(1)), /certInfo: TPMS_ATTEST/],
    ['pubArea as TPM2B', withInner('pubArea', concat(fromHex('0056'), inner.get('pubArea') as Bytes)), /pubArea: /],
    ['another credential key', withOuter('authData', registration('p-256', 'p-256').authData), /not the attested key$/],
    ['authData too short', withOuter('authData', authData.subarray(0, 36)), /length 36, at least 37 bytes expected$/],
  ] as [string, Bytes, RegExp][])('refuses %s', (_, bytes, problem) => {
    const said = refusal(() => decodeWebauthnTpm(bytes));
    expect(said).toMatch(/^request-invalid: /);
    expect(said).toMatch(problem);
  });

  it('refuses an object that is cut off at any byte', () => {
    for (let length = 0; length < w3cObject.length; length++) {
      expect(refusal(() => decodeWebauthnTpm(w3cObject.subarray(0, length)))).toMatch(/^request-invalid: /);
    }
  });

  it('reads a changed object, or refuses it with its own error', () => {
    fc.assert(
      fc.property(fc.nat({ max: w3cObject.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        expect(refusal(() => decodeWebauthnTpm(flipped(w3cObject, at, mask)))).toMatch(
          /^(?:nothing thrown$|request-invalid: )/,
        );
      }),
      { numRuns: 300 },
    );
  });

  it("is refused if the algorithm differs from the attestation key's", () => {
    const object = { ...decodeWebauthnTpm(w3cObject), algorithm: COSE_ALG.ES384 };
    expect(refusal(() => statementFromWebauthnTpm(object, fromHex(statements[0].input.akPubArea)))).toMatch(
      /^request-invalid: WebAuthn tpm object: alg -35 is not the attestation key's algorithm$/,
    );
  });
});

function authDataHead(): Bytes {
  const { credential: _, ...data } = decodeAuthenticatorData(decodeWebauthnTpm(w3cObject).authData);
  return encodeAuthenticatorData(data);
}

describe('authenticator data', () => {
  const { credential } = decodeAuthenticatorData(decodeWebauthnTpm(w3cObject).authData);
  const flags = { userPresent: fc.boolean(), userVerified: fc.boolean(), backupEligible: fc.boolean() };
  const any: fc.Arbitrary<AuthenticatorData> = fc.record(
    {
      ...{ ...flags, backedUp: fc.boolean(), signCount: fc.nat({ max: 2 ** 32 - 1 }) },
      rpIdHash: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      credential: fc.constant(credential ?? expect.unreachable('the vector has a credential')),
      extensions: fc.constant(new Map<string, CborValue>([['credProtect', 2]])),
    },
    { requiredKeys: ['rpIdHash', 'userPresent', 'userVerified', 'backupEligible', 'backedUp', 'signCount'] },
  );

  it('are read as they were written, and refused when cut off at any byte or with a byte left over', () => {
    fc.assert(
      fc.property(any, (data) => {
        const bytes = encodeAuthenticatorData(data);
        expect(decodeAuthenticatorData(bytes)).toEqual(data);
        for (let length = 0; length < bytes.length; length++) {
          expect(refusal(() => decodeAuthenticatorData(bytes.subarray(0, length)))).toMatch(/^request-invalid: /);
        }
        expect(refusal(() => decodeAuthenticatorData(concat(bytes, new Uint8Array(1))))).toMatch(/1 byte left over$/);
      }),
      { numRuns: 30 },
    );
  });

  it('are refused with reserved flags, and with extensions that are not a map', () => {
    const head = authDataHead();
    expect(refusal(() => decodeAuthenticatorData(flipped(head, 32, 0x02)))).toMatch(/reserved flags are set in 0xf$/);
    expect(refusal(() => decodeAuthenticatorData(flipped(head, 32, 0x20)))).toMatch(/reserved flags are set in 0x2d$/);
    const withArray = concat(flipped(head, 32, 0x80), fromHex('80'));
    expect(refusal(() => decodeAuthenticatorData(withArray))).toMatch(/the extensions are not a map$/);
  });

  it('are not written with parts of a wrong size', () => {
    const data = decodeAuthenticatorData(authDataHead());
    const withCredential = (part: object) => ({
      ...data,
      credential: { ...(credential ?? expect.unreachable()), ...part },
    });
    for (const wrong of [
      { ...data, rpIdHash: new Uint8Array(31) },
      { ...data, signCount: 2 ** 32 },
      { ...data, signCount: -1 },
      withCredential({ aaguid: new Uint8Array(15) }),
      withCredential({ credentialId: new Uint8Array(0) }),
      withCredential({ credentialId: new Uint8Array(1024) }),
    ]) {
      expect(() => encodeAuthenticatorData(wrong)).toThrow(RangeError);
    }
  });
});

describe('client data', () => {
  it('keep a quote, a backslash, and other characters unchanged', () => {
    const origin = 'https://"\\é.example';
    const bytes = buildWebauthnClientData({
      type: 'webauthn.get',
      challenge: fromHex('ff'),
      origin,
      crossOrigin: true,
    });
    expect(Buffer.from(bytes).toString()).toBe(
      '{"type":"webauthn.get","challenge":"_w","origin":"https://\\"\\\\é.example","crossOrigin":true}',
    );
    expect(parseWebauthnClientData(bytes).origin).toBe(origin);
  });

  it.each([
    ['no JSON', '{', /JSON/],
    ['a list', '[]', /not a JSON object$/],
    ['another type', '{"type":"payment.get"}', /type: not one of webauthn.create, webauthn.get$/],
    ['no challenge', '{"type":"webauthn.get","origin":"o"}', /challenge: missing$/],
    ['a padded challenge', '{"type":"webauthn.get","challenge":"_w==","origin":"o"}', /challenge: not canonical/],
    ['a line break in the origin', '{"type":"webauthn.get","challenge":"","origin":"a\\n"}', /origin: it has control/],
    ['half a character in the origin', '{"type":"webauthn.get","challenge":"","origin":"\\ud800"}', /it has control/],
    ['an origin that is no text', '{"type":"webauthn.get","challenge":"","origin":1}', /origin: not a string$/],
    [
      'crossOrigin as text',
      '{"type":"webauthn.get","challenge":"","origin":"","crossOrigin":""}',
      /not true or false$/,
    ],
  ])('are refused with %s', (_, json, problem) => {
    const said = refusal(() => parseWebauthnClientData(utf8(json)));
    expect(said).toMatch(/^request-invalid: clientDataJSON/);
    expect(said).toMatch(problem);
  });

  it('may lack crossOrigin and have unknown members', () => {
    const json = '{"type":"webauthn.create","challenge":"","origin":"o","new":[1]}';
    expect(parseWebauthnClientData(utf8(json))).toMatchObject({ crossOrigin: false, origin: 'o' });
  });

  it('are not written with control characters', () => {
    const parts = { type: 'webauthn.create', challenge: fromHex('00'), crossOrigin: false } as const;
    expect(() => buildWebauthnClientData({ ...parts, origin: 'https://a\n' })).toThrow(TypeError);
  });
});

describe('an AAGUID', () => {
  it('is 16 bytes, in the order of its text', () => {
    expect(toHex(encodeAaguid(WINDOWS_HELLO_AAGUID))).toBe('08987058cadc4b81b6e130de50dcbe96');
    expect(decodeAaguid(encodeAaguid(WINDOWS_HELLO_AAGUID.toUpperCase()))).toBe(WINDOWS_HELLO_AAGUID);
    for (const text of ['', '08987058cadc4b81b6e130de50dcbe96', `${WINDOWS_HELLO_AAGUID}0`]) {
      expect(() => encodeAaguid(text)).toThrow(TypeError);
    }
    expect(refusal(() => decodeAaguid(new Uint8Array(15)))).toBe('request-invalid: AAGUID: 15 bytes; an AAGUID has 16');
  });
});
