import { readFileSync } from 'node:fs';
import { CertificationRequest, CryptoEngine } from 'pkijs';
import { beforeAll, describe, expect, it } from 'vitest';
import { fromBase64, fromHex, toHex } from '../../../../src/bytes.ts';
import { DerNode } from '../../../../src/crypto/der-read.ts';
import { derOctets, derSequence, derText } from '../../../../src/crypto/der-write.ts';
import { encodeSpki } from '../../../../src/crypto/public-key.ts';
import {
  type AlternativeName,
  decodeAlternativeNames,
  encodeAlternativeNames,
} from '../../../../src/formats/x509/alternative-names.ts';
import type { Attribute } from '../../../../src/formats/x509/attributes.ts';
import {
  buildCertificateRequest,
  type CertificateRequest,
  parseCertificateRequest,
  verifyCertificateRequest,
} from '../../../../src/formats/x509/certificate-request.ts';
import { encodeExtensions, extendedKeyUsage } from '../../../../src/formats/x509/extensions.ts';
import { buildCommonName } from '../../../../src/formats/x509/names.ts';
import { asyncRefusal, refusal } from '../../../refusal.ts';
import { ecKey, rsaKey } from '../../../signing-key.ts';
import { flipped } from '../../attestation/paper-tpm.ts';

const KEYS = [
  ['RSA', rsaKey, '1.2.840.113549.1.1.11', '0500'],
  ['P-256', ecKey('P-256'), '1.2.840.10045.4.3.2', undefined],
  ['P-384', ecKey('P-384'), '1.2.840.10045.4.3.3', undefined],
  ['P-521', ecKey('P-521'), '1.2.840.10045.4.3.4', undefined],
] as const;

/** In the vectors. */
interface PublishedRequest {
  readonly input: string;
  readonly expect: { commonName: string; verifies: boolean; editedAt?: number; signedByte: string };
}

const NAMES: readonly AlternativeName[] = [
  { kind: 'dns', value: 'host.example' },
  { kind: 'email', value: 'user@host.example' },
  { kind: 'uri', value: 'urn:ek:sha256:abc' },
  { kind: 'ip', value: fromHex('7f000001') },
  { kind: 'directory', value: buildCommonName('tpm') },
  { kind: 'permanent-identifier', value: 'ab'.repeat(32), assigner: '2.23.133.12.1' },
  { kind: 'permanent-identifier' },
  { kind: 'hardware-module', type: '2.23.133.1.2', serialNumber: fromHex('00c0ffee') },
  { kind: 'other-name', type: '1.3.6.1.4.1.311.20.2.3', value: derText('utf8', 'user@host.example') },
  { kind: 'unknown', value: fromHex('88032a0304') },
];
const ATTRIBUTES: readonly Attribute[] = [
  { oid: '1.2.840.113549.1.9.7', values: [derText('printable', 'password')] },
  { oid: '1.3.6.1.4.1.311.21.33', values: [derOctets(fromHex('4b415354'))] },
];
const EXTENSIONS = [extendedKeyUsage('1.3.6.1.5.5.7.3.2')];

describe.each(KEYS)('a request of a %s key', (_, key, oid, parameters) => {
  let der: Uint8Array<ArrayBuffer>;
  let request: CertificateRequest;
  beforeAll(async () => {
    const subject = buildCommonName('key');
    der = await buildCertificateRequest(
      { subject, alternativeNames: NAMES, extensions: EXTENSIONS, attributes: ATTRIBUTES },
      key,
    );
    request = parseCertificateRequest(der);
  });

  it('has the requested content, with attributes in the order of DER', () => {
    expect(request.subject).toEqual(buildCommonName('key'));
    expect(toHex(request.spki)).toBe(toHex(encodeSpki(key.publicKey)));
    expect(request.publicKey).toEqual(key.publicKey);
    expect(request.alternativeNames).toEqual(NAMES);
    expect(request.extensions.map(({ oid, critical }) => [oid, critical])).toEqual([
      ['2.5.29.17', false],
      ['2.5.29.37', false],
    ]);
    expect(request.attributes.map((one) => one.oid)).toEqual([
      '1.3.6.1.4.1.311.21.33',
      '1.2.840.113549.1.9.7',
      '1.2.840.113549.1.9.14',
    ]);
    expect(request.attributes.slice(0, 2)).toEqual([...ATTRIBUTES].reverse());
    expect(request.quirks).toEqual([]);
  });

  it('is signed, and names the algorithm as its standard demands', async () => {
    expect(verifyCertificateRequest(request)).toBe(true);
    expect(request.signature.algorithm).toBe(oid);
    expect(request.signature.parameters && toHex(request.signature.parameters)).toBe(parameters);
    const engine = new CryptoEngine({ name: 'test', crypto: globalThis.crypto });
    expect(await CertificationRequest.fromBER(der).verify(engine)).toBe(true);
  });

  it('does not verify with a changed byte in the signed data or the signature', () => {
    const { info, signature } = request;
    expect(verifyCertificateRequest({ ...request, info: flipped(info, info.length - 1) })).toBe(false);
    const value = flipped(signature.value, signature.value.length - 1);
    expect(verifyCertificateRequest({ ...request, signature: { ...signature, value } })).toBe(false);
  });

  it('does not verify with an algorithm of the other key type, an unknown one, or odd parameters', () => {
    const other = oid.startsWith('1.2.840.10045') ? '1.2.840.113549.1.1.11' : '1.2.840.10045.4.3.2';
    for (const change of [
      { algorithm: other, parameters: undefined },
      { algorithm: '1.2.840.113549.1.1.5' },
      { algorithm: '1.2.3' },
      { parameters: fromHex('3000') },
    ]) {
      expect(verifyCertificateRequest({ ...request, signature: { ...request.signature, ...change } })).toBe(false);
    }
    expect(verifyCertificateRequest({ ...request, publicKey: undefined })).toBe(false);
  });
});

