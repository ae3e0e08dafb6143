import { type Command, command } from '../command.ts';
import { TPM_CAP_CODE, TPMI_YES_NO, type TpmCap, UINT32 } from '../structures/base.ts';
import { TPMS_CAPABILITY_DATA, type TpmsCapabilityData } from '../structures/capability.ts';
import { TPMT_PUBLIC_PARMS, type TpmtPublicParms } from '../structures/object.ts';

/** Arguments of {@link GetCapability}. */
export interface GetCapabilityArgs {
  capability: TpmCap;
  /** The first property to read. */
  property: number;
  propertyCount: number;
}
/** Answer of {@link GetCapability}. */
export interface GetCapabilityResult {
  /** 1 if there is more than was returned. */
  moreData: 0 | 1;
  capabilityData: TpmsCapabilityData;
}
/** Reads what the TPM supports and holds. TPM2_GetCapability, Part 3, 30.2. */
export const GetCapability: Command<GetCapabilityArgs, GetCapabilityResult> = command('GetCapability', {
  parameters: { capability: TPM_CAP_CODE, property: UINT32, propertyCount: UINT32 },
  answer: { moreData: TPMI_YES_NO, capabilityData: TPMS_CAPABILITY_DATA },
});

/** Checks that the TPM supports a combination of algorithms; fails if it does not. TPM2_TestParms, Part 3, 30.3. */
export const TestParms: Command<{ parameters: TpmtPublicParms }, object> = command('TestParms', {
  parameters: { parameters: TPMT_PUBLIC_PARMS },
});
