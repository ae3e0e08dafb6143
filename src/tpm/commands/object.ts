import { sizedOptional } from '../codec/index.ts';
import { type Command, command, type HandleArg } from '../command.ts';
import { TPM2B_ENCRYPTED_SECRET } from '../structures/algorithm.ts';
import {
  TPM_HANDLE,
  TPM2B_AUTH,
  TPM2B_DATA,
  TPM2B_DIGEST,
  TPM2B_DIGEST_SECRET,
  TPM2B_NAME,
  TPML_PCR_SELECTION,
  TPMT_TK_CREATION,
  type TpmsPcrSelection,
  type TpmtTkCreation,
} from '../structures/base.ts';
import {
  TPM2B_CREATION_DATA,
  TPM2B_ID_OBJECT,
  TPM2B_PRIVATE,
  TPM2B_PUBLIC,
  TPM2B_SENSITIVE_CREATE,
  TPM2B_TEMPLATE,
  TPMT_SENSITIVE,
  type TpmsCreationData,
  type TpmsSensitiveCreate,
  type TpmtPublic,
  type TpmtSensitive,
} from '../structures/object.ts';
import type { TpmObject } from '../tpm-object.ts';

/** Arguments of {@link Create}. */
export interface CreateArgs {
  parentHandle: HandleArg;
  inSensitive: TpmsSensitiveCreate;
  inPublic: TpmtPublic;
  outsideInfo: Uint8Array;
  creationPCR: readonly TpmsPcrSelection[];
}
/** Answer of {@link Create}. */
export interface CreateResult {
  outPrivate: Uint8Array;
  outPublic: TpmtPublic;
  creationData: TpmsCreationData;
  creationHash: Uint8Array;
  creationTicket: TpmtTkCreation;
}
/** Makes an object under a parent without loading it. TPM2_Create, Part 3, 12.1. */
export const Create: Command<CreateArgs, CreateResult> = command('Create', {
  handles: { parentHandle: 'user' },
  parameters: {
    inSensitive: TPM2B_SENSITIVE_CREATE,
    inPublic: TPM2B_PUBLIC,
    outsideInfo: TPM2B_DATA,
    creationPCR: TPML_PCR_SELECTION,
  },
  answer: {
    outPrivate: TPM2B_PRIVATE,
    outPublic: TPM2B_PUBLIC,
    creationData: TPM2B_CREATION_DATA,
    creationHash: TPM2B_DIGEST,
    creationTicket: TPMT_TK_CREATION,
  },
});

/** Arguments of {@link Load}. */
export interface LoadArgs {
  parentHandle: HandleArg;
  inPrivate: Uint8Array;
  inPublic: TpmtPublic;
}
/** Loads an object that its parent protects. TPM2_Load, Part 3, 12.2. */
export const Load: Command<LoadArgs, { objectHandle: TpmObject; name: Uint8Array }> = command('Load', {
  handles: { parentHandle: 'user' },
  parameters: { inPrivate: TPM2B_PRIVATE, inPublic: TPM2B_PUBLIC },
  answerHandle: { objectHandle: 'object' },
  answer: { name: TPM2B_NAME },
});

/** Arguments of {@link LoadExternal}. */
export interface LoadExternalArgs {
  /** The private area; `null` loads the public area only. */
  inPrivate: TpmtSensitive | null;
  inPublic: TpmtPublic;
  hierarchy: number;
}
/** Loads a public area, or a whole unprotected key. TPM2_LoadExternal, Part 3, 12.3. */
export const LoadExternal: Command<LoadExternalArgs, { objectHandle: TpmObject; name: Uint8Array }> = command(
  'LoadExternal',
  {
    parameters: {
      inPrivate: sizedOptional('TPM2B_SENSITIVE', TPMT_SENSITIVE),
      inPublic: TPM2B_PUBLIC,
      hierarchy: TPM_HANDLE,
    },
    answerHandle: { objectHandle: 'object' },
    answer: { name: TPM2B_NAME },
  },
);

