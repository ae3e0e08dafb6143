/** Attestation statements as plain data, and their verifier: no TPM and no native code is needed. */
export { type Certificate, readCertificate } from '../crypto/x509.ts';
export {
  type ActivationChallenge,
  type ActivationChallengeInput,
  type ActivationChallengeJson,
  type ActivationResponse,
  type ActivationResponseJson,
  activationChallengeFromJson,
  activationChallengeToJson,
  activationResponseFromJson,
  activationResponseToJson,
  isActivated,
  makeActivationChallenge,
} from './activation-challenge.ts';
export type { Credential } from './credential.ts';
export { type EkCertificate, parseEkCertificate, type TpmSpecification } from './ek-certificate.ts';
export { type Evidence, type SoftwareKeyEvidence, softwareKeyMessage, TIERS, type Tier } from './evidence.ts';
export type {
  AkCertificateCheck,
  CertificationCheck,
  CheckId,
  CreationCheck,
  EvidenceCheck,
  Finding,
  StatementCheck,
} from './findings.ts';
export type { KeyIdentity, ObjectIdentity } from './key-checks.ts';
export { bareSignature, fromBareSignature, signatureProblem } from './signature.ts';
export {
  type AttestationStatement,
  type Certification,
  type CertificationJson,
  type CreationProof,
  type CreationProofJson,
  type PublicPart,
  type PublicPartJson,
  readPublicArea,
  type StatementJson,
  statementFromJson,
  statementToJson,
} from './statement.ts';
export { TPM_MANUFACTURERS } from './tpm-manufacturers.ts';
export type { Activation, TrustedAttestationKey, TrustOptions } from './trust-attestation-key.ts';
export {
  type VerificationResult,
  type VerifyAttestationKeyOptions,
  type VerifyOptions,
  verifyAttestationKey,
  verifyStatement,
} from './verify.ts';
export {
  type EkCertificateCheck,
  type EkCertificateFinding,
  type EkCertificateResult,
  type VerifyEkCertificateOptions,
  verifyEkCertificate,
} from './verify-ek-certificate.ts';
export { type EvidenceResult, type VerifyEvidenceOptions, verifyEvidence } from './verify-evidence.ts';
