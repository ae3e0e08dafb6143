import { isGuid } from '../bytes.ts';
import type { DiscoveredService } from './discovery-document.ts';
import { isEntraHost } from './entra-hosts.ts';

/** Facts that decide whether a resource belongs to a service. */
export interface ResourceOwner {
  /** `tokenEndpoint` of the same discovery. */
  readonly tokenEndpoint?: URL | undefined;
  /** Resources that the caller trusts. */
  readonly trustedResources: readonly string[];
}

const DEVICE_REGISTRATION = /^urn:ms-drs:(.+)$/i;

/**
 * Whether a token for the resource of a service may be sent to its endpoint. A hostile service could name the resource
 * of another service and get a token for it: RFC 9728, 7.3; RFC 9700, 2.3. So the resource must name the host of the
 * endpoint, or the caller must have named it. For an AD FS it is a GUID, which counts if the same host issues the
 * tokens.
 */
export function isOwnResource(
  { endpoint, resource }: Pick<DiscoveredService, 'endpoint' | 'resource'>,
  { tokenEndpoint, trustedResources }: ResourceOwner,
): boolean {
  if (trustedResources.includes(resource)) return true;
  const name = DEVICE_REGISTRATION.exec(resource)?.[1]?.toLowerCase();
  if (name === undefined) return URL.canParse(resource) && isBelow(endpoint, new URL(resource));
  if (isGuid(name)) return tokenEndpoint?.host === endpoint.host;
  // The hosts of Entra ID belong to one party.
  return name === endpoint.hostname || (isEntraHost(name) && isEntraHost(endpoint.hostname));
}

/** RFC 9728, 3.3: whether the address is the resource, or below it. */
function isBelow({ origin, pathname }: URL, resource: URL): boolean {
  const path = resource.pathname.replace(/\/$/, '');
  return origin === resource.origin && origin !== 'null' && `${pathname}/`.startsWith(`${path}/`);
}
