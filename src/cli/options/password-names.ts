import type { HierarchyName } from '../../errors/tpm-error.ts';

/** The passwords that commands may need: their names in `--tpm-auth`, in the library, and in questions. */
export const PASSWORDS: readonly (readonly [option: string, member: HierarchyName, what: string])[] = [
  ['owner', 'owner', 'owner hierarchy'],
  ['endorsement', 'endorsement', 'endorsement hierarchy'],
  ['lockout', 'lockout', 'lockout hierarchy'],
  ['srk', 'storageParent', 'storage root key'],
];
