import { ServiceError } from '../errors/service-error.ts';
import { isKeyprovError } from '../errors.ts';
import { encodeGuid } from '../formats/windows/guid.ts';
import { isJsonObject, showJson } from '../json.ts';
import type { SignalOptions } from '../signal.ts';
import { answerError, statusError } from './answer-error.ts';
import { exchange } from './exchange.ts';
import { jsonOf } from './json-service.ts';
import { isContext, isRegistrationId, peerLine } from './peer-text.ts';
import { registrationRefusal } from './registration-refusal.ts';
import type { ServiceAnswer, ServiceOptions, ServiceRequest } from './service-message.ts';
import { type Sleep, sleepFor } from './sleep.ts';

/** Who takes the registration: `keyProvisioning` of discovery. */
export interface RegistrationService {
  readonly endpoint: URL | string;
  /** Default `1.0`, the only one that MS-KPP knows. */
  readonly version?: string | undefined;
}

/** What is registered, and by whom. */
export interface RegistrationRequest {
  /** The access token: see `tokenProblems`. */
  readonly token: string;
  /** The JSON that `buildKeyRegistration` makes. */
  readonly body: string;
  /** User principal name; the service must name the same. */
  readonly user: string;
  /** A GUID for the logs of the service. Each sending has the same. */
  readonly clientRequestId: string;
}

/** What the service says of a key that it has registered. MS-KPP 3.1.5.1.1.2. */
export interface RegistrationAnswer {
  /** Its number of the registration, a GUID; not the KeyID. */
  readonly kid: string;
  /** User principal name of the object that has the key. */
  readonly upn: string;
  /** Opaque printable text; names the domain controller that has the key first. */
  readonly pctx?: string;
  /** Of the service, for its logs. */
  readonly requestId?: string;
  readonly clientRequestId: string;
  /** Members of the answer that are not known here. */
  readonly further: Readonly<Record<string, unknown>>;
}

/** Why the request is sent again. */
export interface RegistrationRetry {
  /** The number of the sending that failed, from 1. */
  readonly attempt: number;
  readonly delayMs: number;
  /** The message of `error`. */
  readonly reason: string;
  /** Without the token. */
  readonly error: ServiceError;
}

/** Options of {@link registerKey}. */
export interface RegisterKeyOptions extends ServiceOptions {
  /** Where `api-version` is: MS-KPP 2.2.1 allows either, not both. Default `query`. */
  readonly apiVersionIn?: 'query' | 'header' | undefined;
  /** How often it is sent at most. Default 4. */
  readonly maxAttempts?: number | undefined;
  /** A service that wants to be left alone for longer, in milliseconds, is not asked again. Default 300,000. */
  readonly maxDelayMs?: number | undefined;
  /**
   * Looks whether the key is registered already. Asked before a sending when an earlier one may have taken effect. What
   * it finds is the result; else the same is sent again. A `service-unreachable` or `service-timeout` that it throws
   * counts as `unknown`.
   */
  readonly lookup?: ((options: SignalOptions) => Promise<RegistrationAnswer | 'absent' | 'unknown'>) | undefined;
  /** Is told before each wait. */
  readonly onRetry?: ((retry: RegistrationRetry) => void) | undefined;
  readonly sleep?: Sleep | undefined;
  /** The clock, for a Retry-After that is a date. */
  readonly now?: (() => Date) | undefined;
  /** From 0 to below 1: spreads the waits. Default `Math.random`. */
  readonly random?: (() => number) | undefined;
}

const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 30_000;
const BAD_ANSWER = 0x801c03e9;
/** Of names that others give, in characters. */
const MAX_NAME = 256;

/**
 * Registers a key. MS-KPP 3.1.5.1. What passes by itself (no connection, no answer, status 429 and 5xx, throttling) is
 * tried again, always with the same body and client-request-id: a service that has stored the key knows it again.
 *
 * @throws TypeError for a URL that is not of https (loopback addresses aside), a client-request-id that is no GUID, a
 * token that is none; RangeError for a number of attempts below 1.
 * @throws ServiceError with a `service-…` code. `outcomeUnknown` tells that the key may be registered all the same;
 * `retry` whether the user is to be asked for a new token. `misplaced` that the service
 * registered the key for another user, and `misplaced` says for whom. The reason of `signal` when that aborts.
 */
