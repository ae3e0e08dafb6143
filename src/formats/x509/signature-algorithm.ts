import { SIGNATURE_ALGORITHMS } from '../../crypto/certificate-signature.ts';
import type { HashName } from '../../crypto/kdf.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import type { SignatureFormat } from '../../crypto/verify-signature.ts';

/** Hash algorithms for signing requests and certificates. */
export type SigningHash = 'sha256' | 'sha384' | 'sha512';

/** A signature algorithm of X.509 and PKCS#10. RFC 4055, 5; RFC 5758, 3.2. */
export interface SignatureAlgorithm {
  readonly oid: string;
  readonly kty: PublicKey['kty'];
  readonly hash: HashName;
  readonly format: SignatureFormat;
}

const ALGORITHMS: readonly SignatureAlgorithm[] = [...SIGNATURE_ALGORITHMS]
  .map(([oid, [format, hash]]) => ({ oid, kty: format === 'der' ? ('EC' as const) : ('RSA' as const), hash, format }))
  .filter(({ hash }) => hash !== 'sha1');

/** The algorithm with that OID: RSASSA-PKCS1-v1_5 or ECDSA, with SHA-256 or longer. */
export const signatureAlgorithmOf = (oid: string): SignatureAlgorithm | undefined =>
  ALGORITHMS.find((one) => one.oid === oid);

/**
 * The algorithm with which a key signs: RSASSA-PKCS1-v1_5 or ECDSA. Default hash: SHA-256; for P-384 SHA-384, for
 * P-521 SHA-512.
 */
export function signatureAlgorithmFor(
  key: PublicKey,
  hash: SigningHash = key.kty === 'EC' ? CURVE_HASHES[key.crv] : 'sha256',
): SignatureAlgorithm & { readonly hash: SigningHash } {
  const { oid, format } = ALGORITHMS.find((one) => one.kty === key.kty && one.hash === hash) ?? {};
  if (oid === undefined || format === undefined) throw new TypeError(`${key.kty} keys cannot sign with ${hash}`);
  return { oid, kty: key.kty, hash, format };
}

const CURVE_HASHES = { 'P-256': 'sha256', 'P-384': 'sha384', 'P-521': 'sha512' } as const;
