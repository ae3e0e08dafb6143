import { constants, createHash, privateDecrypt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Certificate, ContentInfo, CryptoEngine, EnvelopedData } from 'pkijs';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Bytes, fromHex, toHex, view } from '../../../../src/bytes.ts';
import { DerNode } from '../../../../src/crypto/der-read.ts';
import { DER_NULL, derOctets, derOid, derSequence, derText, derValue } from '../../../../src/crypto/der-write.ts';
import { encodeSpki } from '../../../../src/crypto/public-key.ts';
import { decodeKast } from '../../../../src/formats/windows/kast.ts';
import {
  buildWcceAttributes,
  buildWcceChallenge,
  computeExchangeCertificateHash,
  decodeAttestationKeyInfo,
  decodeEndorsementKeyInfo,
  ENROLL,
  encodeAttestationKeyInfo,
  encodeEndorsementKeyInfo,
  parseWcceAttributes,
} from '../../../../src/formats/windows/ms-wcce.ts';
import { buildCertificateRequest, parseCertificateRequest } from '../../../../src/formats/x509/certificate-request.ts';
import {
  buildEnvelope,
  decodeContentEncryption,
  decryptEnvelope,
  encodeContentEncryption,
  parseEnvelope,
} from '../../../../src/formats/x509/enveloped-data.ts';
import { buildCommonName, issue } from '../../../certificates.ts';
import { refusal } from '../../../refusal.ts';
import { ecKey, rsaKey } from '../../../signing-key.ts';
import { flipped } from '../../attestation/paper-tpm.ts';

const kast = fromHex(JSON.parse(readFileSync('test/vectors/kast.json', 'utf8')).composed.kastHex);
const CERTIFICATE = fromHex('30020500');
const ek = {
  publicKey: ecKey('P-256').publicKey,
  manufacturerCertificate: CERTIFICATE,
  otherCertificates: [CERTIFICATE],
};
const aik = { publicKey: rsaKey.publicKey, certificate: CERTIFICATE };
const content = fromHex('00112233445566778899aabbccddeeff'.repeat(3));

let exchange: Bytes;
beforeAll(async () => {
  exchange = (await issue({ subject: buildCommonName('CA-Xchg'), spki: encodeSpki(rsaKey.publicKey) })).der;
});

const unwrap = (encryptedKey: Uint8Array, oaepHash: string): Bytes => {
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return view(privateDecrypt({ key: rsaKey.privateKey, padding, oaepHash }, encryptedKey));
};

