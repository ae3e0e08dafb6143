import { isIP } from 'node:net';
import { ServiceError } from '../errors/service-error.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import { endsWithin, type SignalOptions, unlessAborted, withTimeout } from '../signal.ts';
import { loadLdapts } from './ldap-client.ts';
import { LdapMessages } from './ldap-messages.ts';
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

/** For one operation; and to connect and bind all in all, of which ldapts does not limit the handshake of StartTLS. */
const TIMEOUT_MS = 10_000;
/** How long a directory has to take the good-bye, in milliseconds. */
const UNBIND_MS = 250;

/**
 * Connects to a directory, with TLS unless it is on this machine, and binds, for one piece of work. The client ends with
 * its connection.
 *
 * @throws KeyprovError `library-missing` without the package ldapts, `library-unsuitable` for one that is built otherwise;
 * `service-unreachable` where nobody answers or the certificate is not trusted, `service-timeout`; `service-refused` for a
 * wrong name or password; `service-answer` for what is not LDAP, or too much. TypeError for roots that cannot be read.
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
  const where = `${url.protocol}//${url.host}`;
  const incoming = boundIncoming(client);
  const close = async () => void (await endsWithin(UNBIND_MS, client.unbind()));
  const late = () =>
    new ServiceError('service-timeout', `LDAP: ${where} takes longer than ${TIMEOUT_MS} ms to connect`);
  try {
    const needsTls = url.protocol === 'ldap:' && !isLoopback(url);
    const bind = async (): Promise<void> => {
      if (needsTls) await client.startTLS(tlsOptions);
      // Else what came in clear would be read as if it had come through TLS.
      if (!incoming.isEmpty) throw new ServiceError('service-untrusted', `LDAP: ${where} sends more before TLS begins`);
      await (needsTls ? connectedOnly(client, incoming) : client).bind(dn, password);
    };
    // ldapts knows no signal.
    await withTimeout({ signal, timeoutMs: TIMEOUT_MS, late }, (limit) => unlessAborted(bind, limit));
  } catch (cause) {
    return await withCleanup(() => {
      signal?.throwIfAborted();
      throw ldapError(`bind as ${dn} at ${where}`, incoming.problem ?? cause);
    }, close);
  }
  return { client: connectedOnly(client, incoming), close };
}

interface Incoming {
  readonly isEmpty: boolean;
  /** Why nothing is read any more. */
  readonly problem: unknown;
  /** Notes that an operation begins. */
  begin(): void;
}

/**
 * Gives the parser of a client one whole message at a time, and no more of them than an answer can have. ldapts 8.0.17
 * itself takes any number, calls itself for each further one in the same packet, and what it throws then nobody catches.
 */
function boundIncoming(client: Client): Incoming {
  const parser: unknown = Reflect.get(client, 'messageParser');
  const read: unknown = Reflect.get(Object(parser), 'read');
  if (typeof read !== 'function') {
    throw new KeyprovError('library-unsuitable', 'the package ldapts is built otherwise than 8.0', {
      remedy: 'npm install ldapts@8.0',
    });
  }
  const messages = new LdapMessages();
  let problem: unknown;
  const bounded = (data: Uint8Array, pending: unknown): void => {
    if (problem !== undefined) return;
    try {
      for (const message of messages.take(data)) Reflect.apply(read, parser, [Buffer.from(message.buffer), pending]);
    } catch (error) {
      problem = error;
      void client.unbind().catch(() => undefined); // which ends what waits for an answer
    }
  };
  Reflect.set(Object(parser), 'read', bounded);
  return {
    get isEmpty() {
      return messages.isEmpty;
    },
    get problem() {
      return problem;
    },
    begin: () => messages.begin(),
  };
}

/** ldapts connects again by itself where a directory has ended the connection: as nobody, and without StartTLS. */
function connectedOnly(client: Client, incoming: Incoming): Client {
  return new Proxy(client, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      return async (...given: readonly unknown[]): Promise<unknown> => {
        if (!target.isConnected) throw incoming.problem ?? new Error('the directory has ended the connection');
        incoming.begin();
        try {
          return await Reflect.apply(member, target, given);
        } catch (error) {
          throw incoming.problem ?? error;
        }
      };
    },
  });
}
