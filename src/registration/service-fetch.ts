import { readFileSync } from 'node:fs';
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import type { Dispatcher } from 'undici';

/** Options of {@link createServiceFetch}. There is none that leaves the certificate of the service unverified. */
export interface ServiceFetchOptions {
  /** Further roots that are trusted, in PEM. */
  readonly ca?: string | readonly string[] | undefined;
  /** Trusts the roots in `ca`, and no others. */
  readonly onlyTheseRoots?: boolean | undefined;
  /**
   * URL of a proxy, http or https, with name and password where it wants them; `environment`: the one of HTTPS_PROXY,
   * unless NO_PROXY names the host. Default: none.
   */
  readonly proxy?: 'environment' | (string & {}) | undefined;
  /** What the client shows: in PEM, the certificate with those below its root, and the private key. */
  readonly clientCertificate?: { readonly certificate: string; readonly privateKey: string } | undefined;
}

/** A fetch with connections of its own. */
export type ServiceFetch = typeof fetch &
  AsyncDisposable & {
    /** Ends its connections, also those that are in use; later calls fail. */
    close(): Promise<void>;
  };

/**
 * Makes a fetch for `ServiceOptions.fetch`. It speaks TLS 1.2 or newer and always verifies the certificate of the
 * service, also behind a proxy.
 *
 * @throws TypeError for certificates or a key that cannot be read or do not belong together, no `ca` where only that is
 * to be trusted, or a proxy that is no URL of http or https.
 *
 * @example
 * ```ts
 * import { readFile } from 'node:fs/promises';
 * import { createServiceFetch, openKeyRegistrar } from 'keyprov/registration';
 *
 * const certificate = await readFile('device.pem', 'utf8');
 * const privateKey = await readFile('device.key', 'utf8');
 * await using fetch = createServiceFetch({ clientCertificate: { certificate, privateKey }, proxy: 'environment' });
 * const registrar = await openKeyRegistrar({ url: 'https://sts.contoso.test', fetch });
 * console.log(registrar.address);
 * ```
 */
export function createServiceFetch(options: ServiceFetchOptions = {}): ServiceFetch {
  const { proxy } = options;
  const secureContext = secureContextOf(options);
  if (proxy !== undefined && proxy !== 'environment' && !isProxyUrl(proxy)) {
    throw new TypeError('the proxy is no URL of http or https'); // not said which: there may be a password in it
  }
  let connecting: Promise<Connected> | undefined;
  let closed = false;
  const send: typeof fetch = async (input, init) => {
    if (closed) throw new TypeError('this fetch is closed');
    connecting ??= connect(secureContext, proxy);
    return await (await connecting).send(input, init);
  };
  const close = async () => {
    closed = true;
    await (await connecting)?.dispatcher.destroy();
  };
  return Object.assign(send, { close, [Symbol.asyncDispose]: close });
}

interface Connected {
  readonly dispatcher: Dispatcher;
  readonly send: typeof fetch;
}

async function connect(secureContext: SecureContext, proxy: string | undefined): Promise<Connected> {
  const { Agent, EnvHttpProxyAgent, ProxyAgent, fetch: undiciFetch } = await import('undici');
  const tls = { secureContext };
  const options = { connect: tls, requestTls: tls, proxyTls: tls };
  const dispatcher =
    proxy === undefined
      ? new Agent({ connect: tls })
      : proxy === 'environment'
        ? new EnvHttpProxyAgent(options)
        : new ProxyAgent({ ...options, uri: proxy });
  // The package declares the types of fetch anew, so the compiler takes those of Node for others.
  const send = async (input: unknown, init: object = {}): Promise<Response> =>
    await Reflect.apply(undiciFetch, undefined, [input, { ...init, dispatcher }]);
  return { dispatcher, send };
}

function secureContextOf({ ca, onlyTheseRoots = false, clientCertificate }: ServiceFetchOptions): SecureContext {
  const given = ca === undefined ? [] : [ca].flat();
  if (onlyTheseRoots && given.length === 0) throw new TypeError('no roots are given, and no others are to be trusted');
  try {
    return createSecureContext({
      minVersion: 'TLSv1.2',
      // Given none, Node takes all of its own.
      ...(given.length > 0 && { ca: onlyTheseRoots ? given : [...defaultRoots(), ...given] }),
      ...(clientCertificate && { cert: clientCertificate.certificate, key: clientCertificate.privateKey }),
    });
  } catch (cause) {
    throw new TypeError(`a certificate or the private key: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}

/** What Node trusts by itself: `ca` would replace it. */
function defaultRoots(): string[] {
  const further = process.env.NODE_EXTRA_CA_CERTS;
  return [...rootCertificates, ...(further ? [readFileSync(further, 'utf8')] : [])];
}

function isProxyUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}
