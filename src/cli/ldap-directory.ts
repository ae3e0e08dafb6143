import { withCleanup } from '../errors.ts';
import { bindLdap, type LdapAccount, type LdapServer } from '../registration/ldap-connection.ts';
import { ldapReader } from '../registration/ldap-reader.ts';
import type { DirectoryReader } from '../registration/sync-status.ts';
import { verifiedTls } from '../registration/verified-tls.ts';

/** A directory, and who reads it. */
export interface LdapDirectory extends LdapServer, LdapAccount {
  /** Below which name users are. */
  readonly base: string;
}

/**
 * Reads a directory, for each look with a connection of its own: between two of them it may end one that is idle.
 * It throws as `bindLdap` and `ldapReader` do. @throws TypeError at once for roots that cannot be read.
 */
export function connectingLdapReader({ base, ...directory }: LdapDirectory): DirectoryReader {
  verifiedTls(directory);
  return {
    place: 'active-directory',
    read: async (user, options) => {
      const { client, close } = await bindLdap(directory, directory, options);
      return await withCleanup(() => ldapReader(client, { base }).read(user, options), close);
    },
  };
}
