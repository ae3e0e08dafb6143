import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { toHex, utf8, view } from '../../../src/bytes.ts';
import { ecdsaDerToRaw, ecdsaRawToDer } from '../../../src/crypto/ecdsa-signature.ts';
import { importPublicKey } from '../../../src/crypto/key-object.ts';
import { decodeSpki } from '../../../src/crypto/public-key.ts';
import { verifySignature } from '../../../src/crypto/verify-signature.ts';
import { refusal } from '../../refusal.ts';

const data = utf8('the data');
const publicOf = (key: KeyObject) => decodeSpki(view(key.export({ type: 'spki', format: 'der' })));

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' });
const pss = { padding: constants.RSA_PKCS1_PSS_PADDING };
const cases = [
  ['pkcs1', 'sha1', rsa, sign('sha1', data, rsa.privateKey)],
  ['pkcs1', 'sha256', rsa, sign('sha256', data, rsa.privateKey)],
  ['pss', 'sha256', rsa, sign('sha256', data, { key: rsa.privateKey, ...pss, saltLength: 32 })],
  ['pss', 'sha384', rsa, sign('sha384', data, { key: rsa.privateKey, ...pss, saltLength: 200 })],
  ['raw', 'sha256', p256, sign('sha256', data, { key: p256.privateKey, dsaEncoding: 'ieee-p1363' })],
  ['der', 'sha256', p256, sign('sha256', data, { key: p256.privateKey, dsaEncoding: 'der' })],
  ['raw', 'sha512', p521, sign('sha512', data, { key: p521.privateKey, dsaEncoding: 'ieee-p1363' })],
] as const;

describe.each(cases)('a signature %s with %s', (format, hash, pair, signature) => {
  const key = publicOf(pair.publicKey);

  it('verifies', () => {
    expect(verifySignature(key, hash, data, signature, format)).toBe(true);
  });

  it('does not verify over other data, with another hash, changed, cut off or empty', () => {
    const changed = Uint8Array.from(signature, (byte, at) => (at === 40 ? byte ^ 1 : byte));
    expect(verifySignature(key, hash, utf8('other data'), signature, format)).toBe(false);
    expect(verifySignature(key, hash === 'sha256' ? 'sha384' : 'sha256', data, signature, format)).toBe(false);
    expect(verifySignature(key, hash, data, changed, format)).toBe(false);
    expect(verifySignature(key, hash, data, signature.subarray(1), format)).toBe(false);
    expect(verifySignature(key, hash, data, new Uint8Array(0), format)).toBe(false);
  });
});

describe('verifySignature', () => {
  it('does not take a PSS signature without its leading zero, as OpenSSL does', () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    let signature = sign('sha256', data, { key: privateKey, ...pss });
    while (signature[0] !== 0) signature = sign('sha256', data, { key: privateKey, ...pss });
    expect(verifySignature(publicOf(publicKey), 'sha256', data, signature, 'pss')).toBe(true);
    expect(verifySignature(publicOf(publicKey), 'sha256', data, signature.subarray(1), 'pss')).toBe(false);
  });

  it("does not accept another key type's format", () => {
    const [, , , signature] = cases[0];
    for (const format of ['der', 'raw'] as const) {
      expect(() => verifySignature(publicOf(rsa.publicKey), 'sha256', data, signature, format)).toThrow(
        new TypeError(`format '${format}' cannot be used with RSA keys`),
      );
    }
    for (const format of ['pkcs1', 'pss'] as const) {
      expect(() => verifySignature(publicOf(p256.publicKey), 'sha256', data, signature, format)).toThrow(
        new TypeError(`format '${format}' cannot be used with EC keys`),
      );
    }
  });

  it('throws for an invalid key', () => {
    const nowhere = { kty: 'EC', crv: 'P-256', x: new Uint8Array(32), y: new Uint8Array(32) } as const;
    const said = refusal(() => verifySignature(nowhere, 'sha256', data, new Uint8Array(64), 'raw'));
    expect(said).toMatch(/^key-invalid: /);
  });
});

describe('importPublicKey', () => {
  it.each([
    ['RSA', rsa],
    ['P-256', p256],
    ['P-521', p521],
  ])('makes the same KeyObject of %s that Node makes of SPKI', (_, { publicKey }) => {
    expect(importPublicKey(publicOf(publicKey)).equals(publicKey)).toBe(true);
  });
});

describe('an ECDSA signature', () => {
  it("converts between Node's raw and DER forms, with any leading bytes", () => {
    for (let round = 0; round < 300; round++) {
      const der = sign('sha256', data, p256.privateKey);
      const raw = ecdsaDerToRaw('P-256', der);
      expect(raw.length).toBe(64);
      expect(verifySignature(publicOf(p256.publicKey), 'sha256', data, raw, 'raw')).toBe(true);
      expect(toHex(ecdsaRawToDer('P-256', raw))).toBe(toHex(der));
    }
  });

  it('is refused when cut off at any byte, with bytes left over, or of another curve', () => {
    const der = sign('sha256', data, p521.privateKey);
    for (let length = 0; length < der.length; length++) {
      expect(refusal(() => ecdsaDerToRaw('P-521', der.subarray(0, length)))).toMatch(/^key-invalid: /);
    }
    expect(refusal(() => ecdsaDerToRaw('P-521', Buffer.concat([der, der])))).toContain('left over');
    expect(refusal(() => ecdsaDerToRaw('P-256', der))).toContain('a number has 6');
    expect(refusal(() => ecdsaRawToDer('P-256', new Uint8Array(63)))).toBe(
      'key-invalid: ECDSA signature on P-256: 63 bytes, 64 expected',
    );
    expect(refusal(() => ecdsaDerToRaw('P-256', new Uint8Array([0x31, 0])))).toMatch(/^key-invalid: ECDSA signature: /);
  });
});
