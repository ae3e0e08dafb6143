import { ServiceError } from '../errors/service-error.ts';
import { isKeyprovError } from '../errors.ts';
import { statusError } from './answer-error.ts';
import { baseUrl } from './base-url.ts';
import {
  type DiscoveredServices,
  DiscoveryFormError,
  endpointsOf,
  isTrustedAddress,
  readDiscoveryDocument,
} from './discovery-document.ts';
import { exchange } from './exchange.ts';
import type { ServiceAnswer, ServiceOptions } from './service-message.ts';

/** Options of {@link discoverServices}. */
export interface DiscoverServicesOptions extends ServiceOptions {
  /** Id or domain of a tenant of Entra ID. Absent: the service is an AD FS. */
  readonly tenant?: string | undefined;
  /** The hosts that may be named besides the one that is asked. Default {@link TRUSTED_HOSTS}. */
  readonly trustedHosts?: readonly string[] | undefined;
  /** What an AD FS is asked for. Default `json`; an answer in the other form is read as well. */
  readonly format?: 'json' | 'xml' | undefined;
}

/** The well known hosts of Entra ID: of the public cloud, of the clouds of the US government and of China. */
export const TRUSTED_HOSTS: readonly string[] = [
  'enterpriseregistration.windows.net',
  'login.microsoftonline.com',
  'login.windows.net',
  'login.microsoft.com',
  'enterpriseregistration.microsoftonline.us',
  'login.microsoftonline.us',
  'enterpriseregistration.partner.microsoftonline.cn',
  'login.partner.microsoftonline.cn',
  'login.chinacloudapi.cn',
];

const MAX_REDIRECTIONS = 5;
const NOT_TRUSTED = 0x801c000b;
const FAILED = 0x801c000c;
const BAD_FORM = 0x801c0012;

/**
 * Asks where the services are: an AD FS by MS-DVRD in version 1.2, Entra ID in version 1.9. Redirections are followed to
 * the same host and to trusted ones.
 *
 * @param url of the server, such as `https://enterpriseregistration.windows.net`. https, or http to a loopback address.
 * @throws TypeError for another URL. @throws ServiceError `service-untrusted` for an address or a redirection at another
 * host that is not trusted, or without TLS; `service-answer` for an answer of bad form; `service-unreachable`,
 * `service-timeout` and `service-refused`. The reason of `signal` when that aborts.
 *
 * @example
 * ```ts
 * import { discoverServices } from 'keyprov/registration';
 *
 * const { keyProvisioning, authentication } = await discoverServices('https://sts.contoso.test');
 * console.log(keyProvisioning?.endpoint.href, authentication?.tokenEndpoint?.href);
 * ```
 */
export async function discoverServices(
  url: string | URL,
  options: DiscoverServicesOptions = {},
): Promise<DiscoveredServices> {
  const { tenant, trustedHosts = TRUSTED_HOSTS, format = 'json' } = options;
  if (tenant === '') throw new TypeError('an empty tenant');
  const asked = baseUrl(url);
  const target =
    tenant === undefined
      ? new URL('enrollmentserver/contract?api-version=1.2', asked)
      : new URL(`${encodeURIComponent(tenant)}/Discover?api-version=1.9`, asked);
  const untrusted = (from: URL, what: string, to: URL) =>
    new ServiceError('service-untrusted', `GET ${from.origin}${from.pathname}: ${what} ${to.origin}`, {
      retry: 'none',
      outcomeUnknown: false,
      windowsCode: NOT_TRUSTED,
      remedy: 'where that host is known, name it in trustedHosts',
    });

  let at = target;
  for (let count = 0; ; count++) {
    const answer = await ask(at, format, options);
    const next = redirectionOf(answer);
    if (next === undefined) {
      const services = await read(answer);
      for (const [name, endpoint] of endpointsOf(services)) {
        if (!isTrustedAddress(endpoint, asked, trustedHosts)) throw untrusted(at, `${name} is at`, endpoint);
      }
      return services;
    }
    if (!isTrustedAddress(next, asked, trustedHosts)) throw untrusted(at, 'a redirection to', next);
    if (count === MAX_REDIRECTIONS) throw badForm(`${answer.where}: too many redirections`);
    at = next;
  }
}

/** Reads an answer of discovery. @throws ServiceError `service-answer` for a bad form. */
export function parseDiscovery(text: string, contentType: string): DiscoveredServices {
  try {
    return readDiscoveryDocument(text, contentType);
  } catch (error) {
    if (!(error instanceof DiscoveryFormError)) throw error;
    throw badForm(`discovery: ${error.message}`);
  }
}

async function ask(url: URL, format: 'json' | 'xml', options: ServiceOptions): Promise<ServiceAnswer> {
  const headers = { accept: `application/${format}` };
  try {
    return await exchange({ method: 'GET', url, headers, windowsCode: FAILED }, options);
  } catch (error) {
    if (!isKeyprovError(error, 'service-answer')) throw error;
    throw badForm(error.message, error);
  }
}

async function read(answer: ServiceAnswer): Promise<DiscoveredServices> {
  if (!answer.ok) throw statusError(answer);
  return parseDiscovery(answer.text, answer.headers.get('content-type') ?? '');
}

function redirectionOf({ status, headers, where, request }: ServiceAnswer): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(status)) return undefined;
  const location = headers.get('location') ?? '';
  if (location === '' || !URL.canParse(location, request.url.href)) throw badForm(`${where}: a redirection to nowhere`);
  return new URL(location, request.url);
}

function badForm(message: string, cause?: unknown): ServiceError {
  const options = { retry: 'none', outcomeUnknown: false, windowsCode: BAD_FORM, cause } as const;
  return new ServiceError('service-answer', message, options);
}
