import { decodeBareSignature, encodeBareSignature } from '../../attestation/signature.ts';
import type { AttestationStatement } from '../../attestation/statement.ts';
import { type Bytes, checkBytes, checkObject, equal } from '../../bytes.ts';
import { digest, type HashName } from '../../crypto/kdf.ts';
import { encodeSpki } from '../../crypto/public-key.ts';
import { decode, encode } from '../../tpm/codec/index.ts';
import { publicKeyOf } from '../../tpm/public-key.ts';
import { TPMT_SIGNATURE } from '../../tpm/structures/algorithm.ts';
import { TPMS_ATTEST } from '../../tpm/structures/attest.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';
import { findAaguidProblem, findAkCertificateProblem } from './ak-certificate-rules.ts';
import { findCredentialAlgorithmProblem } from './cose-key.ts';
import {
  decodeTpmAttestationObject,
  encodeTpmAttestationObject,
  findCoseAlgorithm,
  type TpmAttestationObject,
} from './tpm-attestation-object.ts';
import { decodeAuthenticatorData } from './webauthn-authenticator-data.ts';

/** A WebAuthn attestation object of the format `tpm` with a bare signature: RSA bytes, or a DER Ecdsa-Sig-Value. */
export type WebauthnTpm = Required<TpmAttestationObject>;

/** The registration that a WebAuthn object is for. */
export interface WebauthnContext {
  /** The authenticator data, with the attested key as its credential. */
  readonly authData: Uint8Array;
  /** The bytes of the `clientDataJSON`. */
  readonly clientDataJson: Uint8Array;
}

/**
 * Returns the challenge (extraData) with which to certify the key, WebAuthn Level 3, 8.3: the digest of the
 * authenticator data and the SHA-256 of the client data. `hash` is the hash of the attestation key's signatures.
 * @throws TypeError for a context without both.
 */
export function computeWebauthnExtraData(context: WebauthnContext, hash: HashName = 'sha256'): Bytes {
  const { authData, clientDataJson } = checkObject(context, 'the context', 'authData:bytes', 'clientDataJson:bytes');
  return digest(hash, authData, digest('sha256', clientDataJson));
}

/**
 * Builds the attestation object of a statement. The statement must have the attestation key's certificates, but not the
 * root, which some verifiers refuse (SimpleWebAuthn 14.0.3).
 *
 * @throws KeyprovError `request-invalid` without certificates, if that of the attestation key breaks WebAuthn's rules
 * (see `findAkCertificateProblem` and `findAaguidProblem`), if the credential of the authenticator data is not the
 * attested key or has no algorithm that suits it, or if the key was certified with a challenge other than {@link computeWebauthnExtraData}.
 *
 * @example
 * ```ts
 * import type { AttestationStatement } from 'keyprov/attestation';
 * import { buildWebauthnTpm, decodeWebauthnTpm, type WebauthnContext } from 'keyprov/formats/webauthn';
 *
 * // The TPM made the statement with the challenge computeWebauthnExtraData(context).
 * declare const [statement, context]: [AttestationStatement, WebauthnContext];
 * const object = buildWebauthnTpm(statement, context);
 * console.log(decodeWebauthnTpm(object).algorithm); // -257 (RS256)
 * ```
 */
export function buildWebauthnTpm(statement: AttestationStatement, context: WebauthnContext): Bytes {
  checkObject(statement, 'a statement', 'pubArea:bytes', 'certInfo:bytes', 'signature:bytes', 'ak:object');
  const { pubArea, certInfo, ak } = statement;
  const { authData } = checkObject(context, 'the context of buildWebauthnTpm', 'authData');
  const { algorithm, hash } = findCoseAlgorithm(statement.signature);
  const { certificates = [] } = checkObject(ak, 'the attestation key', 'certificates:list?');
  const [certificate] = certificates;
  if (certificate === undefined) throw invalid('the attestation key has no certificate');
  const { credential } = decodeAuthenticatorData(authData);
  const problem =
    findAkCertificateProblem(certificate) ?? (credential && findAaguidProblem(certificate, credential.aaguid));
  if (problem !== undefined) throw invalid(`the attestation key's certificate: ${problem} (Level 3, 8.3.1)`);
  const [attest, signature] = inRequest(WHAT, () => [
    decode(TPMS_ATTEST, certInfo),
    encodeBareSignature(decode(TPMT_SIGNATURE, statement.signature)),
  ]);
  const object = { algorithm, certificates, signature, certInfo, pubArea, authData };
  checkCredential(object);
  const wrongKey = credential && findCredentialAlgorithmProblem(credential.key);
  if (wrongKey !== undefined) throw invalid(wrongKey);
  if (!equal(attest.extraData, computeWebauthnExtraData(context, hash))) {
    throw invalid('the key was certified for other authenticator data or client data');
  }
  return encodeTpmAttestationObject(object);
}

