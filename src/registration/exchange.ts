import { type Bytes, checkObject, concat } from '../bytes.ts';
import { ServiceError } from '../errors/service-error.ts';
import { sayError } from '../errors.ts';
import { LIMIT } from '../limits.ts';
import { checkTimeout, unlessAborted, withTimeout } from '../signal.ts';
import { answerError } from './answer-error.ts';
import { redactEnd, redactError, redactor } from './secrets.ts';
import { usualFetch } from './service-fetch.ts';
import type { ServiceAnswer, ServiceOptions, ServiceRequest } from './service-message.ts';
import { isSafeUrl } from './service-url.ts';

const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * Sends a request and reads the response. All requests go through here. Returns redirections like other responses. If an
 * error response breaks off, or does not end in time, returns it with the bytes that arrived.
 *
 * @throws TypeError for a URL without https (http is for loopback addresses only), or with a password; RangeError for a
 * `timeoutMs` that is 0 or longer than a timer can run.
 * @throws ServiceError `service-unreachable`, `service-timeout`, or `service-answer` for a 2xx response of more than
 * 4 MiB. The reason of `signal` when it aborts.
 */
export async function exchange(request: ServiceRequest, options: ServiceOptions = {}): Promise<ServiceAnswer> {
  const { method, url, body } = request;
  const { timeoutMs = DEFAULT_TIMEOUT_MS, fetch: send = usualFetch(), signal } = options;
  checkTimeout(timeoutMs, 'timeoutMs');
  const where = `${method} ${url.origin}${url.pathname}`;
  if (!isSafeUrl(url)) throw new TypeError(`${where}: use https, or http to a loopback address`);
  if (url.username !== '' || url.password !== '')
    throw new TypeError(`${where}: the URL must not contain a user name or password`);
  signal?.throwIfAborted();
  const headers = { ...options.headers, accept: 'application/json', ...request.headers };
  const secrets = [...authorizations(headers), ...(request.secrets ?? [])];
  const redact = redactor(secrets);

  let timedOut = false;
  let isNoResponse = false;
  const late = () => {
    timedOut = true;
    return new DOMException('the time is up', 'TimeoutError');
  };
  let answer: Response;
  let bytes: Bytes | undefined;
  let begun: Response | undefined;
  let isCutOff = false;
  const chunks: Uint8Array[] = [];
  try {
    [answer, bytes] = await withTimeout({ signal, timeoutMs, late }, (limit) => {
      const init = { method, headers, ...(body !== undefined && { body }), redirect: 'manual', signal: limit } as const;
      // The caller's fetch may not obey the signal, or not while the body is read.
      return unlessAborted(async () => {
        const received = await send(url, init);
        isNoResponse = true;
        checkObject(received, 'the result of fetch', 'status', 'headers');
        isNoResponse = false;
        begun = received;
        return [received, await readBody(received, chunks, request.limit ?? LIMIT.file, limit)] as const;
      }, limit);
    });
  } catch (cause) {
    signal?.throwIfAborted();
    if (isNoResponse) throw cause;
    if (begun === undefined || begun.ok || begun.status === 400)
      throw connectionError(request, where, redactError(cause, redact), timedOut ? timeoutMs : undefined);
    // The status of an error says what happened, however much of its page arrives, but that of 400 says it in the page.
    answer = begun;
    bytes = concat(...chunks);
    isCutOff = true;
  }
  const { status, ok } = answer;
  const read = { request, where, status, ok, headers: answer.headers, received: request.now?.() ?? new Date(), redact };
  if (bytes === undefined)
    throw answerError({ ...read, bytes: new Uint8Array(0), text: '' }, 'the response is too long');
  const text = new TextDecoder().decode(bytes);
  return { ...read, bytes, text: isCutOff ? redactEnd(text, secrets) : text };
}

