import { decodeBareSignature, findSignatureProblem } from '../../attestation/signature.ts';
import type { Certification, PublicPart } from '../../attestation/statement.ts';
import type { Bytes } from '../../bytes.ts';
import { checkList, checkObject } from '../../bytes.ts';
import type { HashName } from '../../crypto/kdf.ts';
import { bitLength, checkPublicKey, decodeSpki, type PublicKey } from '../../crypto/public-key.ts';
import { readOr } from '../../errors.ts';
import { decode, encode } from '../../tpm/codec/index.ts';
import { type HashAlg, TPM_ALG, TPM_ECC } from '../../tpm/constants.ts';
import { TPMT_SIGNATURE, type TpmtSignature } from '../../tpm/structures/algorithm.ts';
import { TPMT_PUBLIC, type TpmtPublic } from '../../tpm/structures/object.ts';
import { akTemplate } from '../../tpm/templates.ts';
import { requestInvalid } from '../x509/in-request.ts';
import { readTbs } from '../x509/issue-certificate.ts';

const HASH_ALGS = {
  sha256: TPM_ALG.SHA256,
  sha384: TPM_ALG.SHA384,
  sha512: TPM_ALG.SHA512,
  sha1: TPM_ALG.SHA1,
} as const;
const CURVE_IDS = { 'P-256': TPM_ECC.NIST_P256, 'P-384': TPM_ECC.NIST_P384, 'P-521': TPM_ECC.NIST_P521 } as const;

/**
 * Builds the public area (TPMT_PUBLIC) of an attestation key from the public key in a certificate, by `akTemplate`. The
 * result claims what an attestation key must be: restricted, made in the TPM and fixed to it. So use it only if the
 * certificate's issuer vouches for these properties. Its Name is not the key's Name.
 * @throws TypeError for anything but a public key; KeyprovError `key-invalid` for an invalid one.
 *
 * @example
 * ```ts
 * import { decodePublicArea } from 'keyprov/attestation';
 * import { buildAkPublicArea } from 'keyprov/formats/tcg';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const akKey: PublicKey; // from a certificate whose issuer verified the attestation key
 * console.log(decodePublicArea(buildAkPublicArea(akKey)).objectAttributes.restricted); // true
 * ```
 */
export function buildAkPublicArea(key: PublicKey, hash: HashName = 'sha256'): Bytes {
  checkPublicKey(key);
  return encode(TPMT_PUBLIC, akPublicArea(key, HASH_ALGS[hash]));
}

/**
 * {@link buildAkPublicArea} for a key that signs with this scheme and hash. Keys on a curve sign with ECDSA.
 * @throws KeyprovError `request-invalid` for a scheme that is not for this type of key.
 */
export function buildAkPublicAreaWith(key: PublicKey, { scheme, hashAlg }: AkScheme): Bytes {
  if ((scheme === TPM_ALG.ECDSA) !== (key.kty === 'EC')) {
    throw requestInvalid(
      'attestation key',
      `its certificate is for a key of type ${key.kty}, which does not fit this algorithm`,
    );
  }
  return encode(TPMT_PUBLIC, akPublicArea(key, hashAlg, scheme === TPM_ALG.RSAPSS ? scheme : undefined));
}

/** Signing scheme of an attestation key. */
export interface AkScheme {
  readonly scheme: typeof TPM_ALG.RSASSA | typeof TPM_ALG.RSAPSS | typeof TPM_ALG.ECDSA;
  readonly hashAlg: HashAlg;
}

function akPublicArea(
  key: PublicKey,
  hashAlg: HashAlg,
  rsaScheme: typeof TPM_ALG.RSASSA | typeof TPM_ALG.RSAPSS = TPM_ALG.RSASSA,
): TpmtPublic {
  const details = { hashAlg };
  const { nameAlg, objectAttributes, authPolicy } = akTemplate('p-256');
  const common = { nameAlg, objectAttributes, authPolicy };
  const symmetric = { algorithm: TPM_ALG.NULL } as const;
  if (key.kty === 'EC') {
    const scheme = { scheme: TPM_ALG.ECDSA, details } as const;
    const parameters = { symmetric, scheme, curveID: CURVE_IDS[key.crv], kdf: { scheme: TPM_ALG.NULL } } as const;
    return { type: TPM_ALG.ECC, ...common, parameters, unique: { x: key.x, y: key.y } };
  }
  const scheme = { scheme: rsaScheme, details } as const;
  const exponent = key.e.reduce((sum, byte) => sum * 256 + byte, 0);
  const parameters = { symmetric, scheme, keyBits: bitLength(key.n), exponent: exponent === 65537 ? 0 : exponent };
  return { type: TPM_ALG.RSA, ...common, parameters, unique: key.n };
}

/**
 * Returns the signature of a certification as TPMT_SIGNATURE: unchanged, or made from a bare signature. `pubArea` is
 * the TPMT_PUBLIC of the attestation key, which tells the algorithms that a bare signature leaves out.
 * @throws KeyprovError `statement-invalid` or `key-invalid` for a signature that is neither.
 */
export function fullSignature(signature: Uint8Array, pubArea: Uint8Array): Uint8Array {
  if (readTpmtSignature(signature) !== undefined) return signature;
  return encode(TPMT_SIGNATURE, decodeBareSignature(decode(TPMT_PUBLIC, pubArea), signature));
}

/** Maximum number of certificates to search, more than any chain of an attestation key has. */
const MAX_CERTIFICATES = 20;

/**
 * Finds the attestation key that made the signature of a certification (TPMT_SIGNATURE or bare) among certificates in
 * DER. Its public area comes from {@link buildAkPublicArea}, and its certificate is the first one. `undefined` if none
 * of them is for such a key. This establishes no trust: verify the certificate's chain. Also finds a key that signs
 * with SHA-1, which the verifier refuses unless `acceptSha1` is set. Never throws because of what it is given.
 *
 * @example
 * ```ts
 * import type { Certification } from 'keyprov/attestation';
 * import { findCertifiedAk } from 'keyprov/formats/tcg';
 *
 * declare const [certification, certificates]: [Certification, Uint8Array[]]; // from a message
 * const ak = findCertifiedAk(certification, certificates);
 * console.log(ak?.pubArea.length); // undefined if no certificate has the key that signed
 * ```
 */
export function findCertifiedAk(
  certification: Certification,
  certificates: readonly Uint8Array[],
): PublicPart | undefined {
  const { certInfo, signature } = checkObject(certification, 'the certification', 'certInfo:bytes', 'signature:bytes');
  checkList(certificates, 'the certificates');
  for (const certificate of certificates.slice(0, MAX_CERTIFICATES)) {
    for (const hashAlg of Object.values(HASH_ALGS)) {
      const pubArea = readOr(undefined, () => {
        const area = akPublicArea(decodeSpki(readTbs(certificate).spki.der), hashAlg);
        const full = readTpmtSignature(signature) ?? decodeBareSignature(area, signature);
        return findSignatureProblem(area, full, certInfo) === undefined ? encode(TPMT_PUBLIC, area) : undefined;
      });
      if (pubArea === undefined) continue;
      return { pubArea, certificates: [certificate, ...certificates.filter((one) => one !== certificate)] };
    }
  }
  return undefined;
}

/** Reads a TPMT_SIGNATURE. A bare signature cannot be mistaken for one, since the algorithm fixes the length. */
const readTpmtSignature = (bytes: Uint8Array): TpmtSignature | undefined =>
  readOr(undefined, () => decode(TPMT_SIGNATURE, bytes));
