import { bindLdap } from '../../registration/ldap-connection.ts';
import type { SignalOptions } from '../../signal.ts';
import type { LdapClient } from './ldap-client.ts';

/** A directory, and the accounts in it that the synchronization and its observers use. */
export interface DirectoryConnection {
  /** `ldap://127.0.0.1:2389` */
  readonly url: string;
  /** Below which name its users are: `DC=contoso,DC=test`. */
  readonly base: string;
  /** May write `msDS-KeyCredentialLink` of users, and nothing else. */
  readonly connector: DirectoryAccount;
  /** May read it, and writes nothing. */
  readonly reader: DirectoryAccount;
}

/** An account: its distinguished name, or where the directory is Active Directory also its user principal name. */
export interface DirectoryAccount {
  readonly dn: string;
  readonly password: string;
}

/** A client with a connection of its own. */
export interface BoundClient extends AsyncDisposable {
  /** The `Client` of the package ldapts. */
  readonly client: LdapClient;
  /** Ends the connection. Idempotent. */
  close(): Promise<void>;
}

/**
 * Connects as that account, and binds, for one piece of work: a directory may end connections that are idle. `ldaps:`,
 * and `ldap:` to another machine with StartTLS, have their certificate verified.
 * @throws KeyprovError `library-missing` without the package ldapts; `service-unreachable` where nobody answers;
 * `service-refused` for a wrong name or password.
 */
export async function bindDirectory(
  { url }: { readonly url: string },
  account: DirectoryAccount,
  options: SignalOptions = {},
): Promise<BoundClient> {
  const { client, close } = await bindLdap({ url: new URL(url) }, account, options);
  return { client, close, [Symbol.asyncDispose]: close };
}
