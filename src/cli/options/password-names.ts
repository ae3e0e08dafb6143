import type { HierarchyName } from '../../errors/tpm-error.ts';

/** The passwords that commands can need: what `--tpm-auth` calls them, and the library, and questions. */
export const PASSWORDS: readonly (readonly [option: string, member: HierarchyName, what: string])[] = [
  ['owner', 'owner', 'owner hierarchy'],
  ['endorsement', 'endorsement', 'endorsement hierarchy'],
  ['lockout', 'lockout', 'lockout hierarchy'],
  ['srk', 'storageParent', 'storage root key'],
];
