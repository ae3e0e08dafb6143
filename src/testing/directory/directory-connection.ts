import { checkObject } from '../../bytes.ts';
import { bindLdap } from '../../registration/ldap-connection.ts';
import type { SignalOptions } from '../../signal.ts';
import type { LdapClient } from './ldap-client.ts';

/** How to connect to a directory: its address, and accounts for synchronization and for observers. */
export interface DirectoryConnection {
  /** `ldap://127.0.0.1:2389` */
  readonly url: string;
  /** The base DN of its users: `DC=contoso,DC=test`. */
  readonly base: string;
  /** Writes `msDS-KeyCredentialLink` of users; needs no other write access. */
  readonly connector: DirectoryAccount;
  /** Reads that attribute; needs no write access. */
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
 * Connects and binds as that account. Open a connection for each piece of work, because a directory may end idle ones.
 * Verifies the server's certificate for `ldaps:`, and for `ldap:` to another machine, which uses StartTLS.
 * @throws KeyprovError `library-missing` without the package ldapts, `library-unsuitable` for an incompatible version;
 * `service-unreachable` if the server does not answer or its certificate is not trusted, `service-timeout`;
 * `service-refused` for a wrong name or password; `service-answer` for a response that is not LDAP, or too long.
 */
export async function bindDirectory(
  directory: { readonly url: string },
  account: DirectoryAccount,
  options: SignalOptions = {},
): Promise<BoundClient> {
  const { url } = checkObject(directory, 'the directory', 'url:string');
  checkObject(account, 'the account', 'dn:string', 'password:string');
  const { client, close } = await bindLdap({ url: new URL(url) }, account, options);
  return { client, close, [Symbol.asyncDispose]: close };
}
