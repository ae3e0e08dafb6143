export type { DistinguishedName, NameAttribute } from '../crypto/distinguished-name.ts';
export { decodeJwk, encodeJwk, jwkThumbprint, type PublicJwk } from '../crypto/jwk.ts';
export {
  decodeSpki,
  decodeSpkiPem,
  type EcPublicKey,
  encodeSpki,
  encodeSpkiPem,
  type PublicKey,
  type RsaPublicKey,
} from '../crypto/public-key.ts';
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
  AAGUID_EXTENSION,
  AK_CERTIFICATE_PURPOSE,
  type AkCertificateOptions,
  buildAkCertificate,
} from './ak-certificate.ts';
export {
  type AlternativeName,
  decodeAlternativeNames,
  EK_IDENTIFIER,
  encodeAlternativeNames,
  TPM_2_0_HARDWARE,
} from './alternative-names.ts';
export { type Attribute, attributeValue } from './attributes.ts';
export {
  buildCertificateRequest,
  type CertificateRequest,
  type CertificateRequestOptions,
  parseCertificateRequest,
  publicKeyOfRequest,
  verifyCertificateRequest,
} from './certificate-request.ts';
export { findCertifiedAk, publicAreaOfAk } from './certified-ak.ts';
export {
  type CngBlob,
  decodeCngBlob,
  type EcPrivateKey,
  encodeCngBlob,
  keyId,
  keyIdText,
  type RsaPrimesKey,
  type RsaPrivateKey,
} from './cng-blob.ts';
export { COSE_ALG, type CoseKey, decodeCoseKey, encodeCoseKey } from './cose-key.ts';
export {
  CUSTOM_KEY_FLAGS,
  type CustomKeyInformation,
  decodeCustomKeyInformation,
  encodeCustomKeyInformation,
} from './custom-key-information.ts';
export { type DerQuirk, findQuirks } from './der-quirks.ts';
export { type DnBinary, formatDnBinary, parseDnBinary } from './dn-binary.ts';
export { buildEkCertificate, type EkCertificateOptions } from './ek-certificate.ts';
export {
  type ContentEncryption,
  contentEncryptionOf,
  contentEncryptionOid,
  decryptEnvelope,
  type Envelope,
  type EnvelopeOptions,
  type EnvelopeRecipient,
  encryptEnvelope,
  type KeyEncryption,
  parseEnvelope,
} from './enveloped-data.ts';
export type { Extension } from './extensions.ts';
export { dateToFileTime, fileTimeFromDotNet, fileTimeToDate, fileTimeToDotNet } from './file-time.ts';
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
export { guidFromBytes, guidToBytes } from './guid.ts';
export { type ContentHash, decodeIdevidContent, encodeIdevidContent, type IdevidContent } from './idevid-content.ts';
export type { CertificateAuthority } from './issue-certificate.ts';
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
export { type KeyCredentialProblem, keyCredentialProblems } from './key-credential-problems.ts';
export { type FidoKeyMaterial, type KeyMaterial, readKeyMaterial } from './key-material.ts';
export { buildKeyRegistration, type KeyRegistration, parseKeyRegistration, publicBlob } from './key-registration.ts';
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
  ATTESTATION_ATTRIBUTE,
  type AttestationBundle,
  type BundledStatement,
  buildLampsAttestation,
  decodeAttestationBundles,
  decodeTpmCertify,
  encodeAttestationBundle,
  encodeTpmCertify,
  parseLampsAttestation,
  statementFromTpmCertify,
  TPM_CERTIFY_STATEMENT,
  type TpmCertify,
} from './lamps-attestation.ts';
export {
  type AttestationKeyInfo,
  buildWcceAttributes,
  buildWcceChallenge,
  decodeAttestationKeyInfo,
  decodeEndorsementKeyInfo,
  ENROLL,
  type EndorsementKeyInfo,
  encodeAttestationKeyInfo,
  encodeEndorsementKeyInfo,
  exchangeCertificateHash,
  PLATFORM_KSP,
  parseWcceAttributes,
  type WcceAttributes,
  type WcceChallenge,
  type WcceRequestOptions,
} from './ms-wcce.ts';
export { commonName, NAME_OID } from './names.ts';
export {
  buildNgcAssertion,
  type NgcAssertion,
  type NgcExpectations,
  ngcAssertionProblem,
  type ParsedNgcAssertion,
  parseNgcAssertion,
} from './ngc-assertion.ts';
export {
  buildPkinitCertificate,
  type PkinitCertificate,
  type PkinitCertificateOptions,
  type PkinitIdentity,
  parsePkinitCertificate,
  SMART_CARD_LOGON,
} from './pkinit-certificate.ts';
export type { SigningHash } from './signature-algorithm.ts';
export {
  decodeSshPublicKey,
  encodeSshPublicKey,
  formatSshPublicKey,
  parseSshPublicKey,
  type SshPublicKeyLine,
  sshFingerprint,
} from './ssh-public-key.ts';
export {
  type BuildTcgCsrIdevidOptions,
  buildTcgCsrIdevid,
  encodeTcgCsrIdevid,
  parseTcgCsrIdevid,
  statementFromIdevid,
  type TcgCsrIdevid,
  verifyTcgCsrIdevid,
} from './tcg-csr-idevid.ts';
export {
  type CoseAlgorithm,
  coseAlgorithmOf,
  decodeTpmAttestationObject,
  encodeTpmAttestationObject,
  type TpmAttestationObject,
} from './tpm-attestation-object.ts';
export type { TpmIdentity } from './tpm-identity.ts';
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
