import type { IncomingHttpHeaders } from 'node:http';
import type { Bytes } from '../../bytes.ts';
import type { ServiceDevice } from './device-table.ts';

/** A request that a route handles. */
export interface RouteRequest {
  readonly method: string;
  readonly url: URL;
  /** Values of the `{names}` in the path of the route. */
  readonly params: Readonly<Record<string, string>>;
  readonly headers: IncomingHttpHeaders;
  readonly body: Bytes;
  /** GUID of this request. */
  readonly requestId: string;
  /** The device whose certificate the connection uses, if it is enabled. */
  readonly device: ServiceDevice | undefined;
}

/** Answer of a route: JSON, or text with its media type. */
export interface RouteAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; text is sent unchanged. */
  readonly body?: unknown;
}

/** Answers a request. */
export type Handler = (request: RouteRequest) => RouteAnswer | Promise<RouteAnswer>;

/** A route: method, path with `{names}` for parts, handler. Ignores case and a slash at the end. */
export type Route = readonly [method: string, path: string, handler: Handler];

/** The value of a header; several are joined by commas. */
export function headerOf({ headers }: RouteRequest, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** The token in the header `authorization`. RFC 6750, 2.1. */
export const bearerOf = (request: RouteRequest): string | undefined =>
  /^Bearer (\S+)$/i.exec(headerOf(request, 'authorization') ?? '')?.[1];

/** The body as text in UTF-8. */
export const bodyText = ({ body }: RouteRequest): string => new TextDecoder().decode(body);

/** The members of a form. */
export const formOf = (request: RouteRequest): URLSearchParams => new URLSearchParams(bodyText(request));

/** The handler of the first matching route, with the parts of the path. */
export function findRoute(
  routes: readonly Route[],
  method: string,
  path: string,
): { readonly handler: Handler; readonly params: Record<string, string> } | undefined {
  for (const [routeMethod, pattern, handler] of routes) {
    const params = routeMethod === method ? matchPath(pattern, path) : undefined;
    if (params !== undefined) return { handler, params };
  }
  return undefined;
}

function matchPath(pattern: string, path: string): Record<string, string> | undefined {
  const wanted = partsOf(pattern);
  const found = partsOf(path);
  if (wanted.length !== found.length) return undefined;
  const params: Record<string, string> = {};
  for (const [i, part] of wanted.entries()) {
    const given = found[i] ?? '';
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    if (name !== undefined) params[name] = given;
    else if (part.toLowerCase() !== given.toLowerCase()) return undefined;
  }
  return params;
}

/** The parts of a path, decoded; a part that cannot be decoded stays unchanged. */
const partsOf = (path: string): string[] => path.split('/').filter(Boolean).map(decoded);

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (error instanceof URIError) return part;
    throw error;
  }
}
