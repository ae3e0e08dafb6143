import { type Command, command, type HandleArg } from '../command.ts';
import { TPMT_SIG_SCHEME, TPMT_SIGNATURE, type TpmtSignature, type TpmtSigScheme } from '../structures/algorithm.ts';
import { TPM2B_ATTEST } from '../structures/attest.ts';
import { TPM2B_AUTH, TPM2B_DATA, TPM2B_MAX_NV_BUFFER, TPM2B_NAME, UINT16 } from '../structures/base.ts';
import { TPM2B_NV_PUBLIC, type TpmsNvPublic } from '../structures/nv.ts';

/** Arguments of {@link NV_DefineSpace}. */
export interface NvDefineSpaceArgs {
  authHandle: HandleArg;
  auth: Uint8Array;
  publicInfo: TpmsNvPublic;
}
/** Makes an NV index. TPM2_NV_DefineSpace, Part 3, 31.3. */
export const NV_DefineSpace: Command<NvDefineSpaceArgs, object> = command('NV_DefineSpace', {
  handles: { authHandle: 'user' },
  parameters: { auth: TPM2B_AUTH, publicInfo: TPM2B_NV_PUBLIC },
});

/** Removes an NV index. TPM2_NV_UndefineSpace, Part 3, 31.4. */
export const NV_UndefineSpace: Command<{ authHandle: HandleArg; nvIndex: HandleArg }, object> = command(
  'NV_UndefineSpace',
  { handles: { authHandle: 'user', nvIndex: 'none' } },
);

/** Reads the public area and Name of an NV index. TPM2_NV_ReadPublic, Part 3, 31.6. */
export const NV_ReadPublic: Command<{ nvIndex: HandleArg }, { nvPublic: TpmsNvPublic; nvName: Uint8Array }> = command(
  'NV_ReadPublic',
  {
    handles: { nvIndex: 'none' },
    answer: { nvPublic: TPM2B_NV_PUBLIC, nvName: TPM2B_NAME },
  },
);

/** Arguments of {@link NV_Write}. */
export interface NvWriteArgs {
  authHandle: HandleArg;
  nvIndex: HandleArg;
  data: Uint8Array;
  offset: number;
}
/** Writes to an NV index. TPM2_NV_Write, Part 3, 31.7. */
export const NV_Write: Command<NvWriteArgs, object> = command('NV_Write', {
  handles: { authHandle: 'user', nvIndex: 'none' },
  parameters: { data: TPM2B_MAX_NV_BUFFER, offset: UINT16 },
});

/** Arguments of {@link NV_Read}. */
export interface NvReadArgs {
  authHandle: HandleArg;
  nvIndex: HandleArg;
  size: number;
  offset: number;
}
/** Reads up to TPM_PT_NV_BUFFER_MAX bytes of an NV index. TPM2_NV_Read, Part 3, 31.13. */
export const NV_Read: Command<NvReadArgs, { data: Uint8Array }> = command('NV_Read', {
  handles: { authHandle: 'user', nvIndex: 'none' },
  parameters: { size: UINT16, offset: UINT16 },
  answer: { data: TPM2B_MAX_NV_BUFFER },
});

/** Arguments of {@link NV_Certify}. */
export interface NvCertifyArgs {
  signHandle: HandleArg;
  authHandle: HandleArg;
  nvIndex: HandleArg;
  qualifyingData: Uint8Array;
  inScheme: TpmtSigScheme;
  size: number;
  offset: number;
}
/** Signs the contents of an NV index. TPM2_NV_Certify, Part 3, 31.16. */
export const NV_Certify: Command<NvCertifyArgs, { certifyInfo: Uint8Array; signature: TpmtSignature }> = command(
  'NV_Certify',
  {
    handles: { signHandle: 'user', authHandle: 'user', nvIndex: 'none' },
    parameters: { qualifyingData: TPM2B_DATA, inScheme: TPMT_SIG_SCHEME, size: UINT16, offset: UINT16 },
    answer: { certifyInfo: TPM2B_ATTEST, signature: TPMT_SIGNATURE },
  },
);