/** Answer of {@link ReadPublic}. */
export interface ReadPublicResult {
  outPublic: TpmtPublic;
  name: Uint8Array;
  qualifiedName: Uint8Array;
}
/** Reads the public area, Name and qualified name of a loaded object. TPM2_ReadPublic, Part 3, 12.4. */
export const ReadPublic: Command<{ objectHandle: HandleArg }, ReadPublicResult> = command('ReadPublic', {
  handles: { objectHandle: 'none' },
  answer: { outPublic: TPM2B_PUBLIC, name: TPM2B_NAME, qualifiedName: TPM2B_NAME },
});

/** Arguments of {@link ActivateCredential}. */
export interface ActivateCredentialArgs {
  /** The object that the credential is for. */
  activateHandle: HandleArg;
  /** The key that the credential is encrypted to. */
  keyHandle: HandleArg;
  credentialBlob: Uint8Array;
  secret: Uint8Array;
}
/** Recovers the secret of a credential, if the TPM holds both keys. TPM2_ActivateCredential, Part 3, 12.5. */
export const ActivateCredential: Command<ActivateCredentialArgs, { certInfo: Uint8Array }> = command(
  'ActivateCredential',
  {
    handles: { activateHandle: 'admin', keyHandle: 'user' },
    parameters: { credentialBlob: TPM2B_ID_OBJECT, secret: TPM2B_ENCRYPTED_SECRET },
    answer: { certInfo: TPM2B_DIGEST_SECRET },
  },
);

/** Arguments of {@link MakeCredential}. */
export interface MakeCredentialArgs {
  handle: HandleArg;
  credential: Uint8Array;
  objectName: Uint8Array;
}
/** Encrypts a credential to a public key. TPM2_MakeCredential, Part 3, 12.6. */
export const MakeCredential: Command<MakeCredentialArgs, { credentialBlob: Uint8Array; secret: Uint8Array }> = command(
  'MakeCredential',
  {
    handles: { handle: 'none' },
    parameters: { credential: TPM2B_DIGEST_SECRET, objectName: TPM2B_NAME },
    answer: { credentialBlob: TPM2B_ID_OBJECT, secret: TPM2B_ENCRYPTED_SECRET },
  },
);

/** Arguments of {@link ObjectChangeAuth}. */
export interface ObjectChangeAuthArgs {
  objectHandle: HandleArg;
  parentHandle: HandleArg;
  newAuth: Uint8Array;
}
/**
 * Gives an object another authorization value: the private area is new, the key stays. TPM2_ObjectChangeAuth, Part 3,
 * 12.8.
 */
export const ObjectChangeAuth: Command<ObjectChangeAuthArgs, { outPrivate: Uint8Array }> = command('ObjectChangeAuth', {
  handles: { objectHandle: 'admin', parentHandle: 'none' },
  parameters: { newAuth: TPM2B_AUTH },
  answer: { outPrivate: TPM2B_PRIVATE },
});

/** Arguments of {@link CreateLoaded}. */
export interface CreateLoadedArgs {
  parentHandle: HandleArg;
  inSensitive: TpmsSensitiveCreate;
  inPublic: TpmtPublic;
}
/** Answer of {@link CreateLoaded}. */
export interface CreateLoadedResult {
  objectHandle: TpmObject;
  outPrivate: Uint8Array;
  outPublic: TpmtPublic;
  name: Uint8Array;
}
/** Makes an object and loads it in one step; not every TPM can. TPM2_CreateLoaded, Part 3, 12.9. */
export const CreateLoaded: Command<CreateLoadedArgs, CreateLoadedResult> = command('CreateLoaded', {
  handles: { parentHandle: 'user' },
  parameters: { inSensitive: TPM2B_SENSITIVE_CREATE, inPublic: TPM2B_TEMPLATE },
  answerHandle: { objectHandle: 'object' },
  answer: { outPrivate: TPM2B_PRIVATE, outPublic: TPM2B_PUBLIC, name: TPM2B_NAME },
});
