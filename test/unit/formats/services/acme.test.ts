import { beforeAll, describe, expect, it } from 'vitest';
import { verifyStatement } from '../../../../src/attestation/index.ts';
import { fromBase64Url, fromHex, toBase64Url, toHex, utf8 } from '../../../../src/bytes.ts';
import { decodeCbor, isMap } from '../../../../src/crypto/cbor.ts';
import { decodeJwk } from '../../../../src/crypto/jwk.ts';
import { digest } from '../../../../src/crypto/kdf.ts';
import { encodeSpki, type PublicKey } from '../../../../src/crypto/public-key.ts';
import {
  buildAcmeDeviceAttest,
  computeAcmeExtraData,
  computeAcmeKeyAuthorization,
  encodeAcmeDeviceAttest,
  parseAcmeDeviceAttest,
  statementFromAcmeDeviceAttest,
} from '../../../../src/formats/services/acme-device-attest.ts';
import {
  computeEkDeviceName,
  decodeAcmeIdentifier,
  encodeAcmeIdentifier,
} from '../../../../src/formats/services/acme-identifier.ts';
import { type VerifyAcmeOptions, verifyAcmeDeviceAttest } from '../../../../src/formats/services/verify-acme.ts';
import {
  decodeAlternativeNames,
  EK_IDENTIFIER,
  encodeAlternativeNames,
} from '../../../../src/formats/x509/alternative-names.ts';
import { createTestAuthority } from '../../../../src/testing/test-authority.ts';
import { decode } from '../../../../src/tpm/codec/index.ts';
import { publicKeyOf } from '../../../../src/tpm/public-key.ts';
import { TPMT_PUBLIC } from '../../../../src/tpm/structures/object.ts';
import {
  AK_CERTIFICATE,
  buildCommonName,
  type CertificateSpec,
  issue,
  issueAuthority,
  type TestCertificate,
} from '../../../certificates.ts';
import { refusal } from '../../../refusal.ts';
import { paperStatement } from '../../attestation/paper-tpm.ts';

/** The key of RFC 7638, 3.1, whose thumbprint is published there. */
const rfc7638 = decodeJwk({
  kty: 'RSA',
  e: 'AQAB',
  n: '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw',
});
const TOKEN = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA';
const AUTHORIZATION = `${TOKEN}.NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs`;

const akCertificate = (await issue(AK_CERTIFICATE)).der;

describe('the challenge of device-attest-01', () => {
  it('is SHA-256 of token and thumbprint', () => {
    expect(computeAcmeKeyAuthorization(TOKEN, rfc7638)).toBe(AUTHORIZATION);
    expect(computeAcmeExtraData(TOKEN, rfc7638)).toEqual(digest('sha256', utf8(AUTHORIZATION)));
  });
});

