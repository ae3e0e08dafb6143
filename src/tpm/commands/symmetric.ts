import { type Command, command } from '../command.ts';
import {
  TPM_HANDLE,
  TPM2B_DIGEST,
  TPM2B_MAX_BUFFER,
  TPMI_ALG_HASH,
  TPMT_TK_HASHCHECK,
  type TpmiAlgHash,
  type TpmtTkHashcheck,
} from '../structures/base.ts';

/** Arguments of {@link Hash}. */
export interface HashArgs {
  data: Uint8Array;
  hashAlg: TpmiAlgHash;
  /** The hierarchy of the ticket, or TPM_RH_NULL. */
  hierarchy: number;
}
/** Hashes up to 1024 bytes; the ticket allows a restricted key to sign the digest. TPM2_Hash, Part 3, 15.4. */
export const Hash: Command<HashArgs, { outHash: Uint8Array; validation: TpmtTkHashcheck }> = command('Hash', {
  parameters: { data: TPM2B_MAX_BUFFER, hashAlg: TPMI_ALG_HASH, hierarchy: TPM_HANDLE },
  answer: { outHash: TPM2B_DIGEST, validation: TPMT_TK_HASHCHECK },
});
