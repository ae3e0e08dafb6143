import { bitField, type Codec, list, struct, tagged } from '../codec/index.ts';
import { TPM_CAP, type TpmCaps } from '../constants.ts';
import { TPMT_HA, type TpmtHa } from './algorithm.ts';
import {
  PCR_SELECT,
  TPM_ALG_ID,
  TPM_CC_CODE,
  TPM_HANDLE,
  TPML_PCR_SELECTION,
  type TpmsPcrSelection,
  UINT16,
  UINT32,
} from './base.ts';

/** The value of {@link TPMA_ALGORITHM}. */
export interface TpmaAlgorithm {
  asymmetric?: boolean;
  symmetric?: boolean;
  hash?: boolean;
  object?: boolean;
  signing?: boolean;
  encrypting?: boolean;
  method?: boolean;
}
/** The kind of an algorithm. TPMA_ALGORITHM, Part 2, 8.2. */
export const TPMA_ALGORITHM: Codec<TpmaAlgorithm> = bitField('TPMA_ALGORITHM', 4, {
  asymmetric: 0,
  symmetric: 1,
  hash: 2,
  object: 3,
  signing: 8,
  encrypting: 9,
  method: 10,
});

/** The value of {@link TPMS_ALG_PROPERTY}. */
export interface TpmsAlgProperty {
  alg: number;
  algProperties: TpmaAlgorithm;
}
/** An algorithm and its uses. TPMS_ALG_PROPERTY, Part 2, 10.8.1. */
export const TPMS_ALG_PROPERTY: Codec<TpmsAlgProperty> = struct('TPMS_ALG_PROPERTY', {
  alg: TPM_ALG_ID,
  algProperties: TPMA_ALGORITHM,
});

/** The value of {@link TPMA_CC}. */
export interface TpmaCc {
  commandIndex?: number;
  nv?: boolean;
  extensive?: boolean;
  flushed?: boolean;
  cHandles?: number;
  rHandle?: boolean;
  vendor?: boolean;
}
/** A command and its attributes. TPMA_CC, Part 2, 8.9. */
export const TPMA_CC: Codec<TpmaCc> = bitField('TPMA_CC', 4, {
  commandIndex: [0, 16],
  nv: 22,
  extensive: 23,
  flushed: 24,
  cHandles: [25, 3],
  rHandle: 28,
  vendor: 29,
});

/** The value of {@link TPMS_TAGGED_PROPERTY}. */
export interface TpmsTaggedProperty {
  property: number;
  value: number;
}
/** A property of the TPM and its value. TPMS_TAGGED_PROPERTY, Part 2, 10.8.2. */
export const TPMS_TAGGED_PROPERTY: Codec<TpmsTaggedProperty> = struct('TPMS_TAGGED_PROPERTY', {
  property: UINT32,
  value: UINT32,
});

/** The value of {@link TPMS_TAGGED_PCR_SELECT}. */
export interface TpmsTaggedPcrSelect {
  tag: number;
  pcrSelect: Uint8Array;
}
/** The PCRs that have a property, as a bitmap. TPMS_TAGGED_PCR_SELECT, Part 2, 10.8.3. */
export const TPMS_TAGGED_PCR_SELECT: Codec<TpmsTaggedPcrSelect> = struct('TPMS_TAGGED_PCR_SELECT', {
  tag: UINT32,
  pcrSelect: PCR_SELECT,
});

/** The value of {@link TPMS_TAGGED_POLICY}. */
export interface TpmsTaggedPolicy {
  handle: number;
  policyHash: TpmtHa;
}
/** A permanent handle and its policy. TPMS_TAGGED_POLICY, Part 2, 10.8.4. */
export const TPMS_TAGGED_POLICY: Codec<TpmsTaggedPolicy> = struct('TPMS_TAGGED_POLICY', {
  handle: TPM_HANDLE,
  policyHash: TPMT_HA,
});

// Sizes of the lists: MAX_CAP_DATA is 1024 - 8 bytes in the reference implementation (Part 2, 10.9, Annex).
const ROOM = 1016;

/** The value of {@link TPMS_CAPABILITY_DATA}. */
export type TpmsCapabilityData =
  | { capability: TpmCaps['ALGS']; data: readonly TpmsAlgProperty[] }
  | { capability: TpmCaps['HANDLES']; data: readonly number[] }
  | { capability: TpmCaps['COMMANDS']; data: readonly TpmaCc[] }
  | { capability: TpmCaps['PP_COMMANDS'] | TpmCaps['AUDIT_COMMANDS']; data: readonly number[] }
  | { capability: TpmCaps['PCRS']; data: readonly TpmsPcrSelection[] }
  | { capability: TpmCaps['TPM_PROPERTIES']; data: readonly TpmsTaggedProperty[] }
  | { capability: TpmCaps['PCR_PROPERTIES']; data: readonly TpmsTaggedPcrSelect[] }
  | { capability: TpmCaps['ECC_CURVES']; data: readonly number[] }
  | { capability: TpmCaps['AUTH_POLICIES']; data: readonly TpmsTaggedPolicy[] };

const TPML_CC: Codec<readonly number[]> = list('TPML_CC', TPM_CC_CODE, ROOM / 4);

/** The response of TPM2_GetCapability. TPMS_CAPABILITY_DATA, Part 2, 10.10.2. */
export const TPMS_CAPABILITY_DATA: Codec<TpmsCapabilityData> = tagged(
  'TPMS_CAPABILITY_DATA',
  ['capability', 'TPM_CAP', 4],
  {
    [TPM_CAP.ALGS]: { data: list('TPML_ALG_PROPERTY', TPMS_ALG_PROPERTY, Math.floor(ROOM / 6)) },
    [TPM_CAP.HANDLES]: { data: list('TPML_HANDLE', TPM_HANDLE, ROOM / 4) },
    [TPM_CAP.COMMANDS]: { data: list('TPML_CCA', TPMA_CC, ROOM / 4) },
    [TPM_CAP.PP_COMMANDS]: { data: TPML_CC },
    [TPM_CAP.AUDIT_COMMANDS]: { data: TPML_CC },
    [TPM_CAP.PCRS]: { data: TPML_PCR_SELECTION },
    [TPM_CAP.TPM_PROPERTIES]: { data: list('TPML_TAGGED_TPM_PROPERTY', TPMS_TAGGED_PROPERTY, ROOM / 8) },
    [TPM_CAP.PCR_PROPERTIES]: { data: list('TPML_TAGGED_PCR_PROPERTY', TPMS_TAGGED_PCR_SELECT, ROOM / 8) },
    [TPM_CAP.ECC_CURVES]: { data: list('TPML_ECC_CURVE', UINT16, ROOM / 2) },
    [TPM_CAP.AUTH_POLICIES]: { data: list('TPML_TAGGED_POLICY', TPMS_TAGGED_POLICY, 14) },
  },
);