describe('an envelope', () => {
  it.each(['aes-128-cbc', 'aes-256-cbc', 'des-ede3-cbc'] as const)('with %s is read and decrypted', (cipher) => {
    const der = buildEnvelope(content, exchange, { keyEncryption: 'rsaes-oaep-sha1', contentEncryption: cipher });
    const envelope = parseEnvelope(der);
    expect(decodeContentEncryption(envelope.contentEncryption)).toBe(cipher);
    expect(encodeContentEncryption(cipher)).toBe(envelope.contentEncryption);
    const [recipient, ...more] = envelope.recipients;
    if (recipient === undefined) return expect.unreachable();
    expect(more).toEqual([]);
    expect(recipient.issuer).toEqual([[{ type: '2.5.4.3', value: 'CA-Xchg' }]]);
    expect(recipient.keyEncryption.oid).toBe('1.2.840.113549.1.1.7');
    const key = unwrap(recipient.encryptedKey, 'sha1');
    expect(decryptEnvelope(envelope, key)).toEqual(content);
    // One of 256 wrong keys results in valid-looking padding.
    const wrong = [1, 2, 3, 4].map((byte) =>
      refusal(() => decryptEnvelope(envelope, new Uint8Array(key.length).fill(byte))),
    );
    expect(wrong.filter((said) => said.startsWith('request-invalid: ')).length).toBeGreaterThan(1);
    expect(refusal(() => decryptEnvelope(envelope, new Uint8Array(1)))).toMatch(/^request-invalid: /);
    expect(refusal(() => decryptEnvelope({ ...envelope, contentEncryption: '1.2.3' }, key))).toMatch(/not supported/);
  });

  it('is decrypted by pkijs', async () => {
    const der = buildEnvelope(content, exchange, { keyEncryption: 'rsaes-oaep-sha256' });
    const envelope = new EnvelopedData({ schema: ContentInfo.fromBER(der).content });
    const engine = new CryptoEngine({ name: 'test', crypto: globalThis.crypto });
    const recipientPrivateKey = view(rsaKey.privateKey.export({ type: 'pkcs8', format: 'der' })).buffer;
    const recipientCertificate = Certificate.fromBER(exchange);
    expect(new Uint8Array(await envelope.decrypt(0, { recipientPrivateKey, recipientCertificate }, engine))).toEqual(
      content,
    );
  });

  it('with content in pieces is read; one with indefinite lengths is not', () => {
    const der = buildEnvelope(content, exchange);
    const { encryptedContent } = parseEnvelope(der);
    const pieces = [encryptedContent.subarray(0, 20), encryptedContent.subarray(20)].map((piece) => derOctets(piece));
    const inPieces = (node: DerNode): Uint8Array => {
      if (node.tag === 0x80) return derValue(0xa0, ...pieces);
      return node.tag & 0x20 ? derValue(node.tag, ...node.children().map(inPieces)) : node.der;
    };
    const other = inPieces(DerNode.lenient(der, 'test'));
    expect(other.length).toBeGreaterThan(der.length);
    expect(parseEnvelope(other).encryptedContent).toEqual(encryptedContent);
    expect(refusal(() => parseEnvelope(fromHex('30800000')))).toMatch(/indefinite/);
  });

  it('uses RSAES-PKCS1-v1_5 and AES-256 unless told otherwise', () => {
    const { recipients, contentEncryption } = parseEnvelope(buildEnvelope(content, exchange));
    expect(recipients[0] && toHex(recipients[0].keyEncryption.der)).toBe('300d06092a864886f70d0101010500');
    expect(decodeContentEncryption(contentEncryption)).toBe('aes-256-cbc');
  });

  it('is not made for a certificate with another type of key, or for other bytes', async () => {
    const other = (await issue({ subject: buildCommonName('ec') })).der;
    expect(refusal(() => buildEnvelope(content, other))).toMatch(/its key is not an RSA key/);
    expect(refusal(() => buildEnvelope(content, CERTIFICATE))).toMatch(/^request-invalid: certificate: /);
  });

  it('is refused if it is cut off anywhere, or is something else', () => {
    const der = buildEnvelope(content, exchange);
    for (let length = 0; length < der.length; length++) {
      expect(refusal(() => parseEnvelope(der.subarray(0, length)))).toMatch(/^request-invalid: /);
    }
    for (let at = 0; at < der.length; at++) {
      const read = refusal(() => parseEnvelope(flipped(der, at, 0xff)));
      expect(read).toMatch(/^(?:nothing thrown|request-invalid: )/);
    }
    const signed = derSequence(derOid('1.2.840.113549.1.7.2'), fromHex('a000'));
    expect(refusal(() => parseEnvelope(signed))).toMatch(/it is not EnvelopedData/);
  });
});

describe('key information', () => {
  it('of an endorsement key is written and read, without certificates too', () => {
    expect(decodeEndorsementKeyInfo(encodeEndorsementKeyInfo(ek))).toEqual(ek);
    const { publicKey } = ek;
    const bare = encodeEndorsementKeyInfo({ publicKey });
    expect(toHex(bare)).toBe(toHex(derSequence(encodeSpki(publicKey), DER_NULL)));
    expect(decodeEndorsementKeyInfo(bare)).toEqual({ publicKey, otherCertificates: [] });
    const otherCertificates = Array(4).fill(CERTIFICATE);
    expect(() => encodeEndorsementKeyInfo({ publicKey, otherCertificates })).toThrow(RangeError);
  });

  it('of an attestation key is written and read, without certificate too', () => {
    expect(decodeAttestationKeyInfo(encodeAttestationKeyInfo(aik))).toEqual(aik);
    const { publicKey } = aik;
    expect(decodeAttestationKeyInfo(encodeAttestationKeyInfo({ publicKey }))).toEqual({ publicKey });
  });

  it('is refused with too few or too many parts, or other ones', () => {
    const spki = encodeSpki(aik.publicKey);
    const six = derSequence(spki, DER_NULL, ...Array(4).fill(CERTIFICATE));
    for (const der of [derSequence(spki), six, derSequence(DER_NULL, DER_NULL), derSequence(spki, derOctets())]) {
      expect(refusal(() => decodeEndorsementKeyInfo(der))).toMatch(/^request-invalid: EndorsementKeyInfo: /);
    }
    for (const der of [derSequence(), derSequence(spki, DER_NULL), derSequence(DER_NULL)]) {
      expect(refusal(() => decodeAttestationKeyInfo(der))).toMatch(/^request-invalid: AttestationIdentityKeyInfo: /);
    }
  });
});

