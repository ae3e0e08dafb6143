import { ServiceError } from '../errors/service-error.ts';
import { isKeyprovError } from '../errors.ts';
import { statusError } from './answer-error.ts';
import {
  type DiscoveredServices,
  DiscoveryFormError,
  endpointsOf,
  isTrustedAddress,
  readDiscoveryDocument,
  servicesOf,
} from './discovery-document.ts';
import { TRUSTED_HOSTS } from './entra-hosts.ts';
import { exchange } from './exchange.ts';
import { peerLine } from './peer-text.ts';
import type { ServiceAnswer, ServiceOptions } from './service-message.ts';
import { baseUrl, pathSegment } from './service-url.ts';
import { isOwnResource } from './token-resource.ts';

/** Options of {@link discoverServices}. */
export interface DiscoverServicesOptions extends ServiceOptions {
  /** Id or domain of a tenant of Entra ID. Absent: the service is an AD FS. */
  readonly tenant?: string | undefined;
  /** The hosts that may be named besides the one that is asked. Default {@link TRUSTED_HOSTS}. */
  readonly trustedHosts?: readonly string[] | undefined;
  /**
   * The resources that tokens may be asked for besides those that name the host which the token is sent to, or that are
   * a GUID of an AD FS which gives its tokens itself. Default: none.
   */
  readonly trustedResources?: readonly string[] | undefined;
  /** What an AD FS is asked for. Default `json`; an answer in the other form is read as well. */
  readonly format?: 'json' | 'xml' | undefined;
}

const MAX_REDIRECTIONS = 5;
const NOT_TRUSTED = 0x801c000b;
const FAILED = 0x801c000c;
const BAD_FORM = 0x801c0012;

/**
 * Asks where the services are: an AD FS by MS-DVRD in version 1.2, Entra ID in version 1.9. Redirections are followed to
 * the same host and to trusted ones; `headers` go to the server that was asked, and no further.
 *
 * @param url of the server, such as `https://enterpriseregistration.windows.net`. https, or http to a loopback address.
 * @throws TypeError for another URL. @throws ServiceError `service-untrusted` for an address or a redirection at another
 * host that is not trusted, or without TLS, and for a service whose tokens would be for another one; `service-answer` for an answer of bad form; `service-unreachable`,
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
  const asked = baseUrl(url);
  const target =
    tenant === undefined
      ? new URL('enrollmentserver/contract?api-version=1.2', asked)
      : new URL(`${pathSegment(tenant)}/Discover?api-version=1.9`, asked);
  const untrusted = (from: URL, what: string, remedy = 'where that host is known, name it in trustedHosts') =>
    new ServiceError('service-untrusted', `GET ${from.origin}${from.pathname}: ${what}`, {
      windowsCode: NOT_TRUSTED,
      remedy,
    });

  let at = target;
  for (let count = 0; ; count++) {
    const { headers, ...others } = options;
    const answer = await ask(at, format, at.origin === asked.origin ? { ...others, headers } : others);
    const next = redirectionOf(answer);
    if (next === undefined) {
      const services = await read(answer);
      for (const [name, endpoint] of endpointsOf(services)) {
        if (!isTrustedAddress(endpoint, asked, trustedHosts)) throw untrusted(at, `${name} is at ${endpoint.origin}`);
      }
      const { trustedResources = [] } = options;
      const tokenEndpoint = services.authentication?.tokenEndpoint;
      for (const [name, service] of servicesOf(services)) {
        if (isOwnResource(service, { tokenEndpoint, trustedResources })) continue;
        const whose = `the tokens of ${name} at ${service.endpoint.origin} would be for ${peerLine(service.resource, 200)}`;
        throw untrusted(at, whose, 'where that is what this service is known by, name it in trustedResources');
      }
      return services;
    }
    if (!isTrustedAddress(next, asked, trustedHosts)) throw untrusted(at, `a redirection to ${next.origin}`);
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