describe('buildCertificateRequest', () => {
  const minimal = { subject: [] };

  it('writes an empty list of attributes if there are none', async () => {
    const der = await buildCertificateRequest(minimal, rsaKey);
    const { info, attributes, extensions } = parseCertificateRequest(der);
    expect([attributes, extensions]).toEqual([[], []]);
    expect(toHex(info.subarray(-2))).toBe('a000');
    expect(toHex(info.subarray(0, 9))).toBe(toHex(fromHex('3082012d0201003000'.padEnd(18, '0'))));
  });

  it('makes alternative names critical without a subject', async () => {
    const alternativeNames = [{ kind: 'dns', value: 'a' }] as const;
    const request = parseCertificateRequest(await buildCertificateRequest({ ...minimal, alternativeNames }, rsaKey));
    expect(request.extensions).toMatchObject([{ oid: '2.5.29.17', critical: true }]);
  });

  it('signs with another hash when asked to', async () => {
    const der = await buildCertificateRequest({ ...minimal, hash: 'sha512' }, rsaKey);
    expect(parseCertificateRequest(der).signature.algorithm).toBe('1.2.840.113549.1.1.13');
  });

  it('refuses an attribute or an extension that comes twice, or an invalid value', async () => {
    const twice: [string, object][] = [
      ['1.2.840.113549.1.9.7', { attributes: [ATTRIBUTES[0], ATTRIBUTES[0]] }],
      ['1.2.840.113549.1.9.14', { extensions: EXTENSIONS, attributes: [{ oid: '1.2.840.113549.1.9.14', values: [] }] }],
      ['2.5.29.37', { extensions: [...EXTENSIONS, ...EXTENSIONS] }],
    ];
    for (const [oid, options] of twice) {
      await expect(buildCertificateRequest({ ...minimal, ...options }, rsaKey)).rejects.toThrow(`${oid} appears twice`);
    }
    const attributes = [{ oid: '1.2.3', values: [fromHex('0401')] }];
    await expect(buildCertificateRequest({ ...minimal, attributes }, rsaKey)).rejects.toThrow(TypeError);
  });

  it('notices a signer that signs with another key', async () => {
    const other = ecKey('P-256');
    const liar = { publicKey: other.publicKey, sign: ecKey('P-256').sign };
    expect(await asyncRefusal(() => buildCertificateRequest(minimal, liar))).toMatch(/^key-invalid: the signature/);
  });

  it('passes on the errors of the signer', async () => {
    const failure = new Error('no');
    const key = { publicKey: rsaKey.publicKey, sign: () => Promise.reject(failure) };
    await expect(buildCertificateRequest(minimal, key)).rejects.toBe(failure);
  });
});

