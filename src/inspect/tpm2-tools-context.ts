import { toHex, uint32At } from '../bytes.ts';
import { bytes16, type Codec, decode, struct } from '../tpm/codec/index.ts';
import { TPM_ALG_ID, TPM_HANDLE, UINT8, UINT32, UINT64 } from '../tpm/structures/base.ts';
import { describeStructure } from './describe-structure.ts';
import type { Format } from './format.ts';

/** A file of `tpm2 createprimary -c` and others: a TPMS_CONTEXT in another order. tpm2-tools 5, lib/files.c. */
const OBJECT: Codec<object> = struct('context', {
  magic: UINT32,
  version: UINT32,
  hierarchy: TPM_HANDLE,
  savedHandle: TPM_HANDLE,
  sequence: UINT64,
  contextBlob: bytes16('TPM2B_CONTEXT_DATA', 0xffff),
});

/** A file of `tpm2 startauthsession -S`. tpm2-tools 5, lib/tpm2_session.c. */
const SESSION: Codec<object> = struct('session', {
  magic: UINT32,
  version: UINT32,
  sessionType: UINT8,
  authHash: TPM_ALG_ID,
  context: OBJECT,
});

/** The mark of every binary file of tpm2-tools. */
export const isOfTpm2Tools = (bytes: Uint8Array): boolean => toHex(bytes.subarray(0, 4)) === 'badcc0de';
/** In the credential file, which has the same version, a size is here. A hierarchy is a handle of type 0x40. */
const isObject = (bytes: Uint8Array): boolean => uint32At(bytes, 4) === 1 && bytes[8] === 0x40;
const isSession = (bytes: Uint8Array): boolean => uint32At(bytes, 4) === 2;

/** What tpm2-tools saves of an object or a session. Only the same TPM can load it. */
export const TPM2_TOOLS_CONTEXT: Format<Uint8Array> = {
  format: 'tpm2-tools-context',
  title: 'tpm2-tools context file',
  claims: (bytes) => isOfTpm2Tools(bytes) && (isObject(bytes) || isSession(bytes)),
  read: (bytes) =>
    isSession(bytes)
      ? { title: 'tpm2-tools context file of a session', fields: describeStructure(SESSION, decode(SESSION, bytes)) }
      : { title: 'tpm2-tools context file of an object', fields: describeStructure(OBJECT, decode(OBJECT, bytes)) },
};
