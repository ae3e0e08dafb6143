/** Formats of ACME, keylime, go-attestation, smallstep, tpm2-tools and SSH: attestation, activation, public keys. */
export { computeJwkThumbprint, decodeJwk, encodeJwk, type PublicJwk } from '../../crypto/jwk.ts';
export type { TpmAttestationObject } from '../webauthn/tpm-attestation-object.ts';
export {
  buildAcmeDeviceAttest,
  computeAcmeExtraData,
  computeAcmeKeyAuthorization,
  encodeAcmeDeviceAttest,
  parseAcmeDeviceAttest,
  statementFromAcmeDeviceAttest,
} from './acme-device-attest.ts';
export {
  type AcmeIdentifier,
  computeEkDeviceName,
  type DeviceName,
  decodeAcmeIdentifier,
  encodeAcmeIdentifier,
} from './acme-identifier.ts';
export {
  computeKeylimeAuthTag,
  decodeGoAttestationCredential,
  decodeKeylimeBlob,
  decodeSizedCredential,
  decodeSmallstepCredential,
  decodeTpm2ToolsCredential,
  encodeGoAttestationCredential,
  encodeKeylimeBlob,
  encodeSizedCredential,
  encodeSmallstepCredential,
  encodeTpm2ToolsCredential,
  type GoAttestationCredential,
  type SmallstepCredential,
} from './credential-encodings.ts';
export {
  buildGoAttestationParameters,
  buildGoCertificationParameters,
  buildGoQuote,
  type CertifiedKey,
  type CreatedKey,
  type GoAttestationParameters,
  type GoCertificationParameters,
  type GoQuote,
  parseGoAttestationParameters,
  parseGoCertificationParameters,
  parseGoQuote,
  statementFromGoCertification,
} from './go-attestation.ts';
export {
  buildJws,
  type Jws,
  type JwsAlgorithm,
  type JwsOptions,
  parseJws,
  type Signer,
  type SigningKey,
  verifyJws,
} from './jws.ts';
export {
  buildKeylimeActivation,
  buildKeylimeRegistration,
  computeKeylimeIakChallenge,
  type KeylimeKey,
  type KeylimeRegistration,
  type KeylimeRequest,
  type KeylimeVersion,
  parseKeylimeActivation,
  parseKeylimeRegistration,
} from './keylime.ts';
export {
  buildSmallstepAttest,
  buildSmallstepChain,
  buildSmallstepSecret,
  type ParsedSmallstepAttest,
  parseSmallstepAttest,
  parseSmallstepChain,
  parseSmallstepSecret,
  type SmallstepAttestInput,
  type SmallstepAttestRequest,
  type SmallstepChain,
  type SmallstepSecretRequest,
} from './smallstep.ts';
export {
  computeSshFingerprint,
  decodeSshPublicKey,
  decodeSshPublicKeyLine,
  encodeSshPublicKey,
  encodeSshPublicKeyLine,
  type SshPublicKeyLine,
} from './ssh-public-key.ts';
export {
  type AcmeCheck,
  type AcmeResult,
  type VerifyAcmeOptions,
  verifyAcmeDeviceAttest,
} from './verify-acme.ts';
