import { loadLdapts } from '../../registration/ldap-client.ts';
import { ldapError } from '../../registration/ldap-user.ts';
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

const TIMEOUT_MS = 10_000;

/**
 * Connects as that account, and binds, for one piece of work: a directory may end connections that are idle, and ldapts
 * connects again by itself, but then as nobody.
 * @throws KeyprovError `library-missing` without the package ldapts; `service-unreachable` where nobody answers;
 * `service-refused` for a wrong name or password.
 */
export async function bindDirectory(
  { url }: { readonly url: string },
  { dn, password }: DirectoryAccount,
  { signal }: SignalOptions = {},
): Promise<BoundClient> {
  const { Client } = await loadLdapts();
  signal?.throwIfAborted();
  const client = new Client({ url, timeout: TIMEOUT_MS, connectTimeout: TIMEOUT_MS });
  const close = () => client.unbind();
  try {
    await client.bind(dn, password);
    signal?.throwIfAborted();
  } catch (cause) {
    await close();
    signal?.throwIfAborted();
    throw ldapError(`bind as ${dn} at ${url}`, cause);
  }
  return { client, close, [Symbol.asyncDispose]: close };
}
