import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fromBase64 } from '../src/bytes.ts';
import type { SigningKey } from '../src/formats/services/jws.ts';
import { signingKeyOf } from '../src/testing/signing-key.ts';

/** A key in memory that signs like a provider's key. */
export interface TestSigningKey extends SigningKey {
  readonly privateKey: KeyObject;
}

/** Makes a signer that also holds its private key. */
export const testKeyOf = (privateKey: KeyObject): TestSigningKey => ({ privateKey, ...signingKeyOf(privateKey) });

const { rsa2048 } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));

/** The RSA key of the CNG vectors. */
export const rsaKey: TestSigningKey = testKeyOf(
  createPrivateKey({ key: Buffer.from(fromBase64(rsa2048.pkcs8B64)), format: 'der', type: 'pkcs8' }),
);

/** Makes a new key on a curve. */
export const ecKey = (namedCurve: 'P-256' | 'P-384' | 'P-521'): TestSigningKey =>
  testKeyOf(generateKeyPairSync('ec', { namedCurve }).privateKey);
