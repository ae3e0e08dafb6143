import { type HashName, verifyEcdsa, verifyRsa } from '../primitives.ts';
import { checkPublicKey, encodePkcs1, type PublicKey } from './public-key.ts';

/**
 * The encoding of a signature. RSA, as long as the modulus: `pkcs1` (RSASSA-PKCS1-v1_5), `pss` (any salt length) or
 * `pss-digest` (a salt as long as the digest).
 * ECDSA: `raw` (r and s, each as long as the field) or `der` (Ecdsa-Sig-Value, RFC 3279, 2.2.3).
 */
export type SignatureFormat = 'pkcs1' | 'pss' | 'pss-digest' | 'raw' | 'der';

/**
 * Whether the private key of `key` made `signature` over `data`, which is hashed with `hash`.
 * @throws KeyprovError `key-invalid` if the key is invalid; TypeError if the format does not fit its kind.
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
  new TypeError(`format '${format}' cannot be used with ${kty} keys`);
