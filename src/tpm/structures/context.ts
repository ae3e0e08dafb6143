import { bytes16, type Codec, struct } from '../codec/index.ts';
import { TPM_HANDLE, UINT64 } from './base.ts';

/** The value of {@link TPMS_CONTEXT}. */
export interface TpmsContext {
  sequence: bigint;
  /** For an object 0x80000000, 0x80000001 (sequence) or 0x80000002 (stClear); for a session its handle. */
  savedHandle: number;
  hierarchy: number;
  contextBlob: Uint8Array;
}
/** A saved object or session; the TPM itself protects the blob. TPMS_CONTEXT, Part 2, 14.4. */
export const TPMS_CONTEXT: Codec<TpmsContext> = struct('TPMS_CONTEXT', {
  sequence: UINT64,
  savedHandle: TPM_HANDLE,
  hierarchy: TPM_HANDLE,
  contextBlob: bytes16('TPM2B_CONTEXT_DATA', 4096),
});
