/** Attestation statements as plain data, and their verifier: no TPM and no native code is needed. */
export type { CertificationCheck, CheckId, CreationCheck, Finding, StatementCheck } from './findings.ts';
export { bareSignature, fromBareSignature, signatureProblem } from './signature.ts';
export {
  type AttestationStatement,
  type Certification,
  type CertificationJson,
  type CreationProof,
  type CreationProofJson,
  type PublicPart,
  type PublicPartJson,
  type StatementJson,
  statementFromJson,
  statementToJson,
} from './statement.ts';
export {
  type KeyIdentity,
  type VerificationResult,
  type VerifyAttestationKeyOptions,
  type VerifyOptions,
  verifyAttestationKey,
  verifyStatement,
} from './verify.ts';
