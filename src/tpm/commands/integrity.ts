import { list } from '../codec/index.ts';
import { type Command, command, type HandleArg } from '../command.ts';
import { TPMT_HA, type TpmtHa } from '../structures/algorithm.ts';
import { TPML_DIGEST, TPML_PCR_SELECTION, type TpmsPcrSelection, UINT32 } from '../structures/base.ts';

/** Extends a PCR with one digest per bank. TPM2_PCR_Extend, Part 3, 22.2. */
export const PCR_Extend: Command<{ pcrHandle: HandleArg; digests: readonly TpmtHa[] }, object> = command('PCR_Extend', {
  handles: { pcrHandle: 'user' },
  parameters: { digests: list('TPML_DIGEST_VALUES', TPMT_HA, 16) },
});

/** Answer of {@link PCR_Read}. */
export interface PcrReadResult {
  pcrUpdateCounter: number;
  pcrSelectionOut: readonly TpmsPcrSelection[];
  pcrValues: readonly Uint8Array[];
}
/** Reads the values of PCRs, as many as fit; `pcrSelectionOut` says which. TPM2_PCR_Read, Part 3, 22.4. */
export const PCR_Read: Command<{ pcrSelectionIn: readonly TpmsPcrSelection[] }, PcrReadResult> = command('PCR_Read', {
  parameters: { pcrSelectionIn: TPML_PCR_SELECTION },
  answer: { pcrUpdateCounter: UINT32, pcrSelectionOut: TPML_PCR_SELECTION, pcrValues: TPML_DIGEST },
});
