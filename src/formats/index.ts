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
} from './services/acme-device-attest.ts';
export {
  type AcmeIdentifier,
  type DeviceName,
  ekDeviceName,
  fromAcmeIdentifier,
  toAcmeIdentifier,
} from './services/acme-identifier.ts';
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
} from './services/go-attestation.ts';
export {
  isJwsSignedBy,
  type Jws,
  type JwsAlgorithm,
  parseJws,
  type Sign,
  type SigningKey,
  type SignJwsOptions,
  signJws,
} from './services/jws.ts';
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
} from './services/keylime.ts';
export {
  decodeSshPublicKey,
  encodeSshPublicKey,
  formatSshPublicKey,
  parseSshPublicKey,
  type SshPublicKeyLine,
  sshFingerprint,
} from './services/ssh-public-key.ts';
export {
  AAGUID_EXTENSION,
  AK_CERTIFICATE_PURPOSE,
  type AkCertificateOptions,
  buildAkCertificate,
} from './tcg/ak-certificate.ts';
export { findCertifiedAk, publicAreaOfAk } from './tcg/certified-ak.ts';
export { buildEkCertificate, type EkCertificateOptions } from './tcg/ek-certificate.ts';
export {
  type ContentHash,
  decodeIdevidContent,
  encodeIdevidContent,
  type IdevidContent,
} from './tcg/idevid-content.ts';
export {
  type BuildTcgCsrIdevidOptions,
  buildTcgCsrIdevid,
  encodeTcgCsrIdevid,
  parseTcgCsrIdevid,
  statementFromIdevid,
  type TcgCsrIdevid,
  verifyTcgCsrIdevid,
} from './tcg/tcg-csr-idevid.ts';
export { COSE_ALG, type CoseKey, decodeCoseKey, encodeCoseKey } from './webauthn/cose-key.ts';
export {
  type CoseAlgorithm,
  coseAlgorithmOf,
  decodeTpmAttestationObject,
  encodeTpmAttestationObject,
  type TpmAttestationObject,
} from './webauthn/tpm-attestation-object.ts';
export {
  type AttestedCredential,
  type AuthenticatorData,
  decodeAuthenticatorData,
  encodeAuthenticatorData,
  rpIdHash,
  windowsHelloAaguid,
} from './webauthn/webauthn-authenticator-data.ts';
export {
  buildWebauthnClientData,
  parseWebauthnClientData,
  type WebauthnClientData,
} from './webauthn/webauthn-client-data.ts';
export {
  buildWebauthnTpm,
  decodeWebauthnTpm,
  encodeWebauthnTpm,
  statementFromWebauthnTpm,
  type WebauthnContext,
  type WebauthnTpm,
  webauthnExtraData,
} from './webauthn/webauthn-tpm.ts';
export {
  type CngBlob,
  decodeCngBlob,
  type EcPrivateKey,
  encodeCngBlob,
  keyId,
  keyIdText,
  type RsaPrimesKey,
  type RsaPrivateKey,
} from './windows/cng-blob.ts';
export {
  CUSTOM_KEY_FLAGS,
  type CustomKeyInformation,
  decodeCustomKeyInformation,
  encodeCustomKeyInformation,
} from './windows/custom-key-information.ts';
export { type DnBinary, formatDnBinary, parseDnBinary } from './windows/dn-binary.ts';
export { dateToFileTime, fileTimeFromDotNet, fileTimeToDate, fileTimeToDotNet } from './windows/file-time.ts';
export { guidFromBytes, guidToBytes } from './windows/guid.ts';
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
} from './windows/key-credential-link.ts';
export { type KeyCredentialProblem, keyCredentialProblems } from './windows/key-credential-problems.ts';
export { type FidoKeyMaterial, type KeyMaterial, readKeyMaterial } from './windows/key-material.ts';
export {
  buildKeyRegistration,
  type KeyRegistration,
  parseKeyRegistration,
  publicBlob,
} from './windows/key-registration.ts';
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
} from './windows/ms-wcce.ts';
export {
  buildNgcAssertion,
  type NgcAssertion,
  type NgcExpectations,
  ngcAssertionProblem,
  type ParsedNgcAssertion,
  parseNgcAssertion,
} from './windows/ngc-assertion.ts';
export {
  buildPkinitCertificate,
  type PkinitCertificate,
  type PkinitCertificateOptions,
  type PkinitIdentity,
  parsePkinitCertificate,
  SMART_CARD_LOGON,
} from './windows/pkinit-certificate.ts';
export {
  type AlternativeName,
  decodeAlternativeNames,
  EK_IDENTIFIER,
  encodeAlternativeNames,
  TPM_2_0_HARDWARE,
} from './x509/alternative-names.ts';
export { type Attribute, attributeValue } from './x509/attributes.ts';
export {
  buildCertificateRequest,
  type CertificateRequest,
  type CertificateRequestOptions,
  parseCertificateRequest,
  publicKeyOfRequest,
  verifyCertificateRequest,
} from './x509/certificate-request.ts';
export { type DerQuirk, findQuirks } from './x509/der-quirks.ts';
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
} from './x509/enveloped-data.ts';
export type { Extension } from './x509/extensions.ts';
export type { CertificateAuthority } from './x509/issue-certificate.ts';
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
} from './x509/lamps-attestation.ts';
export { commonName, NAME_OID } from './x509/names.ts';
export type { SigningHash } from './x509/signature-algorithm.ts';
export type { TpmIdentity } from './x509/tpm-identity.ts';