describe('parseCertificateRequest', () => {
  const { lamps } = JSON.parse(readFileSync('test/vectors/certificate-requests.json', 'utf8'));

  it.each<PublishedRequest>(lamps)('reads $description', ({ input, expect: expected }) => {
    const der = fromBase64(input);
    const request = parseCertificateRequest(der);
    expect(request.subject.flat().at(-1)).toEqual({ type: '2.5.4.3', value: expected.commonName });
    expect(verifyCertificateRequest(request)).toBe(expected.verifies);
    if (expected.editedAt === undefined) return;
    const signed = der.slice();
    signed.set(fromHex(expected.signedByte), expected.editedAt);
    expect(verifyCertificateRequest(parseCertificateRequest(signed))).toBe(true);
  });

  it('reads and reports a NUL in the name, as Windows writes it when it joins a device', async () => {
    const text = '7E980AD9-B86D-4306-9425-9AC066FB014A\0';
    const subject = buildCommonName(`#1325${toHex(Buffer.from(text))}`);
    const request = parseCertificateRequest(await buildCertificateRequest({ subject }, rsaKey));
    expect(request.subject).toEqual(buildCommonName(text));
    expect(request.quirks).toEqual([{ kind: 'nul-in-string', offset: 22 }]);
    expect(verifyCertificateRequest(request)).toBe(true);
  });

  it("reads extensions requested in Microsoft's way", async () => {
    const attributes = [{ oid: '1.3.6.1.4.1.311.2.1.14', values: [encodeExtensions(EXTENSIONS)] }];
    const request = parseCertificateRequest(await buildCertificateRequest({ subject: [], attributes }, rsaKey));
    expect(request.extensions).toEqual(EXTENSIONS.map((one) => ({ ...one, critical: false })));
  });

  it('reads a request without a list of attributes', async () => {
    const der = await buildCertificateRequest({ subject: [] }, rsaKey);
    const [info, ...rest] = DerNode.lenient(der, 'test').children();
    const parts = info?.children().slice(0, 3) ?? [];
    const without = derSequence(derSequence(...parts.map((one) => one.der)), ...rest.map((one) => one.der));
    expect(parseCertificateRequest(without).attributes).toEqual([]);
  });

  it('refuses one that is cut off anywhere, or has extra bytes', async () => {
    const der = await buildCertificateRequest(
      { subject: buildCommonName('a'), alternativeNames: NAMES },
      ecKey('P-256'),
    );
    for (let length = 0; length < der.length; length++) {
      expect(refusal(() => parseCertificateRequest(der.subarray(0, length)))).toMatch(/^request-invalid: /);
    }
    expect(refusal(() => parseCertificateRequest(new Uint8Array([...der, 0])))).toMatch(/1 byte left over/);
  });

  it('does not verify with any changed byte, or is refused', async () => {
    const der = await buildCertificateRequest(
      { subject: buildCommonName('a'), alternativeNames: NAMES, attributes: ATTRIBUTES },
      ecKey('P-256'),
    );
    for (let at = 0; at < der.length; at++) {
      for (const mask of [0x01, 0x80, 0xff]) {
        const changed = flipped(der, at, mask);
        const result = refusal(() => expect(verifyCertificateRequest(parseCertificateRequest(changed))).toBe(false));
        expect(result).toMatch(/^(?:nothing thrown|request-invalid: )/);
      }
    }
  });

  it('refuses another version, and a signature that ends within a byte', async () => {
    const der = await buildCertificateRequest({ subject: [] }, rsaKey);
    const at = (hex: string) => toHex(der).indexOf(hex) / 2 + hex.length / 2;
    expect(refusal(() => parseCertificateRequest(flipped(der, at('020100') - 1)))).toMatch(/its version is unknown/);
    const bits = flipped(der, der.length - 257);
    expect(refusal(() => parseCertificateRequest(bits))).toMatch(/not a whole number of bytes/);
  });

  it('refuses an attribute of extensions that comes twice', async () => {
    const value = encodeExtensions(EXTENSIONS);
    const attributes = [{ oid: '1.3.6.1.4.1.311.2.1.14', values: [value, encodeExtensions([])] }];
    const der = await buildCertificateRequest({ subject: [], attributes }, rsaKey);
    expect(refusal(() => parseCertificateRequest(der))).toMatch(/must appear once and have one value/);
  });
});

describe('alternative names', () => {
  it('are written as in RFC 4043 and RFC 4108', () => {
    const hex = (name: AlternativeName) => toHex(encodeAlternativeNames([name]));
    expect(hex({ kind: 'permanent-identifier', value: 'A', assigner: '2.23.133.12.1' })).toBe(
      '301a a018 06082b06010505070803 a00c 300a 0c0141 06056781050c01'.replaceAll(' ', ''),
    );
    expect(hex({ kind: 'hardware-module', type: '2.23.133.1.2', serialNumber: fromHex('01') })).toBe(
      '301a a018 06082b06010505070804 a00c 300a 06056781050102 040101'.replaceAll(' ', ''),
    );
  });

  it('need addresses of 4 or 16 bytes, ASCII, and at least one name', () => {
    expect(() => encodeAlternativeNames([{ kind: 'ip', value: new Uint8Array(5) }])).toThrow(TypeError);
    expect(() => encodeAlternativeNames([{ kind: 'dns', value: 'bücher.example' }])).toThrow(TypeError);
    expect(() => encodeAlternativeNames([])).toThrow(TypeError);
    expect(refusal(() => decodeAlternativeNames(fromHex('3000')))).toMatch(/there is none/);
  });
});
