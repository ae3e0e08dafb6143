import { isGuid } from '../../bytes.ts';
import { headerOf, type RouteAnswer, type RouteRequest } from './http.ts';

/** Why a key is not registered. */
export interface RegistrationProblem {
  readonly status: 400 | 401;
  /** For programs; MS-KPP defines none. */
  readonly code: string;
  /** For people; nothing secret. */
  readonly message: string;
}

/** The client's id of its request, if it is a GUID. */
function clientRequestId(request: RouteRequest): string | undefined {
  const id = headerOf(request, 'client-request-id');
  return id !== undefined && isGuid(id) ? id : undefined;
}

/** The headers of each response: `client-request-id` if the client asks for it. MS-KPP 2.2.1. */
export function echoHeaders(request: RouteRequest): Record<string, string> {
  const id = clientRequestId(request);
  const isWanted = headerOf(request, 'return-client-request-id')?.toLowerCase() === 'true';
  return id !== undefined && isWanted ? { 'client-request-id': id } : {};
}

/** The response of a refusal, with ErrorDetails. MS-KPP 2.2.3.1. */
export function errorDetails(
  request: RouteRequest,
  { status, code, message }: RegistrationProblem,
  now: Date,
): RouteAnswer {
  const clientrequestid = clientRequestId(request);
  return {
    status,
    headers: echoHeaders(request),
    body: {
      code,
      message,
      response: 'ERROR_FAIL',
      target: request.url.pathname,
      ...(clientrequestid !== undefined && { clientrequestid }),
      time: now.toISOString(),
      innererror: { trace: 'null', context: 'null' },
    },
  };
}
