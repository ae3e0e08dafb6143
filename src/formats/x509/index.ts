/** Formats of X.509 and its relatives: public keys, PKCS#10 requests and their attestation, names, CMS envelopes. */
export type { Curve } from '../../crypto/curve.ts';
export type { DistinguishedName, NameAttribute } from '../../crypto/distinguished-name.ts';
export type { HashName } from '../../crypto/kdf.ts';
export {
  decodeSpki,
  decodeSpkiPem,
  type EcPublicKey,
  encodeSpki,
  encodeSpkiPem,
  type PublicKey,
  type RsaPublicKey,
} from '../../crypto/public-key.ts';
export type { Signer, SigningKey } from '../services/jws.ts';
export {
  type AlternativeName,
  decodeAlternativeNames,
  EK_IDENTIFIER,
  encodeAlternativeNames,
  TPM_2_0_HARDWARE,
} from './alternative-names.ts';
export { type Attribute, findAttribute } from './attributes.ts';
export {
  buildCertificateRequest,
  type CertificateRequest,
  type CertificateRequestOptions,
  parseCertificateRequest,
  verifyCertificateRequest,
} from './certificate-request.ts';
export { type DerQuirk, findDerQuirks } from './der-quirks.ts';
export {
  buildEnvelope,
  type ContentEncryption,
  decodeContentEncryption,
  decryptEnvelope,
  type Envelope,
  type EnvelopeOptions,
  type EnvelopeRecipient,
  encodeContentEncryption,
  type KeyEncryption,
  parseEnvelope,
} from './enveloped-data.ts';
export type { Extension } from './extensions.ts';
export type { CertificateAuthority } from './issue-certificate.ts';
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
export { buildCommonName, NAME_OID } from './names.ts';
export type { SigningHash } from './signature-algorithm.ts';
export {
  type AttestedRequestCheck,
  type AttestedRequestResult,
  type VerifyAttestedRequestOptions,
  verifyAttestedRequest,
} from './verify-attested-request.ts';