describe('the attributes of a request with key attestation', () => {
  it.each([
    ['ek', { ek }, () => encodeEndorsementKeyInfo(ek)],
    ['aik', { aik }, () => encodeAttestationKeyInfo(aik)],
  ] as const)('by %s go through a request and are read', async (kind, keyInfo, encoded) => {
    const options = { kast, keyInfo, exchangeCertificate: exchange, keyEncryption: 'rsaes-oaep-sha256' } as const;
    const attributes = buildWcceAttributes(options);
    const request = await buildCertificateRequest({ subject: [], attributes }, rsaKey);
    const read = parseWcceAttributes(parseCertificateRequest(request).attributes);
    expect(Object.keys(read).sort()).toEqual([kind === 'ek' ? 'ekInfo' : 'aikInfo', 'kast', 'kspName'].sort());
    expect(read.kast).toEqual(kast);
    expect(decodeKast(kast).keyAttestation).toBeDefined();
    expect(read.kspName).toBe('Microsoft Platform Crypto Provider');
    const envelope = read.ekInfo ?? read.aikInfo;
    if (envelope === undefined) return expect.unreachable();
    const key = unwrap(envelope.recipients[0]?.encryptedKey ?? content, 'sha256');
    expect(decryptEnvelope(envelope, key)).toEqual(encoded());
  });

  it("have the OIDs of MS-WCCE, or the Windows SDK's for the statement", () => {
    const options = { kast, keyInfo: { ek }, exchangeCertificate: exchange, kspName: 'X' };
    const oids = buildWcceAttributes(options).map(({ oid }) => oid.slice('1.3.6.1.4.1.311.21.'.length));
    expect(oids).toEqual(['23', '33', '25']);
    const sdk = buildWcceAttributes({ ...options, statementOid: ENROLL.ATTESTATION_STATEMENT_SDK });
    expect(sdk[1]?.oid).toBe('1.3.6.1.4.1.311.21.24');
    expect(parseWcceAttributes(sdk).kast).toEqual(kast);
    expect(sdk[2]?.values).toEqual([fromHex('1e020058')]);
  });

  it('are read with a provider name that ends with a NUL or has another string type, and nothing is invented', () => {
    const ksp = (value: Uint8Array) => parseWcceAttributes([{ oid: ENROLL.KSP_NAME, values: [value] }]);
    expect(ksp(derText('bmp', 'A\0'))).toEqual({ kspName: 'A' });
    expect(ksp(derText('utf8', 'A'))).toEqual({ kspName: 'A' });
    expect(refusal(() => ksp(derOctets()))).toMatch(/the provider name is not a string/);
    expect(parseWcceAttributes([{ oid: '1.2.3', values: [] }])).toEqual({});
  });

  it('are refused with two statements, or one that is not an OCTET STRING', () => {
    const statement = (oid: string, value: Uint8Array = derOctets(kast)) => ({ oid, values: [value] });
    const both = [statement(ENROLL.ATTESTATION_STATEMENT), statement(ENROLL.ATTESTATION_STATEMENT_SDK)];
    expect(refusal(() => parseWcceAttributes(both))).toMatch(/there are two/);
    const wrong = [statement(ENROLL.ATTESTATION_STATEMENT, kast)];
    expect(refusal(() => parseWcceAttributes(wrong))).toMatch(/^request-invalid: attribute 1.3.6.1.4.1.311.21.33: /);
  });
});

describe('the attributes of the answer', () => {
  const challenge = {
    exchangeCertificateHash: fromHex('ab'.repeat(20)),
    challenge: content,
    encryptionAlgorithm: encodeContentEncryption('aes-256-cbc'),
  };

  it('are written and read', () => {
    const attributes = buildWcceChallenge(challenge);
    expect(attributes.map(({ oid }) => oid.slice(-2))).toEqual(['27', '28', '29']);
    expect(parseWcceAttributes(attributes)).toEqual(challenge);
  });

  it('are read with an AlgorithmIdentifier in place of the OID', () => {
    const identifier = derSequence(derOid(challenge.encryptionAlgorithm), DER_NULL);
    const read = parseWcceAttributes([{ oid: ENROLL.ENCRYPTION_ALGORITHM, values: [identifier] }]);
    expect(read).toEqual({ encryptionAlgorithm: challenge.encryptionAlgorithm });
  });

  it('name the exchange certificate by its SHA-1', () => {
    expect(toHex(computeExchangeCertificateHash(exchange))).toBe(createHash('sha1').update(exchange).digest('hex'));
  });
});
