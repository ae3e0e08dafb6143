import { type Bytes, byteCount, checkObject, concat } from '../bytes.ts';
import { CodecError } from '../errors/codec-error.ts';
import { isTpmError, TpmError } from '../errors/tpm-error.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { readProperties } from './capabilities.ts';
import type { HandleArg } from './command.ts';
import { NV_Read, NV_ReadPublic } from './commands/nv.ts';
import { TPM_PT, TPM_RH } from './constants.ts';
import { withHiddenAuth } from './hidden-auth.ts';
import type { Authorization } from './session.ts';
import type { TpmsNvPublic } from './structures/nv.ts';
import type { Tpm } from './tpm.ts';
import { TPM_RC } from './tpm-rc.ts';

/** Options of {@link readNv}. */
export interface ReadNvOptions extends SignalOptions {
  /**
   * The owner's authorization, for an index that only the owner can read. Default: the owner's password in
   * `hierarchyAuth`.
   */
  readonly ownerAuth?: Authorization | undefined;
}

/** Maximum size of a TPM2B_MAX_NV_BUFFER, whatever a TPM reports. */
const MAX_CHUNK = 2048;

/**
 * Reads all of an NV index; `undefined` if there is no such index or it was never written. Uses the index's empty
 * authorization value if its attributes allow that and a wrong value does not count as a try (noDA); otherwise the
 * owner's authorization. TPM2_NV_Read, Part 3, 31.13.
 *
 * @throws TpmError if the TPM refuses, for example because the index is locked for reading.
 * @throws KeyprovError `tpm-unsupported` for an index that needs a policy or the platform's authorization, or whose own
 * authorization value counts as a try if it is wrong.
 */
export async function readNv(tpm: Tpm, index: number, options: ReadNvOptions = {}): Promise<Bytes | undefined> {
  const { ownerAuth, signal } = checkMembers('readNv', options, 'ownerAuth signal');
  checkObject(tpm, 'tpm', 'run:function');
  const found = await readPublic(tpm, index, { signal });
  if (found === undefined || found.nvPublic.attributes.written !== true) return undefined;
  const { nvPublic, nvName } = found;
  const nvIndex = { handle: index, name: nvName };
  const authHandle = authorize(nvPublic, nvIndex, ownerAuth);
  const properties = await readProperties(tpm, TPM_PT.NV_BUFFER_MAX, { signal });
  const chunk = Math.min(properties.get(TPM_PT.NV_BUFFER_MAX) || MAX_CHUNK, MAX_CHUNK);
  const read = async (handle: HandleArg): Promise<Bytes> => {
    const parts: Uint8Array[] = [];
    for (let offset = 0; offset < nvPublic.dataSize; offset += chunk) {
      const size = Math.min(chunk, nvPublic.dataSize - offset);
      const { data } = await tpm.run(NV_Read, { authHandle: handle, nvIndex, size, offset }, { signal });
      if (data.length !== size)
        throw new CodecError('the response to TPM2_NV_Read', `${byteCount(data.length)}, not ${size}`);
      parts.push(data);
    }
    return concat(...parts);
  };
  return await withHiddenAuth(tpm, authHandle, { signal }, read);
}

async function readPublic(tpm: Tpm, nvIndex: number, { signal }: SignalOptions) {
  try {
    return await tpm.run(NV_ReadPublic, { nvIndex }, { signal });
  } catch (error) {
    if (isTpmError(error, TPM_RC.HANDLE)) return undefined;
    throw error;
  }
}

function authorize({ attributes, nvIndex }: TpmsNvPublic, index: HandleArg, ownerAuth?: Authorization): HandleArg {
  const owner = { handle: TPM_RH.OWNER, ...(ownerAuth && { auth: ownerAuth }) };
  if (attributes.authRead && attributes.noDA) return index;
  if (attributes.ownerRead) return owner;
  const counts = attributes.authRead ? ', and the TPM counts a wrong password of the index as a wrong PIN' : '';
  throw new TpmError(
    'tpm-unsupported',
    `the owner cannot read the NV index 0x${nvIndex.toString(16).padStart(8, '0')}${counts}`,
    {
      remedy: attributes.authRead
        ? 'define it with TPMA_NV_OWNERREAD or TPMA_NV_NO_DA, or read it with TPM2_NV_Read and its password'
        : 'read it with the policy or the platform authorization that its attributes require',
    },
  );
}
