import { checkObject } from '../bytes.ts';
import { ServiceError } from '../errors/service-error.ts';
import { isKeyprovError } from '../errors.ts';
import { checkGuid } from '../formats/windows/guid.ts';
import { isJsonObject, showJson } from '../json.ts';
import { checkMembers } from '../known-members.ts';
import { type SignalOptions, unlessAborted } from '../signal.ts';
import { answerError, statusError } from './answer-error.ts';
import { bearer, exchange } from './exchange.ts';
import { jsonOf } from './json-service.ts';
import { isContext, isRegistrationId, peerLine } from './peer-text.ts';
import { registrationRefusal } from './registration-refusal.ts';
import { SERVICE_MEMBERS, type ServiceAnswer, type ServiceOptions, type ServiceRequest } from './service-message.ts';
import { absoluteUrl } from './service-url.ts';
import { type Sleep, sleepFor } from './sleep.ts';

/** The service that registers the key: `keyProvisioning` from discovery. */
export interface RegistrationService {
  readonly endpoint: URL | string;
  /** Default `1.0`, the only version of MS-KPP. */
  readonly version?: string | undefined;
}

/** The key to register, and its user. */
export interface RegistrationRequest {
  /** The access token: see `tokenProblems`. */
  readonly token: string;
  /** The JSON from `buildKeyRegistration`. */
  readonly body: string;
  /** User principal name; the service must return the same. */
  readonly user: string;
  /** A GUID for the service's logs, the same for every attempt. */
  readonly clientRequestId: string;
}

/** The service's response about a registered key. MS-KPP 3.1.5.1.1.2. */
export interface RegistrationAnswer {
  /** The service's number for the registration, a GUID; not the Key ID. */
  readonly kid: string;
  /** The user principal name of the object that has the key. */
  readonly upn: string;
  /** Opaque printable text that identifies the domain controller that gets the key first. */
  readonly pctx?: string;
  /** The request's id in the service's logs. */
  readonly requestId?: string;
  readonly clientRequestId: string;
  /** Unknown members of the response. */
  readonly further: Readonly<Record<string, unknown>>;
}

/** Why the request is sent again. */
export interface RegistrationRetry {
  /** Number of the failed attempt, from 1. */
  readonly attempt: number;
  readonly delayMs: number;
  /** The message of `error`. */
  readonly reason: string;
  /** Without the token. */
  readonly error: ServiceError;
}

/** Options of {@link registerKey}. */
export interface RegisterKeyOptions extends ServiceOptions {
  /** Place of `api-version`: MS-KPP 2.2.1 allows either, not both. Default `query`. */
  readonly apiVersionIn?: 'query' | 'header' | undefined;
  /** Maximum number of attempts. Default 4. */
  readonly maxAttempts?: number | undefined;
  /** The longest wait that the service may ask for, in milliseconds; for a longer one, gives up. Default 300,000. */
  readonly maxDelayMs?: number | undefined;
  /**
   * An earlier call with the same key may have registered it: its error says so with `outcomeUnknown`, or its process was
   * killed. Default false.
   */
  readonly outcomeUnknown?: boolean | undefined;
  /**
   * Looks up whether the key of the request is already registered. Called before an attempt if an earlier one may have
   * taken effect. If it finds the key, that is the result; otherwise the request is sent. `service-unreachable` and
   * `service-timeout` count as `unknown`.
   */
  readonly lookup?:
    | ((request: RegistrationRequest, options: SignalOptions) => Promise<RegistrationAnswer | 'absent' | 'unknown'>)
    | undefined;
  /** Called before each wait. */
  readonly onRetry?: ((retry: RegistrationRetry) => void) | undefined;
  readonly sleep?: Sleep | undefined;
  /** The clock, for a Retry-After that is a date. */
  readonly now?: (() => Date) | undefined;
  /** Returns a number from 0 to below 1, to spread the waits. Default `Math.random`. */
  readonly random?: (() => number) | undefined;
}

const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 30_000;
const BAD_ANSWER = 0x801c03e9;
/** Longest name from a peer, in characters. */
const MAX_NAME = 256;

/**
 * Registers a key. MS-KPP 3.1.5.1. Tries again after temporary failures (no connection, no response, status 429 and
 * 5xx, throttling), always with the same body and client-request-id, so a service that has already stored the key
 * recognizes it.
 *
 * @throws TypeError for a URL without https (except for loopback addresses), a client-request-id that is not a GUID, or
 * an impossible token; RangeError for a number of attempts below 1.
 * @throws ServiceError with a `service-…` code. `outcomeUnknown`: the key may be registered anyway. `retry`: whether to
 * ask the user for a new token. `misplaced`: the other user for whom the service registered the key. The reason of
 * `signal` when it aborts.
 */
