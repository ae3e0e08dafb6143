import { toBase64 } from '../../bytes.ts';
import { bearerOf, type RouteAnswer, type RouteRequest } from './http.ts';
import type { ServiceKey } from './key-table.ts';
import { GRAPH_RESOURCE, type ServiceContext } from './service-context.ts';
import type { ServiceUser } from './service-options.ts';

const PAGE_SIZE = 100;
const METHOD_TYPE = '#microsoft.graph.windowsHelloForBusinessAuthenticationMethod';

/** `GET /graph/v1.0/users/{user}/authentication/windowsHelloForBusinessMethods`. */
export function listMethods(context: ServiceContext, request: RouteRequest): Promise<RouteAnswer> {
  return forUser(context, request, ({ upn }) => {
    const { pageSize = PAGE_SIZE } = context.options;
    const start = Number(request.url.searchParams.get('$skiptoken') ?? 0);
    if (!Number.isSafeInteger(start) || start < 0) return graphError(context, request, BAD_PAGE);
    const keys = context.state.keys.list(upn);
    const end = start + pageSize;
    const next = new URL(`${request.url.pathname}?$skiptoken=${end}`, context.origin());
    return {
      status: 200,
      body: {
        '@odata.context': `${context.origin()}/graph/v1.0/$metadata#users/windowsHelloForBusinessMethods`,
        ...(end < keys.length && { '@odata.nextLink': next.href }),
        value: keys.slice(start, end).map((key) => methodOf(context, key)),
      },
    };
  });
}

/** `GET …/{id}`, with `$expand=device` also the device. */
export function readMethod(context: ServiceContext, request: RouteRequest): Promise<RouteAnswer> {
  return forUser(context, request, ({ upn }) => {
    const key = context.state.keys.list(upn).find(({ kid }) => kid === request.params.id);
    if (key === undefined) return graphError(context, request, NO_METHOD);
    const isExpanded = request.url.searchParams.get('$expand') === 'device';
    const device = { '@odata.type': '#microsoft.graph.device', deviceId: key.deviceId };
    return { status: 200, body: { ...methodOf(context, key), ...(isExpanded && { device }) } };
  });
}

const methodOf = ({ state }: ServiceContext, { kid, deviceId, created, attestation }: ServiceKey): object => ({
  '@odata.type': METHOD_TYPE,
  id: kid,
  displayName: state.devices.find(deviceId)?.displayName ?? '',
  createdDateTime: created.toISOString(),
  keyStrength: 'normal',
  // Not in Microsoft Graph: the attestation level of the key.
  attestationLevel: attestation,
});

/** `DELETE …/{id}`: removes the key here at once, and from the directory with the next synchronization. */
export function deleteMethod(context: ServiceContext, request: RouteRequest): Promise<RouteAnswer> {
  return forUser(context, request, ({ upn }) => {
    const removed = context.state.keys.remove(upn, request.params.id ?? '', context.now());
    return removed ? { status: 204 } : graphError(context, request, NO_METHOD);
  });
}

/** `GET /graph/beta/users/{user}?$select=deviceKeys`. */
export function readUser(context: ServiceContext, request: RouteRequest): Promise<RouteAnswer> {
  return forUser(context, request, ({ upn }) => ({
    status: 200,
    body: {
      '@odata.context': `${context.origin()}/graph/beta/$metadata#users(deviceKeys)/$entity`,
      userPrincipalName: upn,
      deviceKeys: context.state.keys.list(upn).map(({ deviceId, keyMaterial }) => ({
        keyType: 'NGC',
        keyMaterial: toBase64(keyMaterial),
        deviceId,
      })),
    },
  }));
}

interface GraphProblem {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const NO_TOKEN = { status: 401, code: 'InvalidAuthenticationToken', message: 'Access token is empty or not valid.' };
const DENIED = {
  status: 403,
  code: 'Authorization_RequestDenied',
  message: 'Insufficient privileges to complete the operation.',
};
const NO_USER = { status: 404, code: 'Request_ResourceNotFound', message: 'The user does not exist.' };
const NO_METHOD = { status: 404, code: 'resourceNotFound', message: 'The requested method does not exist.' };
const BAD_PAGE = { status: 400, code: 'BadRequest', message: 'The skip token is not valid.' };

/** Does `work` for the user in the path, with a token of that user or of an administrator. */
async function forUser(
  context: ServiceContext,
  request: RouteRequest,
  work: (user: ServiceUser) => RouteAnswer,
): Promise<RouteAnswer> {
  const { throttle } = context;
  if (throttle.requests > 0) {
    throttle.requests--;
    const headers = { 'retry-after': String(throttle.retryAfterS) };
    return graphError(context, request, {
      ...{ status: 429, code: 'TooManyRequests', message: 'Too many requests.', headers },
    });
  }
  const token = bearerOf(request);
  const claims = token === undefined ? '' : await context.tokens.verify(token, 'access', [GRAPH_RESOURCE]);
  if (typeof claims === 'string') return graphError(context, request, NO_TOKEN);
  const caller = context.users.find(String(claims.upn));
  const user = context.users.find(request.params.user ?? '');
  const isAllowed = caller !== undefined && (caller.administrator === true || caller === user);
  if (!isAllowed) return graphError(context, request, DENIED);
  return user === undefined ? graphError(context, request, NO_USER) : work(user);
}

function graphError(
  { now }: ServiceContext,
  { requestId }: RouteRequest,
  { status, code, message, headers }: GraphProblem,
): RouteAnswer {
  return {
    status,
    ...(headers && { headers }),
    body: {
      error: {
        code,
        message,
        innerError: { date: now().toISOString().slice(0, 19), 'request-id': requestId, 'client-request-id': requestId },
      },
    },
  };
}
