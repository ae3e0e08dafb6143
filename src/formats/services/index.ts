/** What ACME, keylime, go-attestation, smallstep, tpm2-tools and SSH write: attestation, activation, and public keys. */
export { decodeJwk, encodeJwk, jwkThumbprint, type PublicJwk } from '../../crypto/jwk.ts';
export type { TpmAttestationObject } from '../webauthn/tpm-attestation-object.ts';
export {
  acmeExtraData,
  acmeKeyAuthorization,
  buildAcmeDeviceAttest,
  encodeAcmeDeviceAttest,
  parseAcmeDeviceAttest,
  statementFromAcmeDeviceAttest,
} from './acme-device-attest.ts';
export {
  type AcmeIdentifier,
  type DeviceName,
  ekDeviceName,
  fromAcmeIdentifier,
  toAcmeIdentifier,
} from './acme-identifier.ts';
export {
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
  keylimeAuthTag,
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
} from './go-attestation.ts';
export {
  isJwsSignedBy,
  type Jws,
  type JwsAlgorithm,
  parseJws,
  type Sign,
  type SigningKey,
  type SignJwsOptions,
  signJws,
} from './jws.ts';
export {
  buildKeylimeActivation,
  buildKeylimeRegistration,
  type KeylimeKey,
  type KeylimeRegistration,
  type KeylimeRequest,
  type KeylimeVersion,
  keylimeIakChallenge,
  parseKeylimeActivation,
  parseKeylimeRegistration,
} from './keylime.ts';
export {
  buildSmallstepAttest,
  buildSmallstepSecret,
  parseSmallstepChain,
  type SmallstepAttestInput,
  type SmallstepAttestRequest,
  type SmallstepSecretRequest,
} from './smallstep.ts';
export {
  decodeSshPublicKey,
  encodeSshPublicKey,
  formatSshPublicKey,
  parseSshPublicKey,
  type SshPublicKeyLine,
  sshFingerprint,
} from './ssh-public-key.ts';