export async function registerKey(
  service: RegistrationService,
  request: RegistrationRequest,
  options: RegisterKeyOptions = {},
): Promise<RegistrationAnswer> {
  checkObject(service, 'the service', 'endpoint');
  checkObject(request, 'the request for registerKey', 'token');
  options = checkMembers(
    'registerKey',
    options,
    'apiVersionIn:=query|header? maxAttempts:number? maxDelayMs:number? lookup:function? onRetry:function? sleep:function?',
    'outcomeUnknown:boolean? now:function? random:function?',
    SERVICE_MEMBERS,
  );
  const { maxAttempts = 4, maxDelayMs = 300_000, onRetry = () => {}, sleep = sleepFor, lookup, signal } = options;
  if (!(maxAttempts >= 1)) throw new RangeError(`maxAttempts must be 1 or more, not ${maxAttempts}`);
  const sending = buildRequest(service, request, options);
  let { outcomeUnknown = false } = options;
  for (let attempt = 1; ; attempt++) {
    const found = outcomeUnknown && lookup ? await lookUp(() => lookup(request, { signal }), signal) : 'unknown';
    if (typeof found !== 'string') return found;
    try {
      return readAnswer(await exchange({ ...sending, outcomeUnknown }, options), request);
    } catch (error) {
      if (!(error instanceof ServiceError) || error.retry !== 'backoff' || attempt >= maxAttempts) throw error;
      const wanted = error.retryAfterMs ?? 0;
      if (wanted > maxDelayMs) throw error;
      const delayMs = Math.max(wanted, backoff(attempt, options.random));
      ({ outcomeUnknown } = error);
      onRetry({ attempt, delayMs, reason: error.message, error });
      await unlessAborted(() => sleep(delayMs, { signal }), signal);
    }
  }
}

function buildRequest(
  { endpoint, version = '1.0' }: RegistrationService,
  { token, body, clientRequestId }: RegistrationRequest,
  { apiVersionIn = 'query', now }: RegisterKeyOptions,
): ServiceRequest {
  checkGuid(clientRequestId, 'clientRequestId');
  const url = absoluteUrl(endpoint, 'endpoint');
  if (apiVersionIn === 'query') url.searchParams.set('api-version', version);
  else url.searchParams.delete('api-version');
  return {
    method: 'POST',
    url,
    headers: {
      authorization: bearer(token),
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
  if (!isJsonObject(parsed)) throw bad('the response is not a JSON object');
  const { kid, upn, pctx, ...others } = parsed;
  if (!isRegistrationId(kid)) throw bad('the response has no valid registration number (kid)');
  if (typeof upn !== 'string' || upn === '') throw bad('the response has no upn');
  if (upn.toLowerCase() !== user.toLowerCase()) {
    throw answerError(answer, `the key was registered for ${showJson(upn)}, not for ${user}`, {
      ...{ windowsCode: BAD_ANSWER, outcomeUnknown: false, misplaced: { kid, upn: peerLine(upn, MAX_NAME) } },
      remedy: 'have that registration removed, and get a token for the right user',
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

const LOOK = 'check whether the key is registered, and remove it if you do not want it';

/**
 * Doubles the wait from one second on, and takes half to all of it, so that clients do not come at once. RFC 9110
 * leaves it open.
 */
function backoff(attempt: number, random: () => number = Math.random): number {
  const full = Math.min(FIRST_DELAY_MS * 2 ** (attempt - 1), LONGEST_DELAY_MS);
  return Math.round(full * (0.5 + random() / 2));
}

async function lookUp(
  lookup: () => ReturnType<NonNullable<RegisterKeyOptions['lookup']>>,
  signal: AbortSignal | undefined,
): Promise<RegistrationAnswer | 'absent' | 'unknown'> {
  try {
    const found = await unlessAborted(lookup, signal);
    return typeof found === 'string' ? found : checkObject(found, 'the result of lookup', 'kid:string', 'upn:string');
  } catch (error) {
    signal?.throwIfAborted();
    const maybe = isKeyprovError(error, 'service-unreachable') || isKeyprovError(error, 'service-timeout');
    if (maybe) return 'unknown'; // the service just failed to answer
    if (!(error instanceof ServiceError)) throw error;
    // What the lookup asked had no effect, but the request before it may have.
    throw new ServiceError(error.code, error.message, { ...error, cause: error, outcomeUnknown: true });
  }
}
