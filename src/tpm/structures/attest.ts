import { bytes16, type Codec, oneOf, sized, struct, tagged } from '../codec/index.ts';
import { TPM_GENERATED_VALUE, TPM_ST, type TpmSts } from '../constants.ts';
import {
  TPM_ALG_ID,
  TPM2B_DATA,
  TPM2B_DIGEST,
  TPM2B_MAX_NV_BUFFER,
  TPM2B_NAME,
  TPMI_YES_NO,
  TPML_PCR_SELECTION,
  TPMS_CLOCK_INFO,
  TPMS_TIME_INFO,
  type TpmsClockInfo,
  type TpmsPcrSelection,
  type TpmsTimeInfo,
  UINT16,
  UINT64,
} from './base.ts';

/** The value of {@link TPMS_CERTIFY_INFO}. */
export interface TpmsCertifyInfo {
  name: Uint8Array;
  qualifiedName: Uint8Array;
}
/** States that an object with that Name is loaded in the TPM. TPMS_CERTIFY_INFO, Part 2, 10.12.3. */
export const TPMS_CERTIFY_INFO: Codec<TpmsCertifyInfo> = struct('TPMS_CERTIFY_INFO', {
  name: TPM2B_NAME,
  qualifiedName: TPM2B_NAME,
});

/** The value of {@link TPMS_QUOTE_INFO}. */
export interface TpmsQuoteInfo {
  pcrSelect: readonly TpmsPcrSelection[];
  pcrDigest: Uint8Array;
}
/** Values of PCRs. TPMS_QUOTE_INFO, Part 2, 10.12.4. */
export const TPMS_QUOTE_INFO: Codec<TpmsQuoteInfo> = struct('TPMS_QUOTE_INFO', {
  pcrSelect: TPML_PCR_SELECTION,
  pcrDigest: TPM2B_DIGEST,
});

/** The value of {@link TPMS_COMMAND_AUDIT_INFO}. */
export interface TpmsCommandAuditInfo {
  auditCounter: bigint;
  digestAlg: number;
  auditDigest: Uint8Array;
  commandDigest: Uint8Array;
}
/** The state of the command audit. TPMS_COMMAND_AUDIT_INFO, Part 2, 10.12.5. */
export const TPMS_COMMAND_AUDIT_INFO: Codec<TpmsCommandAuditInfo> = struct('TPMS_COMMAND_AUDIT_INFO', {
  auditCounter: UINT64,
  digestAlg: TPM_ALG_ID,
  auditDigest: TPM2B_DIGEST,
  commandDigest: TPM2B_DIGEST,
});

/** The value of {@link TPMS_SESSION_AUDIT_INFO}. */
export interface TpmsSessionAuditInfo {
  exclusiveSession: 0 | 1;
  sessionDigest: Uint8Array;
}
/** The audit digest of a session. TPMS_SESSION_AUDIT_INFO, Part 2, 10.12.6. */
export const TPMS_SESSION_AUDIT_INFO: Codec<TpmsSessionAuditInfo> = struct('TPMS_SESSION_AUDIT_INFO', {
  exclusiveSession: TPMI_YES_NO,
  sessionDigest: TPM2B_DIGEST,
});

/** The value of {@link TPMS_CREATION_INFO}. */
export interface TpmsCreationInfo {
  objectName: Uint8Array;
  creationHash: Uint8Array;
}
/** States that the TPM made that object. TPMS_CREATION_INFO, Part 2, 10.12.7. */
export const TPMS_CREATION_INFO: Codec<TpmsCreationInfo> = struct('TPMS_CREATION_INFO', {
  objectName: TPM2B_NAME,
  creationHash: TPM2B_DIGEST,
});

/** The value of {@link TPMS_NV_CERTIFY_INFO}. */
export interface TpmsNvCertifyInfo {
  indexName: Uint8Array;
  offset: number;
  nvContents: Uint8Array;
}
/** Contents of an NV index. TPMS_NV_CERTIFY_INFO, Part 2, 10.12.8. */
export const TPMS_NV_CERTIFY_INFO: Codec<TpmsNvCertifyInfo> = struct('TPMS_NV_CERTIFY_INFO', {
  indexName: TPM2B_NAME,
  offset: UINT16,
  nvContents: TPM2B_MAX_NV_BUFFER,
});

/** The value of {@link TPMS_NV_DIGEST_CERTIFY_INFO}. */
export interface TpmsNvDigestCertifyInfo {
  indexName: Uint8Array;
  nvDigest: Uint8Array;
}
/** Digest of the contents of an NV index. TPMS_NV_DIGEST_CERTIFY_INFO, Part 2, 10.12.9. */
export const TPMS_NV_DIGEST_CERTIFY_INFO: Codec<TpmsNvDigestCertifyInfo> = struct('TPMS_NV_DIGEST_CERTIFY_INFO', {
  indexName: TPM2B_NAME,
  nvDigest: TPM2B_DIGEST,
});

