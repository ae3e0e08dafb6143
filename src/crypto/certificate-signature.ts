import { equal } from '../bytes.ts';
import { isKeyprovError, KeyprovError } from '../errors.ts';
import { DerNode } from './der-read.ts';
import { contextTag, TAG } from './der-write.ts';
import type { HashName } from './kdf.ts';
import { bitLength, type PublicKey } from './public-key.ts';
import { type SignatureFormat, verifySignature } from './verify-signature.ts';

/** The signature of a certificate, and what it is over. */
export interface CertificateSignature {
  /** The tbsCertificate in DER. */
  readonly tbs: Uint8Array;
  readonly value: Uint8Array;
  /** `undefined` for an algorithm that is not known here. */
  readonly hash: HashName | undefined;
  readonly format: SignatureFormat;
}

const HASHES: Readonly<Record<string, HashName>> = {
  'SHA-1': 'sha1',
  'SHA-256': 'sha256',
  'SHA-384': 'sha384',
  'SHA-512': 'sha512',
};
const PSS = '1.2.840.113549.1.1.10';

/**
 * Takes a certificate apart, in strict DER. `hash` is the web's name of the hash, empty for an unknown algorithm.
 * @throws KeyprovError `key-invalid` for other DER, or two algorithms that are not the same (RFC 5280, 4.1.1.2).
 */
export function readSignature(
  der: Uint8Array,
  { algorithm, hash }: { readonly algorithm: string; readonly hash: string },
): CertificateSignature {
  const parts = DerNode.strict(der, 'certificate').fields(TAG.SEQUENCE);
  const tbs = parts.next();
  const stated = parts.next(TAG.SEQUENCE);
  const bits = parts.next(TAG.BIT_STRING).content;
  parts.end();
  const fields = tbs.fields(TAG.SEQUENCE);
  fields.optional(contextTag(0, 'constructed'));
  fields.next(TAG.INTEGER);
  if (!equal(fields.next(TAG.SEQUENCE).der, stated.der)) throw invalid('it names two algorithms for its signature');
  if (bits[0] !== 0) throw invalid('its signature is not a whole number of bytes');
  const rsa: SignatureFormat = algorithm === PSS ? 'pss' : 'pkcs1';
  return {
    tbs: tbs.der,
    value: bits.subarray(1),
    hash: HASHES[hash],
    format: algorithm.startsWith('1.2.840.10045.') ? 'der' : rsa,
  };
}

/**
 * An RSA key of more than 8192 bits, or with an exponent of more than 32: certificates from anyone could make a verifier
 * spend milliseconds on each.
 */
const isCostly = (key: PublicKey): boolean => key.kty === 'RSA' && (bitLength(key.n) > 8192 || key.e.length > 4);

/** Whether the signature was made with that key; never with an algorithm or a key that is not known here, or too costly. */
export function isSignedWith(publicKey: () => PublicKey, { tbs, value, hash, format }: CertificateSignature): boolean {
  if (hash === undefined) return false;
  try {
    const key = publicKey();
    return (
      (key.kty === 'EC') === (format === 'der') && !isCostly(key) && verifySignature(key, hash, tbs, value, format)
    );
  } catch (error) {
    if (isKeyprovError(error, 'key-invalid')) return false;
    throw error;
  }
}

const invalid = (problem: string): KeyprovError => new KeyprovError('key-invalid', `certificate: ${problem}`);
