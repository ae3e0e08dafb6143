import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fromBase64, view } from '../src/bytes.ts';
import { decodeSpki } from '../src/crypto/public-key.ts';
import type { SigningKey } from '../src/formats/services/jws.ts';

/** A key in memory that signs like a provider's key. */
export interface TestSigningKey extends SigningKey {
  readonly privateKey: KeyObject;
}

/** The key that signs with `privateKey`. */
export function signingKeyOf(privateKey: KeyObject): TestSigningKey {
  const spki = view(createPublicKey(privateKey).export({ type: 'spki', format: 'der' }));
  return {
    privateKey,
    publicKey: decodeSpki(spki),
    sign: async ({ data, hash = 'sha256', format = 'der' }) =>
      view(sign(hash, data, { key: privateKey, dsaEncoding: format === 'raw' ? 'ieee-p1363' : 'der' })),
  };
}

const { rsa2048 } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));

/** The RSA key of the CNG vectors. */
export const rsaKey: TestSigningKey = signingKeyOf(
  createPrivateKey({ key: Buffer.from(fromBase64(rsa2048.pkcs8B64)), format: 'der', type: 'pkcs8' }),
);

/** Makes a new key on a curve. */
export const ecKey = (namedCurve: 'P-256' | 'P-384' | 'P-521'): TestSigningKey =>
  signingKeyOf(generateKeyPairSync('ec', { namedCurve }).privateKey);
