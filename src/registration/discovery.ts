import { checkText } from '../bytes.ts';
import { ServiceError } from '../errors/service-error.ts';
import { isKeyprovError, rethrowAs } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import { statusError } from './answer-error.ts';
import {
  type DiscoveredServices,
  DiscoveryFormError,
  endpointsOf,
  readDiscoveryDocument,
  servicesOf,
} from './discovery-document.ts';
import { TRUSTED_HOSTS } from './entra-hosts.ts';
import { exchange } from './exchange.ts';
import { peerLine } from './peer-text.ts';
import { SERVICE_MEMBERS, type ServiceAnswer, type ServiceOptions } from './service-message.ts';
import { baseUrl, isTrustedAddress, pathSegment, trustRemedy } from './service-url.ts';
import { isOwnResource } from './token-resource.ts';

/** Options of {@link discoverServices}. */
export interface DiscoverServicesOptions extends ServiceOptions {
  /** The id or domain of an Entra ID tenant. Absent: the service is an AD FS. */
  readonly tenant?: string | undefined;
  /** Further hosts that the response may refer to, besides the host of `url`. Default {@link TRUSTED_HOSTS}. */
  readonly trustedHosts?: readonly string[] | undefined;
  /**
   * Further resources for which tokens may be requested. Always allowed: a resource with the host that gets the token,
   * and the GUID of an AD FS that issues its own tokens. Default: none.
   */
  readonly trustedResources?: readonly string[] | undefined;
  /** Format to ask an AD FS for. Default `json`. A response in the other format is read too. */
  readonly format?: 'json' | 'xml' | undefined;
}

/** The members of {@link DiscoverServicesOptions} that are not those of every service, for `checkMembers`. */
export const DISCOVERY_MEMBERS = 'tenant:text? trustedHosts:texts? trustedResources:texts? format:=json|xml?';

const MAX_REDIRECTIONS = 5;
const NOT_TRUSTED = 0x801c000b;
const FAILED = 0x801c000c;
const BAD_FORM = 0x801c0012;

/**
 * Asks a server for the addresses of its services. Uses MS-DVRD version 1.2 for an AD FS, and 1.9 for Entra ID. Follows
 * redirects to the same host and to trusted hosts. Sends `headers` only to the host of `url`.
 *
 * @param url of the server, such as `https://enterpriseregistration.windows.net`. https, or http to a loopback address.
 * @throws TypeError for another URL. @throws ServiceError `service-untrusted` if an address or a redirect has an
 * untrusted host or no TLS, or a service would get tokens for another service; `service-answer` for a malformed answer;
 * `service-unreachable`, `service-timeout` and `service-refused`. The reason of `signal` when it aborts.
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
  options = checkMembers('discoverServices', options, DISCOVERY_MEMBERS, SERVICE_MEMBERS);
  const { tenant, trustedHosts = TRUSTED_HOSTS, format = 'json' } = options;
  const asked = baseUrl(url);
  const target =
    tenant === undefined
      ? new URL('enrollmentserver/contract?api-version=1.2', asked)
      : new URL(`${pathSegment(tenant)}/Discover?api-version=1.9`, asked);
  const untrusted = (from: URL, what: string, remedy: string) =>
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
        if (!isTrustedAddress(endpoint, asked, trustedHosts))
          throw untrusted(at, `${name} is at ${sayOrigin(endpoint)}`, trustRemedy(endpoint));
      }
      const { trustedResources = [] } = options;
      const tokenEndpoint = services.authentication?.tokenEndpoint;
      for (const [name, service] of servicesOf(services)) {
        if (isOwnResource(service, { tokenEndpoint, trustedResources })) continue;
        const whose = `${name} at ${service.endpoint.origin} wants tokens for ${peerLine(service.resource, 200)}`;
        throw untrusted(at, whose, 'if you trust that resource, add it to trustedResources');
      }
      return services;
    }
    if (!isTrustedAddress(next, asked, trustedHosts))
      throw untrusted(at, `it redirects to ${sayOrigin(next)}`, trustRemedy(next));
    if (count === MAX_REDIRECTIONS) throw badForm(`${answer.where}: too many redirects`);
    at = next;
  }
}

/** Reads a discovery response. @throws ServiceError `service-answer` if it is malformed. */
export function parseDiscovery(text: string, contentType: string): DiscoveredServices {
  checkText(text, 'the discovery response');
  checkText(contentType, 'contentType');
  return readForm(text, contentType, (problem) => badForm(`discovery: ${problem}`));
}

function readForm(text: string, contentType: string, failed: (problem: string) => ServiceError): DiscoveredServices {
  return rethrowAs(
    () => readDiscoveryDocument(text, contentType),
    (error) => (error instanceof DiscoveryFormError ? failed(error.message) : undefined),
  );
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
  const { text, headers, where, redact } = answer;
  return readForm(text, headers.get('content-type') ?? '', (problem) => {
    const found = text.trim() === '' ? 'the response is empty' : `the response is not a discovery document: ${problem}`;
    return badForm(`${where}: ${redact(found)}`, undefined, ELSEWHERE);
  });
}

function redirectionOf({ status, headers, where, request }: ServiceAnswer): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(status)) return undefined;
  const location = headers.get('location') ?? '';
  if (location === '' || !URL.canParse(location, request.url.href))
    throw badForm(`${where}: the redirect has no valid address`);
  return new URL(location, request.url);
}

/** A proxy, or the sign-in page of a network, answers for every address. */
const ELSEWHERE = 'check the address, and open it in a browser to see what answers there';

/** The origin of a URL, or its scheme if it has no origin. */
const sayOrigin = ({ origin, protocol }: URL): string => (origin === 'null' ? `a ${protocol} URL` : origin);

function badForm(message: string, cause?: unknown, remedy?: string): ServiceError {
  const options = { retry: 'none', outcomeUnknown: false, windowsCode: BAD_FORM, cause, remedy } as const;
  return new ServiceError('service-answer', message, options);
}
