import { type Command, command } from '../command.ts';
import { TPM_CAP_CODE, TPMI_YES_NO, type TpmCap, UINT32 } from '../structures/base.ts';
import { TPMS_CAPABILITY_DATA, type TpmsCapabilityData } from '../structures/capability.ts';
import { TPMT_PUBLIC_PARMS, type TpmtPublicParms } from '../structures/object.ts';

/** Arguments of {@link GetCapability}. */
export interface GetCapabilityArgs {
  capability: TpmCap;
  /** The first property wanted. */
  property: number;
  propertyCount: number;
}
/** Answer of {@link GetCapability}. */
export interface GetCapabilityResult {
  /** 1 when there is more than was asked for. */
  moreData: 0 | 1;
  capabilityData: TpmsCapabilityData;
}
/** What the TPM can do and what it holds. TPM2_GetCapability, Part 3, 30.2. */
export const GetCapability: Command<GetCapabilityArgs, GetCapabilityResult> = command('GetCapability', {
  parameters: { capability: TPM_CAP_CODE, property: UINT32, propertyCount: UINT32 },
  answer: { moreData: TPMI_YES_NO, capabilityData: TPMS_CAPABILITY_DATA },
});

/** Whether the TPM supports that combination of algorithms; refused with an error if not. TPM2_TestParms, Part 3, 30.3. */
export const TestParms: Command<{ parameters: TpmtPublicParms }, object> = command('TestParms', {
  parameters: { parameters: TPMT_PUBLIC_PARMS },
});
