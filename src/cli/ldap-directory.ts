import { withCleanup } from '../errors.ts';
import { bindLdap, type LdapAccount, type LdapServer } from '../registration/ldap-connection.ts';
import { ldapReader } from '../registration/ldap-reader.ts';
import type { DirectoryReader } from '../registration/sync-status.ts';
import { verifiedTls } from '../registration/verified-tls.ts';

/** A directory, and the account that reads it. */
export interface LdapDirectory extends LdapServer, LdapAccount {
  /** The DN below which users are. */
  readonly base: string;
}

/**
 * Reads a directory, with a new connection each time, since a server may close an idle one. Reading throws the errors of
 * `bindLdap` and `ldapReader`. @throws TypeError at once for invalid roots.
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