/** The value of {@link TPMS_TIME_ATTEST_INFO}. */
export interface TpmsTimeAttestInfo {
  time: TpmsTimeInfo;
  firmwareVersion: bigint;
}
/** Time of the TPM. TPMS_TIME_ATTEST_INFO, Part 2, 10.12.2. */
export const TPMS_TIME_ATTEST_INFO: Codec<TpmsTimeAttestInfo> = struct('TPMS_TIME_ATTEST_INFO', {
  time: TPMS_TIME_INFO,
  firmwareVersion: UINT64,
});

/** The first fields of everything that a TPM attests. TPMS_ATTEST, Part 2, 10.12.12. */
export interface AttestHead {
  magic: typeof TPM_GENERATED_VALUE;
  qualifiedSigner: Uint8Array;
  extraData: Uint8Array;
  clockInfo: TpmsClockInfo;
  firmwareVersion: bigint;
}

/** The data that TPM2_Certify signs. */
export type TpmsAttestCertify = AttestHead & { type: TpmSts['ATTEST_CERTIFY']; attested: TpmsCertifyInfo };
/** The data that TPM2_CertifyCreation signs. */
export type TpmsAttestCreation = AttestHead & { type: TpmSts['ATTEST_CREATION']; attested: TpmsCreationInfo };
/** The data that TPM2_Quote signs. */
export type TpmsAttestQuote = AttestHead & { type: TpmSts['ATTEST_QUOTE']; attested: TpmsQuoteInfo };

/** The value of {@link TPMS_ATTEST}. */
export type TpmsAttest =
  | TpmsAttestCertify
  | TpmsAttestCreation
  | TpmsAttestQuote
  | (AttestHead & { type: TpmSts['ATTEST_COMMAND_AUDIT']; attested: TpmsCommandAuditInfo })
  | (AttestHead & { type: TpmSts['ATTEST_SESSION_AUDIT']; attested: TpmsSessionAuditInfo })
  | (AttestHead & { type: TpmSts['ATTEST_TIME']; attested: TpmsTimeAttestInfo })
  | (AttestHead & { type: TpmSts['ATTEST_NV']; attested: TpmsNvCertifyInfo })
  | (AttestHead & { type: TpmSts['ATTEST_NV_DIGEST']; attested: TpmsNvDigestCertifyInfo });

/** An attestation of any type. TPMS_ATTEST, Part 2, 10.12.12. */
export const TPMS_ATTEST: Codec<TpmsAttest> = tagged(
  'TPMS_ATTEST',
  ['type', 'TPMI_ST_ATTEST'],
  {
    [TPM_ST.ATTEST_CERTIFY]: { attested: TPMS_CERTIFY_INFO },
    [TPM_ST.ATTEST_CREATION]: { attested: TPMS_CREATION_INFO },
    [TPM_ST.ATTEST_QUOTE]: { attested: TPMS_QUOTE_INFO },
    [TPM_ST.ATTEST_COMMAND_AUDIT]: { attested: TPMS_COMMAND_AUDIT_INFO },
    [TPM_ST.ATTEST_SESSION_AUDIT]: { attested: TPMS_SESSION_AUDIT_INFO },
    [TPM_ST.ATTEST_TIME]: { attested: TPMS_TIME_ATTEST_INFO },
    [TPM_ST.ATTEST_NV]: { attested: TPMS_NV_CERTIFY_INFO },
    [TPM_ST.ATTEST_NV_DIGEST]: { attested: TPMS_NV_DIGEST_CERTIFY_INFO },
  },
  {
    before: { magic: oneOf('TPM_GENERATED', 4, TPM_GENERATED_VALUE) },
    head: { qualifiedSigner: TPM2B_NAME, extraData: TPM2B_DATA, clockInfo: TPMS_CLOCK_INFO, firmwareVersion: UINT64 },
  },
);

/**
 * The bytes of a TPMS_ATTEST. Signatures cover exactly these bytes, so commands return them undecoded. TPM2B_ATTEST,
 * Part 2, 10.12.13.
 */
export const TPM2B_ATTEST: Codec<Uint8Array> = bytes16('TPM2B_ATTEST', 2304);

/** A decoded TPMS_ATTEST, for uses to which the signed bytes do not matter. TPM2B_ATTEST, Part 2, 10.12.13. */
export const TPM2B_ATTEST_DECODED: Codec<TpmsAttest> = sized('TPM2B_ATTEST', TPMS_ATTEST);
