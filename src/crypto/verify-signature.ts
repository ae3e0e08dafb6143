import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { encodeJwk } from './jwk.ts';
import type { HashName } from './kdf.ts';
import { bitLength, encodePkcs1, type PublicKey } from './public-key.ts';

/**
 * How a signature is written. RSA: `pkcs1` (RSASSA-PKCS1-v1_5) or `pss` (any salt length), as long as the modulus.
 * ECDSA: `raw` (r and s, each as long as the field) or `der` (Ecdsa-Sig-Value, RFC 3279, 2.2.3).
 */
export type SignatureFormat = 'pkcs1' | 'pss' | 'raw' | 'der';

/**
 * The key as Node's KeyObject. RSA goes by PKCS#1 and EC by JWK: with Node 20, reading SPKI costs up to thirty times
 * as much. @throws KeyprovError `key-invalid`
 */
export function importPublicKey(key: PublicKey): KeyObject {
  if (key.kty === 'RSA') {
    return createPublicKey({ key: Buffer.from(encodePkcs1(key)), format: 'der', type: 'pkcs1' });
  }
  return createPublicKey({ key: encodeJwk(key), format: 'jwk' });
}

/**
 * Whether `signature` over `data` (hashed here with `hash`) was made with the private key of `key`.
 * @throws KeyprovError `key-invalid` for a key that is none; TypeError for a format of the other kind of key.
 */
export function verifySignature(
  key: PublicKey,
  hash: HashName,
  data: Uint8Array,
  signature: Uint8Array,
  format: SignatureFormat,
): boolean {
  if ((key.kty === 'RSA') !== (format === 'pkcs1' || format === 'pss')) {
    throw new TypeError(`format '${format}' is not for ${key.kty} keys`);
  }
  const imported = importPublicKey(key);
  // OpenSSL takes a PSS signature without its leading zeros too; RFC 8017, 8.1.2, step 1 does not.
  if (key.kty === 'RSA' && signature.length !== Math.ceil(bitLength(key.n) / 8)) return false;
  switch (format) {
    case 'pkcs1':
      return verify(hash, data, imported, signature);
    case 'pss': {
      const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_AUTO: saltLength } = constants;
      return verify(hash, data, { key: imported, padding, saltLength }, signature);
    }
    case 'raw':
      return verify(hash, data, { key: imported, dsaEncoding: 'ieee-p1363' }, signature);
    case 'der':
      return verify(hash, data, { key: imported, dsaEncoding: 'der' }, signature);
  }
}
