/** Formats of the TCG: certificates of endorsement and attestation keys, and requests for device identities. */
export type { AlternativeName } from '../x509/alternative-names.ts';
export type { CertificateAuthority } from '../x509/issue-certificate.ts';
export type { SigningHash } from '../x509/signature-algorithm.ts';
export type { TpmDescription } from '../x509/tpm-description.ts';
export {
  AAGUID_EXTENSION,
  AK_CERTIFICATE_PURPOSE,
  type AkCertificateOptions,
  buildAkCertificate,
} from './ak-certificate.ts';
export { buildAkPublicArea, findCertifiedAk } from './certified-ak.ts';
export { buildEkCertificate, type EkCertificateOptions } from './ek-certificate.ts';
export { buildEkPublicArea } from './ek-public-area.ts';
export {
  type ContentHash,
  decodeIdevidContent,
  encodeIdevidContent,
  type IdevidContent,
  type IdevidContentToPad,
} from './idevid-content.ts';
export {
  type BuildTcgCsrIdevidOptions,
  buildTcgCsrIdevid,
  encodeTcgCsrIdevid,
  parseTcgCsrIdevid,
  statementFromIdevid,
  type TcgCsrIdevid,
  verifyTcgCsrIdevid,
} from './tcg-csr-idevid.ts';
