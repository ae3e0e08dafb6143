import type { AttestationStatement } from '../../attestation/statement.ts';
import { type Bytes, checkBytes, checkObject, toBase64Url, utf8 } from '../../bytes.ts';
import { computeJwkThumbprint } from '../../crypto/jwk.ts';
import { digest } from '../../crypto/kdf.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { JsonMembers } from '../../json.ts';
import { decode } from '../../tpm/codec/index.ts';
import { TPMT_SIGNATURE } from '../../tpm/structures/algorithm.ts';
import { findAkCertificateProblem } from '../webauthn/ak-certificate-rules.ts';
import {
  decodeTpmAttestationObject,
  encodeTpmAttestationObject,
  findCoseAlgorithm,
  type TpmAttestationObject,
} from '../webauthn/tpm-attestation-object.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';

const WHAT = 'device-attest-01 payload';

/**
 * Returns the key authorization for a challenge, RFC 8555, 8.1: the token and the thumbprint of the account key.
 * @throws KeyprovError `key-invalid` for an invalid key.
 */
export function computeAcmeKeyAuthorization(token: string, accountKey: PublicKey): string {
  return `${token}.${toBase64Url(computeJwkThumbprint(accountKey))}`;
}

/**
 * Returns the challenge (extraData) with which to certify the key: the SHA-256 of the key authorization.
 * draft-ietf-acme-device-attest, Device Attestation Challenge.
 * @throws KeyprovError `key-invalid` for an invalid key.
 *
 * @example
 * ```ts
 * import { computeAcmeExtraData, computeAcmeKeyAuthorization } from 'keyprov/formats/services';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const [token, accountKey]: [string, PublicKey]; // the challenge's token, the ACME account's key
 * console.log(computeAcmeKeyAuthorization(token, accountKey)); // the token, a dot, the key's thumbprint
 * console.log(computeAcmeExtraData(token, accountKey).length); // 32 (bytes): pass them to attestKey as `challenge`
 * ```
 */
export function computeAcmeExtraData(token: string, accountKey: PublicKey): Bytes {
  return digest('sha256', utf8(computeAcmeKeyAuthorization(token, accountKey)));
}

/**
 * Builds the JSON payload that answers a `device-attest-01` challenge: an attestation object of the format `tpm`
 * without authenticator data, whose signature is the TPMT_SIGNATURE, as step-ca expects.
 *
 * @throws KeyprovError `request-invalid` if the attestation key has no certificate, or one that breaks the rules of
 * WebAuthn and ACME (see `findAkCertificateProblem` of `keyprov/formats/webauthn`).
 *
 * @example
 * ```ts
 * import { type AttestationStatement, verifyStatement } from 'keyprov/attestation';
 * import { buildAcmeDeviceAttest, parseAcmeDeviceAttest } from 'keyprov/formats/services';
 * import { statementFromAcmeDeviceAttest } from 'keyprov/formats/services';
 *
 * declare const [statement, challenge]: [AttestationStatement, Uint8Array]; // challenge: from computeAcmeExtraData
 * const { pubArea } = statement.ak;
 * const received = statementFromAcmeDeviceAttest(parseAcmeDeviceAttest(buildAcmeDeviceAttest(statement)), pubArea);
 * console.log(verifyStatement(received, { challenge, attestationKey: { pubArea } }).ok);
 * ```
 */
export function buildAcmeDeviceAttest(statement: AttestationStatement): string {
  checkObject(statement, 'a statement', 'pubArea:bytes', 'certInfo:bytes', 'signature:bytes', 'ak:object');
  const { pubArea, certInfo, signature, ak } = statement;
  const { certificates = [] } = checkObject(ak, 'the attestation key', 'certificates:list?');
  const [certificate] = certificates;
  if (certificate === undefined) throw requestInvalid(WHAT, 'the attestation key has no certificate');
  const problem = findAkCertificateProblem(certificate);
  if (problem !== undefined) throw requestInvalid(WHAT, `the attestation key's certificate: ${problem}`);
  const { algorithm } = findCoseAlgorithm(signature);
  return encodeAcmeDeviceAttest({ algorithm, certificates, signature, certInfo, pubArea });
}

/**
 * Encodes the payload with this object.
 * @throws RangeError for an algorithm that is not an integer of at most 53 bits.
 *
 * @example
 * ```ts
 * import { encodeAcmeDeviceAttest, parseAcmeDeviceAttest } from 'keyprov/formats/services';
 *
 * declare const payload: string; // the client's answer to the challenge
 * const object = parseAcmeDeviceAttest(payload);
 * console.log(object.certificates.length, encodeAcmeDeviceAttest(object));
 * ```
 */
export function encodeAcmeDeviceAttest(object: TpmAttestationObject): string {
  return JSON.stringify({ attObj: toBase64Url(encodeTpmAttestationObject(object)) });
}

/**
 * Reads the payload of a response to a `device-attest-01` challenge, without verifying it. Ignores members other than
 * `attObj`, as the draft says.
 *
 * @throws KeyprovError `request-invalid` for anything else, including a signature that is not a TPMT_SIGNATURE, or an
 * `alg` that is not the algorithm of the signature.
 */
export function parseAcmeDeviceAttest(payload: string): TpmAttestationObject {
  const object = decodeTpmAttestationObject(JsonMembers.parse(WHAT, payload, requestInvalid).base64Url('attObj'));
  inRequest(`${WHAT}: sig`, () => decode(TPMT_SIGNATURE, object.signature));
  const { algorithm } = findCoseAlgorithm(object.signature);
  if (algorithm !== object.algorithm) {
    throw requestInvalid(`${WHAT}: alg`, `it is ${object.algorithm}, but the signature's algorithm is ${algorithm}`);
  }
  return object;
}

/**
 * Returns the statement in a response, for `verifyStatement`; `akPubArea` is the TPMT_PUBLIC of the attestation key.
 * @throws TypeError for an argument of another kind.
 */
export function statementFromAcmeDeviceAttest(
  object: TpmAttestationObject,
  akPubArea: Uint8Array,
): AttestationStatement {
  const { pubArea, certInfo, signature, certificates } = checkObject(
    object,
    'the attestation object',
    'pubArea:bytes',
    'certInfo:bytes',
    'signature:bytes',
    'certificates:list',
  );
  checkBytes(akPubArea, 'the public area of the attestation key');
  return { version: 1, pubArea, certInfo, signature, ak: { pubArea: akPubArea, certificates } };
}
