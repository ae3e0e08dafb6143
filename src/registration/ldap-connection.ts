import { isIP } from 'node:net';
import { withCleanup } from '../errors.ts';
import { endsWithin, type SignalOptions, unlessAborted } from '../signal.ts';
import { loadLdapts } from './ldap-client.ts';
import { ldapError } from './ldap-user.ts';
import { isLoopback } from './service-url.ts';
import { type TlsTrust, verifiedTls } from './verified-tls.ts';

/** Where a directory is, and who is trusted to be it. */
export interface LdapServer extends Pick<TlsTrust, 'ca'> {
  /** `ldap:` or `ldaps:`. Of `ldap:` to another machine TLS is demanded before anything is sent. */
  readonly url: URL;
}

/** Who speaks to it. */
export interface LdapAccount {
  /** Distinguished name, or in Active Directory also the user principal name. */
  readonly dn: string;
  readonly password: string;
}

type Client = InstanceType<Awaited<ReturnType<typeof loadLdapts>>['Client']>;

const TIMEOUT_MS = 10_000;
/** How long a directory has to take the good-bye, in milliseconds. */
const UNBIND_MS = 250;

/**
 * Connects to a directory, with TLS unless it is on this machine, and binds, for one piece of work. The client ends with
 * its connection.
 *
 * @throws KeyprovError `library-missing` without the package ldapts; `service-unreachable` where nobody answers or the
 * certificate is not trusted; `service-refused` for a wrong name or password. TypeError for roots that cannot be read.
 */
export async function bindLdap(
  { url, ca }: LdapServer,
  { dn, password }: LdapAccount,
  { signal }: SignalOptions = {},
): Promise<{ readonly client: Client; readonly close: () => Promise<void> }> {
  const { Client } = await loadLdapts();
  signal?.throwIfAborted();
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const tlsOptions = { ...verifiedTls({ ca }, host), ...(isIP(host) === 0 && { servername: host }) };
  const client = new Client({
    ...{ url: url.href, timeout: TIMEOUT_MS, connectTimeout: TIMEOUT_MS },
    // With these, ldapts 8.0.17 begins with TLS whatever the URL says.
    ...(url.protocol === 'ldaps:' && { tlsOptions }),
  });
  const close = async () => void (await endsWithin(UNBIND_MS, client.unbind()));
  try {
    const needsTls = url.protocol === 'ldap:' && !isLoopback(url);
    // ldapts knows no signal.
    await unlessAborted(async () => {
      if (needsTls) await client.startTLS(tlsOptions);
      await (needsTls ? connectedOnly(client) : client).bind(dn, password);
    }, signal);
  } catch (cause) {
    return await withCleanup(() => {
      signal?.throwIfAborted();
      throw ldapError(`bind as ${dn} at ${url.protocol}//${url.host}`, cause);
    }, close);
  }
  return { client: connectedOnly(client), close };
}

/** ldapts connects again by itself where a directory has ended the connection: as nobody, and without StartTLS. */
function connectedOnly(client: Client): Client {
  return new Proxy(client, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      return async (...given: readonly unknown[]): Promise<unknown> => {
        if (!target.isConnected) throw new Error('the directory has ended the connection');
        return await Reflect.apply(member, target, given);
      };
    },
  });
}
