import { bitField, type Codec, sized, struct } from '../codec/index.ts';
import { TPM_HANDLE, TPM2B_DIGEST, TPMI_ALG_HASH, type TpmiAlgHash, UINT16 } from './base.ts';

/** The value of {@link TPMA_NV}. */
export interface TpmaNv {
  ppWrite?: boolean;
  ownerWrite?: boolean;
  authWrite?: boolean;
  policyWrite?: boolean;
  nt?: number;
  policyDelete?: boolean;
  writeLocked?: boolean;
  writeAll?: boolean;
  writeDefine?: boolean;
  writeStClear?: boolean;
  globalLock?: boolean;
  ppRead?: boolean;
  ownerRead?: boolean;
  authRead?: boolean;
  policyRead?: boolean;
  noDA?: boolean;
  orderly?: boolean;
  clearStClear?: boolean;
  readLocked?: boolean;
  written?: boolean;
  platformCreate?: boolean;
  readStClear?: boolean;
}
/** Attributes of an NV index; `nt` is its type (0 ordinary, 1 counter, 2 bits, 4 extend, 8 PIN fail, 9 PIN pass). TPMA_NV, Part 2, 13.4. */
export const TPMA_NV: Codec<TpmaNv> = bitField('TPMA_NV', 4, {
  ppWrite: 0,
  ownerWrite: 1,
  authWrite: 2,
  policyWrite: 3,
  nt: [4, 4],
  policyDelete: 10,
  writeLocked: 11,
  writeAll: 12,
  writeDefine: 13,
  writeStClear: 14,
  globalLock: 15,
  ppRead: 16,
  ownerRead: 17,
  authRead: 18,
  policyRead: 19,
  noDA: 25,
  orderly: 26,
  clearStClear: 27,
  readLocked: 28,
  written: 29,
  platformCreate: 30,
  readStClear: 31,
});

/** The value of {@link TPMS_NV_PUBLIC}. */
export interface TpmsNvPublic {
  nvIndex: number;
  nameAlg: TpmiAlgHash;
  attributes: TpmaNv;
  authPolicy: Uint8Array;
  dataSize: number;
}
/** The public area of an NV index. TPMS_NV_PUBLIC, Part 2, 13.5. */
export const TPMS_NV_PUBLIC: Codec<TpmsNvPublic> = struct('TPMS_NV_PUBLIC', {
  nvIndex: TPM_HANDLE,
  nameAlg: TPMI_ALG_HASH,
  attributes: TPMA_NV,
  authPolicy: TPM2B_DIGEST,
  dataSize: UINT16,
});
/** The public area of an NV index with its size. TPM2B_NV_PUBLIC, Part 2, 13.6. */
export const TPM2B_NV_PUBLIC: Codec<TpmsNvPublic> = sized('TPM2B_NV_PUBLIC', TPMS_NV_PUBLIC);
