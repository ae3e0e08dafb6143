/** Formats of Windows, Active Directory, AD CS and Entra ID: key blobs, registrations, attestation, directory values. */
export {
  type CngBlob,
  computeKeyId,
  computeKeyIdText,
  decodeCngBlob,
  type EcPrivateKey,
  encodeCngBlob,
  type RsaPrimesKey,
  type RsaPrivateKey,
} from './cng-blob.ts';
export {
  CUSTOM_KEY_FLAGS,
  type CustomKeyInformation,
  decodeCustomKeyInformation,
  encodeCustomKeyInformation,
} from './custom-key-information.ts';
export { type DnBinary, decodeDnBinary, encodeDnBinary } from './dn-binary.ts';
export { decodeFileTime, encodeFileTime } from './file-time.ts';
export { decodeGuid, encodeGuid } from './guid.ts';
export { decodeKads, encodeKads, type Kads } from './kads.ts';
export {
  type BuildKastOptions,
  buildKast,
  decodeKast,
  encodeKast,
  type IdBinding,
  type Kast,
  statementFromKast,
} from './kast.ts';
export {
  type BuildKeyCredentialLink,
  buildKeyCredentialLink,
  encodeKeyCredentialLink,
  KEY_CREDENTIAL_ENTRY,
  KEY_CREDENTIAL_SOURCE,
  KEY_CREDENTIAL_USAGE,
  type KeyCredential,
  type KeyCredentialEntry,
  type KeyCredentialLink,
  parseKeyCredentialLink,
} from './key-credential-link.ts';
export { findKeyCredentialProblems, type KeyCredentialProblem } from './key-credential-problems.ts';
export { decodeKeyMaterial, encodeKeyMaterial, type FidoKeyMaterial, type KeyMaterial } from './key-material.ts';
export {
  buildKeyRegistration,
  encodePublicBlob,
  type KeyRegistration,
  parseKeyRegistration,
  statementFromKeyRegistration,
} from './key-registration.ts';
export {
  type AttestationKeyInfo,
  buildWcceAttributes,
  buildWcceChallenge,
  computeExchangeCertificateHash,
  decodeAttestationKeyInfo,
  decodeEndorsementKeyInfo,
  ENROLL,
  type EndorsementKeyInfo,
  encodeAttestationKeyInfo,
  encodeEndorsementKeyInfo,
  parseWcceAttributes,
  type WcceAttributes,
  type WcceChallenge,
  type WcceRequestOptions,
} from './ms-wcce.ts';
export {
  buildNgcAssertion,
  findNgcAssertionProblem,
  type NgcAssertion,
  type NgcExpectations,
  parseNgcAssertion,
} from './ngc-assertion.ts';
export { decodePcpKeyBlob, encodePcpKeyBlob, type PcpKeyBlob } from './pcp-key-blob.ts';
export {
  buildPkinitCertificate,
  type PkinitCertificate,
  type PkinitCertificateOptions,
  type PkinitIdentity,
  parsePkinitCertificate,
} from './pkinit-certificate.ts';
export { decodeTachChallenge, encodeTachChallenge, type TachChallenge } from './tach-challenge.ts';
