/** Proof that a key is in a TPM: made with a TPM, sent as plain data, verified without a TPM or native code. */

export { type Certificate, parseCertificate } from '../crypto/x509.ts';
export type { Finding } from '../finding.ts';
export { type ActivateCredentialOptions, activateCredential } from './activate.ts';
export {
  type ActivationChallenge,
  type ActivationChallengeInput,
  type ActivationChallengeJson,
  type ActivationResponse,
  type ActivationResponseJson,
  answerActivationChallenge,
  buildActivationChallenge,
  decodeActivationChallenge,
  decodeActivationResponse,
  encodeActivationChallenge,
  encodeActivationResponse,
  isActivated,
} from './activation-challenge.ts';
export {
  AttestationKey,
  type CreateAttestationKeyOptions,
  type Creation,
  createAttestationKey,
  loadAttestationKey,
  type SavedAttestationKey,
} from './attestation-key.ts';
export {
  type AttestKeyOptions,
  attestKey,
  type CertifyCreationOptions,
  type CertifyKeyOptions,
  certifyCreation,
  certifyKey,
  certifyOwnCreation,
} from './certify.ts';
export { type Credential, type CredentialInput, makeCredential } from './credential.ts';
export { computeSoftwareKeyMessage, type Evidence, type SoftwareKeyEvidence, TIERS, type Tier } from './evidence.ts';
export type {
  AkCertificateCheck,
  CertificationCheck,
  CheckId,
  CreationCheck,
  EvidenceCheck,
  StatementCheck,
} from './findings.ts';
export type { KeyIdentity, ObjectIdentity } from './key-checks.ts';
export { decodeBareSignature, encodeBareSignature, findSignatureProblem } from './signature.ts';
export {
  type AttestationStatement,
  type Certification,
  type CertificationJson,
  type CreationProof,
  type CreationProofJson,
  decodePublicArea,
  decodeStatement,
  encodeStatement,
  type PublicPart,
  type PublicPartJson,
  type StatementJson,
} from './statement.ts';
export type { Activation, TrustedAttestationKey, TrustOptions } from './trust-attestation-key.ts';
export {
  type VerificationResult,
  type VerifyAttestationKeyOptions,
  type VerifyOptions,
  verifyAttestationKey,
  verifyStatement,
} from './verify.ts';
export { type EvidenceResult, type VerifyEvidenceOptions, verifyEvidence } from './verify-evidence.ts';