describe.each([
  ['rsa-2048', 'p-256', -7],
  ['p-256', 'rsa-2048', -257],
] as const)('an answer for a %s key, certified with %s', (keyKind, akKind, algorithm) => {
  const certificates = [akCertificate];
  const extraData = computeAcmeExtraData(TOKEN, rfc7638);
  const paper = paperStatement(keyKind, akKind, { certInfo: (attest) => ({ ...attest, extraData }) });
  const statement = { ...paper, ak: { ...paper.ak, certificates } };
  const payload = buildAcmeDeviceAttest(statement);

  it('contains the statement, with the TPMT_SIGNATURE and without authenticator data', () => {
    const { attObj, ...rest } = JSON.parse(payload);
    expect(rest).toEqual({});
    const outer = decodeCbor(fromBase64Url(attObj));
    expect(isMap(outer) && [...outer.keys()]).toEqual(['fmt', 'attStmt']);
    const object = parseAcmeDeviceAttest(payload);
    const { pubArea, certInfo, signature } = statement;
    expect(object).toEqual({ algorithm, certificates, pubArea, certInfo, signature });
    expect(encodeAcmeDeviceAttest(object)).toBe(payload);
    const again = statementFromAcmeDeviceAttest(object, statement.ak.pubArea);
    const { creation: _, akCreation: __, ...certified } = statement;
    expect(again).toEqual(certified);
    const attestationKey = { pubArea: statement.ak.pubArea };
    expect(verifyStatement(again, { challenge: extraData, attestationKey }).ok).toBe(true);
  });

  it('may have unknown members', () => {
    expect(parseAcmeDeviceAttest(JSON.stringify({ ...JSON.parse(payload), error: '' }))).toMatchObject({ algorithm });
  });

  it('is refused without attObj, with padding, cut off, and with a bare signature', () => {
    const { attObj } = JSON.parse(payload);
    const object = parseAcmeDeviceAttest(payload);
    const bytes = fromBase64Url(attObj);
    expect(refusal(() => parseAcmeDeviceAttest('{}'))).toBe(
      'request-invalid: device-attest-01 payload: attObj: missing',
    );
    expect(refusal(() => parseAcmeDeviceAttest('{'))).toMatch(/^request-invalid: device-attest-01 payload: /);
    expect(refusal(() => parseAcmeDeviceAttest(JSON.stringify({ attObj: `${attObj}=` })))).toMatch(
      /^request-invalid: .*not canonical unpadded base64url$/,
    );
    for (let length = 0; length < bytes.length; length += 7) {
      const cut = JSON.stringify({ attObj: toBase64Url(bytes.subarray(0, length)) });
      expect(refusal(() => parseAcmeDeviceAttest(cut))).toMatch(/^request-invalid: /);
    }
    const bare = encodeAcmeDeviceAttest({ ...object, signature: object.signature.subarray(6) });
    expect(refusal(() => parseAcmeDeviceAttest(bare))).toMatch(/^request-invalid: device-attest-01 payload: sig: /);
  });

  it('is refused if alg does not match its signature', () => {
    const object = parseAcmeDeviceAttest(payload);
    for (const other of [-37, algorithm === -7 ? -257 : -7, -65535]) {
      const changed = encodeAcmeDeviceAttest({ ...object, algorithm: other });
      expect(refusal(() => parseAcmeDeviceAttest(changed))).toBe(
        `request-invalid: device-attest-01 payload: alg: it is ${other}, but the signature's algorithm is ${algorithm}`,
      );
    }
  });

  it('is not made with a certificate that verifiers refuse', async () => {
    const { der } = await issue({ ...AK_CERTIFICATE, subject: buildCommonName('ak') });
    const other = { ...paper, ak: { ...paper.ak, certificates: [der] } };
    expect(refusal(() => buildAcmeDeviceAttest(other))).toBe(
      "request-invalid: device-attest-01 payload: the attestation key's certificate: it has a subject",
    );
  });

  it('is not made without certificates', () => {
    expect(refusal(() => buildAcmeDeviceAttest(paper))).toBe(
      'request-invalid: device-attest-01 payload: the attestation key has no certificate',
    );
  });
});

describe('verifyAcmeDeviceAttest', () => {
  const extraData = computeAcmeExtraData(TOKEN, rfc7638);
  const paper = paperStatement('p-256', 'rsa-2048', { certInfo: (attest) => ({ ...attest, extraData }) });
  const { creation: _, akCreation: __, ...statement } = paper;
  const device = { kind: 'permanent-identifier', value: '0123abcd', assigner: EK_IDENTIFIER } as const;
  let root: TestCertificate;
  beforeAll(async () => {
    root = await issueAuthority('attestation CA');
  });
  const answer = async (spec: CertificateSpec = {}, alg = -257) => {
    const spki = encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, statement.ak.pubArea)));
    const { der } = await issue({ ...AK_CERTIFICATE, spki, ...spec }, root);
    const { pubArea, certInfo, signature } = statement;
    return encodeAcmeDeviceAttest({ algorithm: alg, certificates: [der], signature, certInfo, pubArea });
  };
  const failures = async (payload: string, options: Partial<VerifyAcmeOptions> = {}) => {
    const common = { token: TOKEN, accountKey: rfc7638, akRoots: [root.der], minTier: 'ek-certificate' } as const;
    const result = await verifyAcmeDeviceAttest(payload, { ...common, ...options });
    const failed = result.findings.filter(({ status }) => status === 'fail').map(({ id }) => id);
    expect(result.ok).toBe(failed.length === 0);
    if (result.ok) expect(result.publicKey).toEqual(publicKeyOf(decode(TPMT_PUBLIC, statement.pubArea)));
    return failed;
  };

  it('accepts an answer, with a known attestation key too', async () => {
    expect(await failures(await answer())).toEqual([]);
    expect(await failures(await answer(), { akPubArea: statement.ak.pubArea })).toEqual([]);
    await expect(failures(await answer(), Object({ minTeir: 'virtual' }))).rejects.toThrow(
      /'minTeir', did you mean 'minT/,
    );
  });

  it.each<[string, CertificateSpec, Partial<VerifyAcmeOptions>, string[]]>([
    ['for another token', {}, { token: 'x' }, ['challenge']],
    ['of another account', {}, { accountKey: { ...rfc7638, e: fromHex('03') } as PublicKey }, ['challenge']],
    ['under no root', {}, { akRoots: [] }, ['trust', 'ak-trusted', 'tier']],
    ['with a subject', { subject: buildCommonName('ak') }, {}, ['acme/ak-certificate']],
    ['without the name of the device', {}, { device }, ['acme/device']],
  ])('refuses an answer %s', async (_, spec, options, expected) => {
    expect(await failures(await answer(spec), options)).toEqual(expect.arrayContaining(expected));
  });

  it('refuses unreadable input, and an alg that does not match the signature', async () => {
    for (const payload of ['', '{}', '{"attObj":{"toString":1}}', '{"attObj":"","attObj":""}', await answer({}, -7)]) {
      expect([payload, await failures(payload)]).toEqual([payload, ['acme/structures']]);
    }
  });

  it('finds the name of the device', async () => {
    const names = decodeAlternativeNames(encodeAlternativeNames([device]));
    expect(names).toEqual([device]);
    const authority = await createTestAuthority();
    const der = await authority.issueAkCertificate(decode(TPMT_PUBLIC, statement.ak.pubArea), {
      alternativeNames: [device],
    });
    const { pubArea, certInfo, signature } = statement;
    const payload = encodeAcmeDeviceAttest({ algorithm: -257, certificates: [der], signature, certInfo, pubArea });
    const options = { akRoots: [authority.root], minTier: 'virtual' } as const;
    expect(await failures(payload, { ...options, device })).toEqual([]);
    expect(await failures(payload, { ...options, device: { ...device, value: '0123' } })).toEqual(['acme/device']);
  });
});