/**
 * The bytes of an attestation object.
 * @throws RangeError for an algorithm that is not an integer of at most 53 bits.
 */
export function encodeWebauthnTpm(object: WebauthnTpm): Bytes {
  return encodeTpmAttestationObject(object);
}

/**
 * Reads an attestation object of the format `tpm`, without verifying it.
 * @throws KeyprovError `request-invalid` for anything else, or if the credential of the authenticator data is not the
 * attested key.
 */
export function decodeWebauthnTpm(bytes: Uint8Array): WebauthnTpm {
  const { authData, ...rest } = decodeTpmAttestationObject(bytes);
  if (authData === undefined) throw invalid('there is no authData');
  const object = { ...rest, authData };
  checkCredential(object);
  return object;
}

/**
 * The statement in an attestation object, for `verifyStatement`. The object holds only the certificate of the
 * attestation key, so its public area (TPMT_PUBLIC) must be known from elsewhere.
 *
 * @throws KeyprovError `request-invalid` if that key does not sign with the object's algorithm.
 *
 * @example
 * ```ts
 * import { verifyStatement } from 'keyprov/attestation';
 * import { computeWebauthnExtraData, encodeWebauthnTpm, statementFromWebauthnTpm } from 'keyprov/formats/webauthn';
 * import type { WebauthnContext, WebauthnTpm } from 'keyprov/formats/webauthn';
 *
 * declare const [object, context, pubArea]: [WebauthnTpm, WebauthnContext, Uint8Array]; // pubArea: attestation key
 * const statement = statementFromWebauthnTpm(object, pubArea);
 * const known = { challenge: computeWebauthnExtraData(context), attestationKey: { pubArea } };
 * console.log(verifyStatement(statement, known).ok, encodeWebauthnTpm(object).length);
 * ```
 */
export function statementFromWebauthnTpm(object: WebauthnTpm, akPubArea: Uint8Array): AttestationStatement {
  checkObject(object, 'the attestation object', 'pubArea:bytes', 'certInfo:bytes', 'signature:bytes', 'algorithm');
  checkBytes(akPubArea, 'the public area of the attestation key');
  const { pubArea, certInfo, certificates, algorithm } = object;
  const signature = inRequest(WHAT, () =>
    encode(TPMT_SIGNATURE, decodeBareSignature(decode(TPMT_PUBLIC, akPubArea), object.signature)),
  );
  if (findCoseAlgorithm(signature).algorithm !== algorithm)
    throw invalid(`alg ${algorithm} is not the attestation key's algorithm`);
  return { version: 1, pubArea, certInfo, signature, ak: { pubArea: akPubArea, certificates } };
}

function checkCredential({ authData, pubArea }: WebauthnTpm): void {
  const { credential } = decodeAuthenticatorData(authData);
  if (credential === undefined) throw invalid('the authenticator data has no credential');
  const attested = inRequest(`${WHAT}: pubArea`, () => encodeSpki(publicKeyOf(decode(TPMT_PUBLIC, pubArea))));
  if (!equal(attested, encodeSpki(credential.key.publicKey))) {
    throw invalid('the credential in the authenticator data is not the attested key');
  }
}

const WHAT = 'WebAuthn tpm object';
const invalid = (problem: string): Error => requestInvalid(WHAT, problem);
