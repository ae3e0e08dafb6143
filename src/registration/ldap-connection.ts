import { isIP } from 'node:net';
import { ServiceError } from '../errors/service-error.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import { endsWithin, type SignalOptions, unlessAborted, withTimeout } from '../signal.ts';
import { LdapMessages } from './ldap-messages.ts';
import { ldapError } from './ldap-user.ts';
import { loadLdapts } from './load-package.ts';
import { isLoopback } from './service-url.ts';
import { type TlsTrust, verifiedTls } from './verified-tls.ts';

/** Address of a directory, and the roots that may vouch for it. */
export interface LdapServer extends Pick<TlsTrust, 'ca'> {
  /** `ldap:` or `ldaps:`. With `ldap:` to another machine, TLS must begin before anything is sent. */
  readonly url: URL;
}

/** The account to bind with. */
export interface LdapAccount {
  /** Distinguished name, or in Active Directory also the user principal name. */
  readonly dn: string;
  readonly password: string;
}

type Client = InstanceType<Awaited<ReturnType<typeof loadLdapts>>['Client']>;

/**
 * Limit in milliseconds for one operation, and for connecting and binding as a whole: ldapts does not limit StartTLS.
 */
const TIMEOUT_MS = 10_000;
/** Limit for unbinding, in milliseconds. */
const UNBIND_MS = 250;

/**
 * Connects to a directory, with TLS unless it is on this machine, and binds, for one piece of work. The client ends
 * with its connection.
 *
 * @throws KeyprovError `library-missing` without the package ldapts, `library-unsuitable` for an incompatible version;
 * `service-unreachable` if the server does not answer or its certificate is not trusted, `service-timeout`;
 * `service-refused` for a wrong name or password; `service-answer` for a response that is not LDAP, or too long.
 * TypeError for unreadable roots.
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
    new ServiceError('service-timeout', `LDAP: connecting to ${where} took longer than ${TIMEOUT_MS} ms`, {
      remedy: 'check the address of the directory and the network, then try again',
    });
  try {
    const needsTls = url.protocol === 'ldap:' && !isLoopback(url);
    const bind = async (): Promise<void> => {
      if (needsTls) await client.startTLS(tlsOptions);
      // Else data received in clear would be read as if it had come through TLS.
      if (!incoming.isEmpty) {
        throw new ServiceError('service-untrusted', `LDAP: ${where} sent data before TLS began`, {
          remedy: 'find out who is tampering with the connection, or connect with ldaps:',
        });
      }
      await (needsTls ? connectedOnly(client, incoming) : client).bind(dn, password);
    };
    // ldapts does not take a signal.
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
  /** Why reading has ended. */
  readonly problem: unknown;
  /** Notes that an operation begins. */
  begin(): void;
}

/**
 * Gives the parser of a client one whole message at a time, and no more than a response can have. ldapts 8.0.17 takes
 * any number, recurses for each further one in the same packet, and nothing catches what it then throws.
 */
function boundIncoming(client: Client): Incoming {
  const parser: unknown = Reflect.get(client, 'messageParser');
  const read: unknown = Reflect.get(Object(parser), 'read');
  if (typeof read !== 'function') {
    throw new KeyprovError('library-unsuitable', 'the package ldapts does not behave like version 8.0', {
      remedy: 'run npm install ldapts@8.0',
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
      void client.unbind().catch(() => undefined); // ends all waiting operations
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

/** Stops ldapts from reconnecting, anonymously and without StartTLS, after a directory has ended the connection. */
function connectedOnly(client: Client, incoming: Incoming): Client {
  return new Proxy(client, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      return async (...given: readonly unknown[]): Promise<unknown> => {
        if (!target.isConnected) throw incoming.problem ?? new Error('the directory closed the connection');
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