describe('an ACME identifier', () => {
  const ek = computeEkDeviceName(utf8('certificate'));
  const { value, assigner } = ek as { value: string; assigner: string };

  it('of a TPM is the digest of its EK certificate, with the OID of such digests', () => {
    expect(value).toBe(toHex(digest('sha256', utf8('certificate'))));
    expect(encodeAcmeIdentifier(ek)).toEqual({ type: 'permanent-identifier', value: `${value}/2.23.133.12.1` });
    expect(assigner).toBe('2.23.133.12.1');
  });

  it.each([
    [{ kind: 'permanent-identifier', value: 'ABCDEF123456' }, 'ABCDEF123456'],
    [{ kind: 'permanent-identifier', value: 'ABCDEF123456', assigner: '1.2.3.4' }, 'ABCDEF123456/1.2.3.4'],
    [{ kind: 'hardware-module', type: '1.2.3.4', serialNumber: utf8('ABCD') }, 'ABCD/1.2.3.4'],
    [{ kind: 'hardware-module', type: '2.23.133.1.2', serialNumber: utf8('né') }, 'né/2.23.133.1.2'],
  ] as const)('is made of %j and read again, as is its otherName', (name, text) => {
    const identifier = encodeAcmeIdentifier(name);
    expect(identifier).toEqual({ type: name.kind, value: text });
    expect(decodeAcmeIdentifier(identifier)).toEqual(name);
    expect(decodeAlternativeNames(encodeAlternativeNames([name]))).toEqual([name]);
  });

  it('is not read from bytes that are not UTF-8, which would confuse different devices', () => {
    const bytes = encodeAlternativeNames([{ kind: 'permanent-identifier', value: 'abc' }]);
    bytes[bytes.indexOf(0x62)] = 0xe2;
    expect(refusal(() => decodeAlternativeNames(bytes))).toMatch(/^request-invalid: .*the text is not UTF-8/);
  });

  it.each([
    ['permanent-identifier', ''],
    ['permanent-identifier', '/1.2.3'],
    ['permanent-identifier', 'a/1.2.3/4'],
    ['permanent-identifier', 'a/1.02.3'],
    ['permanent-identifier', 'a/3.1'],
    ['permanent-identifier', 'a/1.40'],
    ['permanent-identifier', 'a/'],
    ['hardware-module', 'a'],
    ['dns', 'example.org'],
  ])('of type %s is refused when it is %j', (type, text) => {
    expect(refusal(() => decodeAcmeIdentifier({ type, value: text }))).toBe(
      `request-invalid: ACME identifier: ${JSON.stringify(text)} of type ${JSON.stringify(type)} is not a device name`,
    );
  });

  it('is not made of a name without value, with a slash, with bytes that are not text, or with a wrong OID', () => {
    for (const name of [
      { kind: 'permanent-identifier', assigner: '1.2.3' },
      { kind: 'permanent-identifier', value: 'a/b' },
      { kind: 'permanent-identifier', value: 'a', assigner: 'b' },
      { kind: 'hardware-module', type: '1.2.3', serialNumber: fromHex('ff') },
    ] as const) {
      expect(() => encodeAcmeIdentifier(name)).toThrow(TypeError);
    }
  });
});
