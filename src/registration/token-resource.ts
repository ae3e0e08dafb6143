import type { DiscoveredService } from './discovery-document.ts';
import { isEntraHost } from './entra-hosts.ts';

/** What decides whether a resource belongs to a service. */
export interface ResourceOwner {
  /** `tokenEndpoint` of the same discovery. */
  readonly tokenEndpoint?: URL | undefined;
  /** Resources that the caller has named. */
  readonly trustedResources: readonly string[];
}

const DEVICE_REGISTRATION = /^urn:ms-drs:(.+)$/i;
const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Whether a token for the resource of a service may be sent to its endpoint. A service names its resource itself, so
 * that a hostile one could name that of another and get a token for it: RFC 9728, 7.3; RFC 9700, 2.3. It is its own
 * where it names the host of the endpoint, or where the caller has named it. That of an AD FS is a GUID: it counts where
 * the same host gives the tokens.
 */
export function isOwnResource(
  { endpoint, resource }: Pick<DiscoveredService, 'endpoint' | 'resource'>,
  { tokenEndpoint, trustedResources }: ResourceOwner,
): boolean {
  if (trustedResources.includes(resource)) return true;
  const name = DEVICE_REGISTRATION.exec(resource)?.[1]?.toLowerCase();
  if (name === undefined) return URL.canParse(resource) && isBelow(endpoint, new URL(resource));
  if (GUID.test(name)) return tokenEndpoint?.host === endpoint.host;
  // The hosts of Entra ID are those of one party.
  return name === endpoint.hostname || (isEntraHost(name) && isEntraHost(endpoint.hostname));
}

/** RFC 9728, 3.3: the resource is the address itself, or one that it is below. */
function isBelow({ origin, pathname }: URL, resource: URL): boolean {
  const path = resource.pathname.replace(/\/$/, '');
  return origin === resource.origin && origin !== 'null' && `${pathname}/`.startsWith(`${path}/`);
}