/** The error for a rejected fetch; `elapsedMs` is set after a time-out. */
function connectionError(request: ServiceRequest, where: string, cause: Error, elapsedMs?: number): ServiceError {
  const { reason, certain, lasting, remedy: exact, windowsCode = request.windowsCode } = readFailure(cause);
  const tookEffect = request.method !== 'GET' && (elapsedMs !== undefined || !certain);
  const common = { cause, windowsCode, outcomeUnknown: request.outcomeUnknown === true || tookEffect };
  if (elapsedMs !== undefined) {
    const message = `${where}: no response within ${elapsedMs} ms`;
    const remedy = 'try again later, or with a longer timeoutMs';
    return new ServiceError('service-timeout', message, { ...common, retry: 'backoff', remedy });
  }
  return new ServiceError('service-unreachable', `${where}: ${reason}`, {
    ...common,
    retry: lasting ? 'none' : 'backoff',
    remedy:
      exact ??
      (lasting
        ? 'check the address and the trusted roots'
        : 'check the address, the network and the proxy, then try again'),
  });
}

/** The header for a token. @throws TypeError for other characters: fetch would quote them, and the token, in its message. */
export function bearer(token: string): string {
  if (/^[!-~]+$/.test(token)) return `Bearer ${token}`;
  throw new TypeError('the token is empty, or has characters that are not allowed in a token');
}

/** Of `Bearer T`, the whole and T. */
function authorizations(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers)
    .filter(([name]) => name.toLowerCase() === 'authorization')
    .flatMap(([, value]) => [value, value.slice(value.indexOf(' ') + 1)]);
}

/**
 * Reads the body into `chunks`, and returns all of it; undefined if it is too long. If the status is an error, its
 * beginning is enough. Reads no further after an abort.
 */
async function readBody(
  answer: Response,
  chunks: Uint8Array[],
  limit: number,
  signal: AbortSignal,
): Promise<Bytes | undefined> {
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    signal.throwIfAborted();
    size += chunk.length;
    if (size > limit) return answer.ok ? undefined : concat(...chunks, chunk).subarray(0, limit);
    chunks.push(chunk);
  }
  return concat(...chunks);
}

/** Node's codes for no connection. */
const NOT_CONNECTED =
  /^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL|UND_ERR_CONNECT_TIMEOUT|UND_ERR_PRX_TLS)$/;
/** OpenSSL's and Node's codes for a refused certificate or protocol version. */
const NOT_TRUSTED =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|ERR_TLS_CERT_|ERR_SSL_UNSUPPORTED_PROTOCOL|ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION)/;
const CERTIFICATE_TIME = /^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/;
const CLOCKS_DIFFER = 0x80072f8f;

interface Failure {
  readonly reason: string;
  /** The request was certainly not sent. */
  readonly certain: boolean;
  /** Waiting does not help. */
  readonly lasting: boolean;
  readonly windowsCode?: number;
  readonly remedy?: string | undefined;
}

/** Finds the reason among the causes. */
function readFailure(error: Error): Failure {
  const chain: { message: string; code: string }[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const { message, code } = at as Error & { code?: unknown };
    chain.push({ message, code: typeof code === 'string' ? code : '' });
  }
  const some = (pattern: RegExp) => chain.some(({ code }) => pattern.test(code));
  const [ofProxy] = chain.flatMap(({ message }) => /^Proxy response \((\d{3})\)/.exec(message)?.[1] ?? []);
  const needsSignIn = ofProxy === '407';
  const lasting = some(NOT_TRUSTED) || needsSignIn;
  return {
    reason: ofProxy === undefined ? sayError(error) : `the proxy answered with status ${ofProxy}`,
    certain: lasting || ofProxy !== undefined || some(NOT_CONNECTED),
    lasting,
    remedy: needsSignIn ? "put the proxy's user name and password in its URL" : undefined,
    ...(some(CERTIFICATE_TIME) && { windowsCode: CLOCKS_DIFFER }),
  };
}
