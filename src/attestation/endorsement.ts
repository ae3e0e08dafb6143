/** Endorsement keys and their certificates: opened and read in a TPM, verified without one. */
export type { GeneralName, NameConstraints } from '../crypto/general-name.ts';
export type { ChainCheck, ChainOptions } from '../crypto/verify-chain.ts';
export { type Certificate, parseCertificate } from '../crypto/x509.ts';
export { type EkCertificate, parseEkCertificate, type TpmSpecification } from './ek-certificate.ts';
export { type EndorsementKey, type OpenEndorsementKeyOptions, openEndorsementKey } from './endorsement-key.ts';
export type { EkCertificateCheck } from './findings.ts';
export {
  type EkCertificateFetcher,
  type EkCertificateProblem,
  type EkCertificates,
  type EkInfo,
  type FoundEkCertificate,
  type ReadEkCertificatesOptions,
  readEkCertificates,
} from './read-ek-certificates.ts';
export { TPM_MANUFACTURERS } from './tpm-manufacturers.ts';
export {
  type EkCertificateResult,
  type VerifyEkCertificateOptions,
  verifyEkCertificate,
} from './verify-ek-certificate.ts';
