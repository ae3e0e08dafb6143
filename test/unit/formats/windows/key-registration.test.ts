import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { concat, fromBase64, fromHex, toBase64, utf8 } from '../../../../src/bytes.ts';
import { decodeSpki, type PublicKey } from '../../../../src/crypto/public-key.ts';
import {
  buildKeyRegistration,
  encodePublicBlob,
  type KeyRegistration,
  parseKeyRegistration,
} from '../../../../src/formats/windows/key-registration.ts';
import { refusal } from '../../../refusal.ts';

const { rsa2048, ecc, negative, roca, published } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));
const publicKey = decodeSpki(fromBase64(rsa2048.spkiB64));
const p256 = decodeSpki(fromBase64(ecc.curves['P-256'].spkiB64));
const rsaOf = (modulusLength: number, publicExponent = 65537): PublicKey =>
  decodeSpki(
    generateKeyPairSync('rsa', { modulusLength, publicExponent }).publicKey.export({ type: 'spki', format: 'der' }),
  );

const { composed } = JSON.parse(readFileSync('test/vectors/kast.json', 'utf8'));
const rsa3072 = rsaOf(3072);
const attestation = fromHex(composed.kastHex);
const aikCertificate = fromBase64(published[2].rawBodyB64);
const attested: KeyRegistration = { profile: 'attested', publicKey, attestation, aikCertificate };

describe('the strict profile', () => {
  it('writes exactly the body of the vector', () => {
    expect(buildKeyRegistration({ profile: 'strict', publicKey })).toBe(`{"kngc":"${rsa2048.kngc}"}`);
    expect(rsa2048.kngc).toMatch(/^UlNBMQAIAAADAAAAAAEAAAAAAAAAAAAAAQAB/);
  });

  it('reads it back with any white space', () => {
    const body = JSON.stringify({ kngc: rsa2048.kngc }, undefined, 4);
    expect(parseKeyRegistration(body, 'strict')).toEqual({ profile: 'strict', publicKey });
  });

  it.each([
    ['P-256', () => p256, /it is a P-256 key; use an RSA-2048 key/],
    ['RSA-3072', () => rsa3072, /wrong RSA size \(3072 bits\) or exponent; use exactly 2048 bits/],
    ['RSA-1024', () => rsaOf(1024), /wrong RSA size \(1024 bits\)/],
    ['RSA-2048 with exponent 3', () => rsaOf(2048, 3), /and exponent 65537/],
    [
      'RSA-2048 with the ROCA weakness',
      (): PublicKey => ({ kty: 'RSA', n: fromHex(roca.vectors[1].modulusHex), e: fromHex('010001') }),
      /CVE-2017-15361/,
    ],
  ])('refuses to write and to read %s', (_, make, message) => {
    const key = make();
    const said = refusal(() => buildKeyRegistration({ profile: 'strict', publicKey: key }));
    expect(said).toMatch(/^request-invalid: key registration: kngc: /);
    expect(said).toMatch(message);
    const body = JSON.stringify({ kngc: toBase64(encodePublicBlob(key)) });
    expect(refusal(() => parseKeyRegistration(body, 'strict'))).toBe(said);
  });

  it.each(negative as { name: string; rsa1Hex: string }[])('refuses the vector $name', ({ rsa1Hex }) => {
    const body = JSON.stringify({ kngc: toBase64(fromHex(rsa1Hex)) });
    expect(refusal(() => parseKeyRegistration(body, 'strict'))).toMatch(/^request-invalid: key registration: kngc: /);
  });

  it('refuses private blobs and blobs for key agreement', () => {
    for (const hex of [rsa2048.rsa2Hex, rsa2048.rsa3Hex, ecc.curves['P-256'].ecdhPublicHex]) {
      const body = JSON.stringify({ kngc: toBase64(fromHex(hex)) });
      expect(refusal(() => parseKeyRegistration(body, 'strict'))).toMatch(/kngc: \w{4} is not a public blob/);
    }
  });

  it.each([
    ['no JSON', '{', /key registration: not JSON/],
    ['a list', '[]', /key registration: not a JSON object/],
    ['null', 'null', /key registration: not a JSON object/],
    ['an empty object', '{}', /kngc: missing/],
    ['a number', '{"kngc":1}', /kngc: not a string/],
    ['an unknown member', `{"kngc":"${rsa2048.kngc}","AikCertificate":""}`, /unknown member "AikCertificate"/],
    ['base64 without padding', '{"kngc":"QQ"}', /kngc: not canonical padded base64/],
    ['base64url', `{"kngc":"${rsa2048.kngc.replaceAll('/', '_')}"}`, /kngc: not canonical padded base64/],
  ])('refuses a body that is %s', (_, body, message) => {
    const said = refusal(() => parseKeyRegistration(body, 'strict'));
    expect(said).toMatch(/^request-invalid: key registration: /);
    expect(said).toMatch(message);
  });

  it('refuses a body cut off at any character', () => {
    const body = buildKeyRegistration({ profile: 'strict', publicKey });
    for (let length = 0; length < body.length; length++) {
      expect(refusal(() => parseKeyRegistration(body.slice(0, length), 'strict'))).toMatch(/^request-invalid: /);
    }
  });
});

