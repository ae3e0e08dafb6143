/** WebAuthn attestation objects of the format `tpm`, and their parts. */
export type { CborMap, CborValue } from '../../crypto/cbor.ts';
export { findAaguidProblem, findAkCertificateProblem } from './ak-certificate-rules.ts';
export { COSE_ALG, type CoseKey, decodeCoseKey, encodeCoseKey } from './cose-key.ts';
export {
  type CoseAlgorithm,
  decodeTpmAttestationObject,
  encodeTpmAttestationObject,
  findCoseAlgorithm,
  type TpmAttestationObject,
} from './tpm-attestation-object.ts';
export {
  type VerifyWebauthnOptions,
  verifyWebauthnTpm,
  type WebauthnCheck,
  type WebauthnResult,
} from './verify-webauthn.ts';
export {
  type AttestedCredential,
  type AuthenticatorData,
  computeRpIdHash,
  decodeAaguid,
  decodeAuthenticatorData,
  encodeAaguid,
  encodeAuthenticatorData,
  WINDOWS_HELLO_AAGUID,
} from './webauthn-authenticator-data.ts';
export {
  buildWebauthnClientData,
  parseWebauthnClientData,
  type WebauthnClientData,
} from './webauthn-client-data.ts';
export { parseWebauthnRegistration, type WebauthnRegistration } from './webauthn-registration.ts';
export {
  buildWebauthnTpm,
  computeWebauthnExtraData,
  decodeWebauthnTpm,
  encodeWebauthnTpm,
  statementFromWebauthnTpm,
  type WebauthnContext,
  type WebauthnTpm,
} from './webauthn-tpm.ts';