export async function registerKey(
  service: RegistrationService,
  request: RegistrationRequest,
  options: RegisterKeyOptions = {},
): Promise<RegistrationAnswer> {
  const { maxAttempts = 4, maxDelayMs = 300_000, onRetry = () => {}, sleep = sleepFor, lookup, signal } = options;
  if (!(maxAttempts >= 1)) throw new RangeError(`${maxAttempts} attempts`);
  const sending = buildRequest(service, request, options);
  let outcomeUnknown = false;
  for (let attempt = 1; ; attempt++) {
    try {
      return readAnswer(await exchange({ ...sending, outcomeUnknown }, options), request);
    } catch (error) {
      if (!(error instanceof ServiceError) || error.retry !== 'backoff' || attempt >= maxAttempts) throw error;
      const wanted = error.retryAfterMs ?? 0;
      if (wanted > maxDelayMs) throw error;
      const delayMs = Math.max(wanted, backoff(attempt, options.random));
      ({ outcomeUnknown } = error);
      onRetry({ attempt, delayMs, reason: error.message, error });
      await sleep(delayMs, { signal });
    }
    const found = outcomeUnknown && lookup ? await lookUp(lookup, signal) : 'unknown';
    if (typeof found !== 'string') return found;
  }
}

function buildRequest(
  { endpoint, version = '1.0' }: RegistrationService,
  { token, body, clientRequestId }: RegistrationRequest,
  { apiVersionIn = 'query', now }: RegisterKeyOptions,
): ServiceRequest {
  encodeGuid(clientRequestId);
  // fetch would say so with the token in its message.
  if (!/^[!-~]+$/.test(token)) throw new TypeError('the token is empty, or has characters that no token has');
  const url = new URL(endpoint);
  if (apiVersionIn === 'query') url.searchParams.set('api-version', version);
  else url.searchParams.delete('api-version');
  return {
    method: 'POST',
    url,
    headers: {
      authorization: `Bearer ${token}`,
      accept: 'application/json',
      'content-type': 'application/json',
      'client-request-id': clientRequestId,
      'return-client-request-id': 'true',
      ...(apiVersionIn === 'header' && { 'api-version': version }),
    },
    body,
    ...(now && { now }),
  };
}

function readAnswer(answer: ServiceAnswer, { user, clientRequestId }: RegistrationRequest): RegistrationAnswer {
  if (!answer.ok) throw statusError(answer, registrationRefusal);
  const bad = (problem: string) => answerError(answer, problem, { windowsCode: BAD_ANSWER, remedy: LOOK });
  const parsed = jsonOf(answer);
  if (!isJsonObject(parsed)) throw bad('the answer is not a JSON object');
  const { kid, upn, pctx, ...others } = parsed;
  if (!isRegistrationId(kid)) throw bad('the answer has no kid that can be one');
  if (typeof upn !== 'string' || upn === '') throw bad('the answer has no upn');
  if (upn.toLowerCase() !== user.toLowerCase()) {
    throw answerError(answer, `the key was registered for ${showJson(upn)}, not for ${user}`, {
      ...{ windowsCode: BAD_ANSWER, outcomeUnknown: false, misplaced: { kid, upn: peerLine(upn, MAX_NAME) } },
      remedy: 'have it removed there, and get a token of the right user',
    });
  }
  const requestId = answer.headers.get('request-id');
  return {
    kid,
    upn,
    ...(isContext(pctx) && { pctx }),
    ...(requestId !== null && { requestId: peerLine(requestId, MAX_NAME) }),
    clientRequestId,
    further: isContext(pctx) || pctx === undefined ? others : { ...others, pctx },
  };
}

const LOOK = 'look whether the key is registered, and remove it if it is not wanted';

/** Doubles from one second on, and of that at least half: RFC 9110 leaves it open, and many clients must not come at once. */
function backoff(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), LONGEST_DELAY_MS);
  return Math.round(full * (0.5 + random() / 2));
}

async function lookUp(
  lookup: NonNullable<RegisterKeyOptions['lookup']>,
  signal: AbortSignal | undefined,
): Promise<RegistrationAnswer | 'absent' | 'unknown'> {
  try {
    return await lookup({ signal });
  } catch (error) {
    signal?.throwIfAborted();
    const maybe = isKeyprovError(error, 'service-unreachable') || isKeyprovError(error, 'service-timeout');
    if (!maybe) throw error;
    return 'unknown'; // the service that just did not answer
  }
}
