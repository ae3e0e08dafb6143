import { type HashName, verifyEcdsa, verifyRsa } from '../primitives.ts';
import { checkPublicKey, encodePkcs1, type PublicKey } from './public-key.ts';

/**
 * How a signature is written. RSA, as long as the modulus: `pkcs1` (RSASSA-PKCS1-v1_5), `pss` (any salt length) or
 * `pss-digest` (a salt as long as the digest).
 * ECDSA: `raw` (r and s, each as long as the field) or `der` (Ecdsa-Sig-Value, RFC 3279, 2.2.3).
 */
export type SignatureFormat = 'pkcs1' | 'pss' | 'pss-digest' | 'raw' | 'der';

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
  if (key.kty === 'RSA') {
    if (format === 'raw' || format === 'der') throw wrongFormat(key, format);
    return verifyRsa(format, { ...key, pkcs1: encodePkcs1(key) }, hash, data, signature);
  }
  if (format !== 'raw' && format !== 'der') throw wrongFormat(key, format);
  checkPublicKey(key);
  return verifyEcdsa(format, key, hash, data, signature);
}

const wrongFormat = ({ kty }: PublicKey, format: SignatureFormat): TypeError =>
  new TypeError(`format '${format}' is not for ${kty} keys`);
