import { equal } from '../bytes.ts';
import { KeyprovError, readOr } from '../errors.ts';
import { DerNode } from './der-read.ts';
import { contextTag, TAG } from './der-write.ts';
import type { HashName } from './kdf.ts';
import { bitLength, type PublicKey } from './public-key.ts';
import { type SignatureFormat, verifySignature } from './verify-signature.ts';

/** The signature of a certificate, and the signed bytes. */
export interface CertificateSignature {
  /** The tbsCertificate in DER. */
  readonly tbs: Uint8Array;
  readonly value: Uint8Array;
  /** `undefined` for an unknown algorithm. */
  readonly hash: HashName | undefined;
  readonly format: SignatureFormat;
}

/** Signature algorithms by their object identifiers. RFC 8017, A.2; RFC 5758, 3.2. */
export const SIGNATURE_ALGORITHMS: ReadonlyMap<string, readonly [SignatureFormat, HashName]> = new Map([
  ['1.2.840.113549.1.1.5', ['pkcs1', 'sha1']],
  ['1.2.840.113549.1.1.11', ['pkcs1', 'sha256']],
  ['1.2.840.113549.1.1.12', ['pkcs1', 'sha384']],
  ['1.2.840.113549.1.1.13', ['pkcs1', 'sha512']],
  ['1.2.840.10045.4.1', ['der', 'sha1']],
  ['1.2.840.10045.4.3.2', ['der', 'sha256']],
  ['1.2.840.10045.4.3.3', ['der', 'sha384']],
  ['1.2.840.10045.4.3.4', ['der', 'sha512']],
]);
const PSS = '1.2.840.113549.1.1.10';
const HASHES: ReadonlyMap<string, HashName> = new Map([
  ['1.3.14.3.2.26', 'sha1'],
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
]);

/**
 * Splits a certificate in strict DER into signed bytes and signature.
 * @throws KeyprovError `key-invalid` for other DER, or if the two algorithm identifiers differ (RFC 5280, 4.1.1.2).
 */
export function readSignature(der: Uint8Array): CertificateSignature {
  const parts = DerNode.strict(der, 'certificate').fields(TAG.SEQUENCE);
  const tbs = parts.next();
  const stated = parts.next(TAG.SEQUENCE);
  const bits = parts.next(TAG.BIT_STRING).content;
  parts.end();
  const fields = tbs.fields(TAG.SEQUENCE);
  fields.optional(contextTag(0, 'constructed'));
  fields.next(TAG.INTEGER);
  if (!equal(fields.next(TAG.SEQUENCE).der, stated.der))
    throw invalid('its inner and outer signature algorithms differ');
  if (bits[0] !== 0) throw invalid('its signature is not a whole number of bytes');
  const [format = 'pkcs1', hash] = readAlgorithm(stated);
  return { tbs: tbs.der, value: bits.subarray(1), hash, format };
}

function readAlgorithm(node: DerNode): readonly [format?: SignatureFormat, hash?: HashName | undefined] {
  const fields = node.fields(TAG.SEQUENCE);
  const id = fields.next().oid();
  if (id !== PSS) return SIGNATURE_ALGORITHMS.get(id) ?? [];
  // RSASSA-PSS-params, RFC 8017, A.2.3: without a hash, SHA-1.
  const hash = fields.optional(TAG.SEQUENCE)?.fields(TAG.SEQUENCE).optional(contextTag(0, 'constructed'));
  if (hash === undefined) return ['pss', 'sha1'];
  return ['pss', HASHES.get(hash.first(contextTag(0, 'constructed')).first(TAG.SEQUENCE).oid())];
}

/**
 * An RSA key of more than 8192 bits, or with an exponent of more than 32 bits: such certificates from anyone would cost a
 * verifier milliseconds each.
 */
const isCostly = (key: PublicKey): boolean => key.kty === 'RSA' && (bitLength(key.n) > 8192 || key.e.length > 4);

/** Whether the key made the signature. False if algorithm or key is unknown or too costly. */
export function isSignedWith(publicKey: () => PublicKey, { tbs, value, hash, format }: CertificateSignature): boolean {
  if (hash === undefined) return false;
  const verifies = (): boolean => {
    const key = publicKey();
    return (
      (key.kty === 'EC') === (format === 'der') && !isCostly(key) && verifySignature(key, hash, tbs, value, format)
    );
  };
  return readOr(false, verifies, 'key-invalid');
}

const invalid = (problem: string): KeyprovError => new KeyprovError('key-invalid', `certificate: ${problem}`);
