import type { Dispatcher } from 'undici';
import { checkMembers } from '../known-members.ts';
import { isLoopback, isSafeUrl } from './service-url.ts';
import { type TlsTrust, type VerifiedTls, verifiedTls } from './verified-tls.ts';

/** Options of {@link createServiceFetch}. None of them turns off the verification of the service's certificate. */
export interface ServiceFetchOptions extends TlsTrust {
  /**
   * The URL of an http or https proxy, with user name and password if it needs them; `environment`: the proxy in
   * HTTPS_PROXY, or else in HTTP_PROXY, except for hosts in NO_PROXY. Default: none. Requests to loopback addresses
   * never go through the proxy.
   */
  readonly proxy?: 'environment' | (string & {}) | undefined;
}

/** A fetch with its own connections. */
export type ServiceFetch = typeof fetch &
  AsyncDisposable & {
    /** Closes its connections, including those in use. Later calls fail. */
    close(): Promise<void>;
  };

/**
 * Makes a fetch for `ServiceOptions.fetch`. It speaks TLS 1.2 or newer and always verifies the service's certificate,
 * even behind a proxy and regardless of NODE_TLS_REJECT_UNAUTHORIZED. http is allowed only for loopback addresses.
 *
 * @throws TypeError for an unknown option, if certificates or key cannot be read or do not belong together, if
 * `onlyTheseRoots` is set without `ca`, or if the proxy is not an http or https URL. KeyprovError `store-io` if the
 * file in NODE_EXTRA_CA_CERTS cannot be read.
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
  options = checkMembers('createServiceFetch', options, 'ca onlyTheseRoots:boolean? clientCertificate proxy:text?');
  const { proxy } = options;
  const tls = verifiedTls(options);
  if (proxy !== undefined && proxy !== 'environment' && !isProxyUrl(proxy)) {
    throw new TypeError('the proxy is not an http or https URL'); // not quoted: it may contain a password
  }
  let connecting: Promise<Connections> | undefined;
  let closed = false;
  const send: typeof fetch = async (input, init) => {
    if (closed) throw new TypeError('this fetch is closed');
    connecting ??= connect(tls, proxy);
    return await (await connecting).send(input, init);
  };
  const close = async () => {
    closed = true;
    await (await connecting)?.close();
  };
  return Object.assign(send, { close, [Symbol.asyncDispose]: close });
}

let usual: ServiceFetch | undefined;

/** The default fetch: {@link createServiceFetch} without options. */
export function usualFetch(): typeof fetch {
  usual ??= createServiceFetch();
  return usual;
}

interface Connections {
  readonly send: typeof fetch;
  readonly close: () => Promise<void>;
}

async function connect(tls: VerifiedTls, proxy: string | undefined): Promise<Connections> {
  // By its file: for the bare name Bun gives modules of its own, which know nothing of dispatchers.
  const { Agent, EnvHttpProxyAgent, ProxyAgent, fetch: undiciFetch } = await import('undici/index.js');
  const direct = new Agent({ connect: tls });
  const options = { connect: tls, requestTls: tls, proxyTls: tls };
  const outside: Dispatcher =
    proxy === undefined
      ? direct
      : proxy === 'environment'
        ? new EnvHttpProxyAgent(options)
        : new ProxyAgent({ ...options, uri: proxy });
  const send = async (input: string | URL | Request, init: object = {}): Promise<Response> => {
    const url = new URL(typeof input === 'object' && 'url' in input ? input.url : input);
    if (!isSafeUrl(url)) throw new TypeError(`${url.origin}: use https, or http to a loopback address`);
    const dispatcher = isLoopback(url) ? direct : outside;
    // A redirection could bypass these rules; `exchange` treats it like any other response.
    const request = { redirect: 'error', ...init, dispatcher };
    // The package declares its own types of fetch, which differ from Node's for the compiler.
    return await Reflect.apply(undiciFetch, undefined, [input, request]);
  };
  return { send, close: async () => void (await Promise.all([direct.destroy(), outside.destroy()])) };
}

function isProxyUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}
