import { bindLdap } from '../../registration/ldap-connection.ts';
import type { SignalOptions } from '../../signal.ts';
import type { LdapClient } from './ldap-client.ts';

/** A directory, with its accounts for the synchronization and its observers. */
export interface DirectoryConnection {
  /** `ldap://127.0.0.1:2389` */
  readonly url: string;
  /** Name below which its users are: `DC=contoso,DC=test`. */
  readonly base: string;
  /** May only write `msDS-KeyCredentialLink` of users. */
  readonly connector: DirectoryAccount;
  /** May only read it. */
  readonly reader: DirectoryAccount;
}

/** An account: its distinguished name, or in Active Directory also its user principal name. */
export interface DirectoryAccount {
  readonly dn: string;
  readonly password: string;
}

/** A client with its own connection. */
export interface BoundClient extends AsyncDisposable {
  /** The `Client` of the package ldapts. */
  readonly client: LdapClient;
  /** Ends the connection. Idempotent. */
  close(): Promise<void>;
}

/**
 * Connects and binds as that account, for one piece of work: a directory may end idle connections. Verifies the
 * certificate of `ldaps:`, and of `ldap:` to another machine, by StartTLS.
 * @throws KeyprovError `library-missing` without the package ldapts; `service-unreachable` if the server does not
 * answer; `service-refused` for a wrong name or password.
 */
export async function bindDirectory(
  { url }: { readonly url: string },
  account: DirectoryAccount,
  options: SignalOptions = {},
): Promise<BoundClient> {
  const { client, close } = await bindLdap({ url: new URL(url) }, account, options);
  return { client, close, [Symbol.asyncDispose]: close };
}