describe('the attested profile', () => {
  it('adds the certificate and the statement, and reads them back', () => {
    const body = buildKeyRegistration(attested);
    expect(JSON.parse(body)).toEqual({
      kngc: rsa2048.kngc,
      AikCertificate: published[2].rawBodyB64,
      AttestationData: toBase64(attestation),
    });
    expect(parseKeyRegistration(body, 'attested')).toEqual(attested);
  });

  it('writes empty members without certificate and attestation', () => {
    for (const left of [{ attestation }, { aikCertificate }, {}]) {
      const registration: KeyRegistration = { profile: 'attested', publicKey, ...left };
      const body = buildKeyRegistration(registration);
      expect(JSON.parse(body)).toEqual({
        kngc: rsa2048.kngc,
        AikCertificate: 'aikCertificate' in left ? published[2].rawBodyB64 : '',
        AttestationData: 'attestation' in left ? toBase64(attestation) : '',
      });
      expect(parseKeyRegistration(body, 'attested')).toEqual(registration);
    }
  });

  it.each([
    ['P-256', () => p256],
    ['P-384', () => decodeSpki(fromBase64(ecc.curves['P-384'].spkiB64))],
    ['P-521', () => decodeSpki(fromBase64(ecc.curves['P-521'].spkiB64))],
    ['RSA-3072', () => rsa3072],
  ])('takes %s', (_, make) => {
    const registration: KeyRegistration = { profile: 'attested', publicKey: make(), attestation };
    expect(parseKeyRegistration(buildKeyRegistration(registration), 'attested')).toEqual(registration);
  });

  it('registers P-256 as the blob ECS1 of the vector', () => {
    expect(toBase64(encodePublicBlob(p256))).toBe(toBase64(fromHex(ecc.curves['P-256'].ecdsaPublicHex)));
  });

  it('refuses RSA below 2048 bits', () => {
    const registration: KeyRegistration = { profile: 'attested', publicKey: rsaOf(1024), attestation };
    expect(refusal(() => buildKeyRegistration(registration))).toContain(
      'use at least 2048 bits and exponent 65537 (the attested profile)',
    );
  });

  it.each([
    ['a statement without its first byte', { attestation: attestation.subarray(1) }],
    ['a statement with a byte left over', { attestation: concat(attestation, new Uint8Array(1)) }],
    ['an empty statement', { attestation: new Uint8Array(0) }],
    ['another magic', { attestation: attestation.map((byte, at) => (at === 0 ? 0x53 : byte)) }],
    ['another version', { attestation: attestation.map((byte, at) => (at === 4 ? 2 : byte)) }],
    ['an unknown platform', { attestation: attestation.map((byte, at) => (at === 8 ? 3 : byte)) }],
    ['another header size', { attestation: attestation.map((byte, at) => (at === 12 ? 24 : byte)) }],
    ['a certificate cut off', { aikCertificate: aikCertificate.subarray(0, -1) }],
    ['a certificate with a byte left over', { aikCertificate: concat(aikCertificate, new Uint8Array(1)) }],
    ['a certificate as PEM', { aikCertificate: utf8('-----BEGIN CERTIFICATE-----') }],
  ])('refuses %s', (_, change) => {
    expect(refusal(() => buildKeyRegistration({ ...attested, ...change }))).toMatch(
      /^request-invalid: key registration: (?:AttestationData|AikCertificate): /,
    );
  });

  it('refuses a statement cut off at any byte', () => {
    for (let length = 0; length < attestation.length; length += length < 100 ? 1 : 17) {
      const cut = { ...attested, attestation: attestation.subarray(0, length) };
      expect(refusal(() => buildKeyRegistration(cut))).toMatch(/^request-invalid: key registration: AttestationData/);
    }
  });

  it.each(['kngc', 'AikCertificate', 'AttestationData'])('refuses a body without %s', (name) => {
    const { [name]: _, ...rest } = JSON.parse(buildKeyRegistration(attested));
    expect(refusal(() => parseKeyRegistration(JSON.stringify(rest), 'attested'))).toBe(
      `request-invalid: key registration: ${name}: missing`,
    );
  });
});
