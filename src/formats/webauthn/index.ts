/** WebAuthn attestation objects of the format `tpm`, and the parts that they are made of. */
export type { CborMap, CborValue } from '../../crypto/cbor.ts';
export { COSE_ALG, type CoseKey, decodeCoseKey, encodeCoseKey } from './cose-key.ts';
export {
  type CoseAlgorithm,
  coseAlgorithmOf,
  decodeTpmAttestationObject,
  encodeTpmAttestationObject,
  type TpmAttestationObject,
} from './tpm-attestation-object.ts';
export {
  type AttestedCredential,
  type AuthenticatorData,
  decodeAuthenticatorData,
  encodeAuthenticatorData,
  rpIdHash,
  windowsHelloAaguid,
} from './webauthn-authenticator-data.ts';
export {
  buildWebauthnClientData,
  parseWebauthnClientData,
  type WebauthnClientData,
} from './webauthn-client-data.ts';
export {
  buildWebauthnTpm,
  decodeWebauthnTpm,
  encodeWebauthnTpm,
  statementFromWebauthnTpm,
  type WebauthnContext,
  type WebauthnTpm,
  webauthnExtraData,
} from './webauthn-tpm.ts';
