import { EMPTY } from '../../bytes.ts';
import { type Command, command, type HandleArg } from '../command.ts';
import { TPM_RH } from '../constants.ts';
import {
  TPM2B_AUTH,
  TPM2B_DATA,
  TPM2B_DIGEST,
  TPM2B_NAME,
  TPML_PCR_SELECTION,
  TPMT_TK_CREATION,
  type TpmsPcrSelection,
  type TpmtTkCreation,
} from '../structures/base.ts';
import {
  TPM2B_CREATION_DATA,
  TPM2B_PUBLIC,
  TPM2B_SENSITIVE_CREATE,
  type TpmsCreationData,
  type TpmsSensitiveCreate,
  type TpmtPublic,
} from '../structures/object.ts';
import type { TpmObject } from '../tpm-object.ts';

/** Arguments of {@link CreatePrimary}. */
export interface CreatePrimaryArgs {
  primaryHandle: HandleArg;
  inSensitive: TpmsSensitiveCreate;
  inPublic: TpmtPublic;
  outsideInfo: Uint8Array;
  creationPCR: readonly TpmsPcrSelection[];
}
/** Answer of {@link CreatePrimary}. */
export interface CreatePrimaryResult {
  objectHandle: TpmObject;
  outPublic: TpmtPublic;
  creationData: TpmsCreationData;
  creationHash: Uint8Array;
  creationTicket: TpmtTkCreation;
  name: Uint8Array;
}
/** Makes the primary object of a template and loads it; the same template gives the same key. TPM2_CreatePrimary, Part 3, 24.1. */
export const CreatePrimary: Command<CreatePrimaryArgs, CreatePrimaryResult> = command('CreatePrimary', {
  handles: { primaryHandle: 'user' },
  parameters: {
    inSensitive: TPM2B_SENSITIVE_CREATE,
    inPublic: TPM2B_PUBLIC,
    outsideInfo: TPM2B_DATA,
    creationPCR: TPML_PCR_SELECTION,
  },
  answerHandle: { objectHandle: 'object' },
  answer: {
    outPublic: TPM2B_PUBLIC,
    creationData: TPM2B_CREATION_DATA,
    creationHash: TPM2B_DIGEST,
    creationTicket: TPMT_TK_CREATION,
    name: TPM2B_NAME,
  },
});

/** Removes all objects of the owner and makes a new storage seed. TPM2_Clear, Part 3, 24.6. */
export const Clear: Command<{ authHandle: HandleArg }, object> = command('Clear', {
  handles: { authHandle: 'user' },
  changesAuth: ({ authHandle }) => authAfterClear(authHandle),
});

/** Empties the authorization values of owner, endorsement hierarchy and lockout; keeps that of the platform. */
function authAfterClear(authHandle: HandleArg): Uint8Array {
  if (typeof authHandle === 'object' && 'auth' in authHandle && authHandle.handle === TPM_RH.PLATFORM) {
    const { auth } = authHandle;
    if (auth !== undefined && 'session' in auth && auth.authValue !== undefined) return auth.authValue;
  }
  return EMPTY;
}

/** Changes the authorization value of a hierarchy or of the lockout. TPM2_HierarchyChangeAuth, Part 3, 24.8. */
export const HierarchyChangeAuth: Command<{ authHandle: HandleArg; newAuth: Uint8Array }, object> = command(
  'HierarchyChangeAuth',
  {
    handles: { authHandle: 'user' },
    parameters: { newAuth: TPM2B_AUTH },
    changesAuth: ({ newAuth }) => newAuth,
  },
);
