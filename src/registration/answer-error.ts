import { type ErrorDetails, ServiceError, type ServiceErrorOptions } from '../errors/service-error.ts';
import { asciiLine, parseErrorDetails } from './error-details.ts';
import { peerTime } from './peer-time.ts';
import type { ServiceAnswer } from './service-message.ts';

/** The meaning of a status in the caller's protocol. */
export interface StatusMeaning {
  readonly windowsCode?: number | undefined;
  readonly remedy?: string | undefined;
}

const THROTTLED_MS = 300_000;

/**
 * The error for a response whose status is not 2xx: `service-unreachable` if the failure is temporary, even in a status
 * 400 (`DirectoryError`, "temporarily throttled"), else `service-refused`.
 *
 * @param meaning the meaning of the status in this protocol.
 */
export function statusError(
  answer: ServiceAnswer,
  meaning: (status: number, details: ErrorDetails) => StatusMeaning = () => ({}),
): ServiceError {
  const { status, headers, request, redact } = answer;
  const details = { ...idsIn(headers, redact), ...parseErrorDetails(redact(answer.text)) };
  const throttled = status === 400 && details.code === 'DirectoryError' && /throttl/i.test(details.message ?? '');
  const passes = status === 429 || status >= 500 || throttled;
  const { windowsCode = request.windowsCode, ...given } = meaning(status, details);
  const remedy = passes ? 'try again later' : (given.remedy ?? entraRemedy(details) ?? REMEDIES.get(status));
  const { code, subcode, message, traceId } = details;
  const said = asciiLine([code, subcode, message].filter(Boolean).join(': '), 200);
  const trace = traceId === undefined ? '' : ` (request ${asciiLine(traceId, 64)})`;
  return new ServiceError(
    passes ? 'service-unreachable' : 'service-refused',
    `${answer.where}: status ${status} ${said}`.trimEnd() + trace,
    {
      status,
      details,
      windowsCode,
      retry: passes ? 'backoff' : status === 401 ? 'mfa' : 'none',
      retryAfterMs: passes
        ? (retryAfter(headers, answer.received) ?? (throttled ? THROTTLED_MS : undefined))
        : undefined,
      // A service behind a gateway, or in the middle of its work, may have done the work before it failed.
      outcomeUnknown: request.outcomeUnknown === true || (request.method !== 'GET' && status >= 500),
      remedy,
    },
  );
}

/** The ids of Microsoft's services, for a body without them, such as the page of a gateway. */
function idsIn(headers: Headers, redact: ServiceAnswer['redact']) {
  const id = (name: string) => asciiLine(redact(headers.get(name) ?? ''));
  const [traceId, clientRequestId] = [id('request-id') || id('x-ms-request-id'), id('client-request-id')];
  return { ...(traceId !== '' && { traceId }), ...(clientRequestId !== '' && { clientRequestId }) };
}

const entraRemedy = ({ errorCodes = [] }: ErrorDetails): string | undefined =>
  errorCodes.flatMap((number) => ENTRA_REMEDIES.get(number) ?? [])[0];

/** What to do about Entra ID's errors, by the number after AADSTS. */
const ENTRA_REMEDIES: ReadonlyMap<number, string> = new Map([
  [50034, 'check the user name, and whether the user belongs to this tenant'],
  [90002, "check the tenant's ID or domain"],
]);

const REMEDIES: ReadonlyMap<number, string> = new Map([
  [401, 'get a new token'],
  [403, "check the account's permissions"],
]);

/** The error for a response that violates the protocol. */
export function answerError(
  { where, status, request, redact }: ServiceAnswer,
  problem: string,
  options: Partial<ServiceErrorOptions> = {},
): ServiceError {
  return new ServiceError('service-answer', `${where}: ${redact(problem)}`, {
    status,
    retry: 'none',
    outcomeUnknown: request.outcomeUnknown === true || request.method !== 'GET',
    ...options,
  });
}

/** Reads the header Retry-After, in milliseconds from `now`, within bounds. RFC 9110, 10.2.3: seconds, or a date. */
export function retryAfter(headers: Headers, now: Date): number | undefined {
  const value = headers.get('retry-after')?.trim() ?? '';
  if (/^\d+$/.test(value)) return peerTime('retry-after', Number(value) * 1000);
  const date = /^[A-Z][a-z]{2,8},/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : peerTime('retry-after', date - now.getTime());
}
