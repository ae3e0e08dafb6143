import { isKeyprovError, KeyprovError } from '../errors.ts';

/** Options of everything that speaks to a service. */
export interface ServiceOptions {
  /** For one exchange, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number;
  /**
   * What sends the requests, such as a fetch with a proxy or with further TLS roots. Default: the global one, which
   * always verifies the certificate of the service (further roots: the environment variable NODE_EXTRA_CA_CERTS).
   */
  readonly fetch?: typeof fetch;
  /** Further headers, such as one with a token. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
/** Too many requests, and what a service says of its own troubles: worth another try. */
const PASSING = /^(429|5\d\d)$/;

/**
 * Asks for JSON with GET. Redirections are not followed.
 *
 * @throws TypeError for a URL that is not of https; http is for loopback addresses only.
 * @throws KeyprovError `service-unreachable` (also status 429 and 5xx), `service-timeout`, `service-refused` (another
 * status than 2xx), `service-answer` (no JSON, or too long). The reason of `signal` when that aborts.
 */
export async function getJson(url: URL, options: ServiceOptions = {}): Promise<unknown> {
  return await exchange('GET', url, undefined, options);
}

/** Sends `body` as JSON with POST and returns the JSON of the answer. It throws as {@link getJson} does. */
export async function postJson(url: URL, body: object, options: ServiceOptions = {}): Promise<unknown> {
  return await exchange('POST', url, JSON.stringify(body), options);
}

async function exchange(
  method: 'GET' | 'POST',
  url: URL,
  body: string | undefined,
  { timeoutMs = DEFAULT_TIMEOUT_MS, fetch: send = fetch, headers = {}, signal }: ServiceOptions,
): Promise<unknown> {
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.test(url.hostname));
  if (!isSafe) throw new TypeError(`${url.href}: https is needed, or http to a loopback address`);
  signal?.throwIfAborted();
  const timeout = AbortSignal.timeout(timeoutMs);
  // Without the query, which may hold what is not for a log.
  const where = `${method} ${url.origin}${url.pathname}`;
  try {
    const answer = await send(url, {
      method,
      headers: {
        ...headers,
        accept: 'application/json',
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body }),
      redirect: 'manual',
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    const text = await readText(answer, where);
    if (!answer.ok) {
      const code = PASSING.test(`${answer.status}`) ? 'service-unreachable' : 'service-refused';
      throw new KeyprovError(code, `${where}: status ${answer.status} ${printable(text)}`);
    }
    return parse(text, where);
  } catch (cause) {
    signal?.throwIfAborted();
    if (isKeyprovError(cause)) throw cause;
    if (timeout.aborted) {
      throw new KeyprovError('service-timeout', `${where}: no answer within ${timeoutMs} ms`, { cause });
    }
    throw new KeyprovError('service-unreachable', `${where}: ${reasonOf(cause)}`, { cause });
  }
}

async function readText(answer: Response, where: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new KeyprovError('service-answer', `${where}: the answer is too long`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KeyprovError('service-answer', `${where}: the answer is no JSON`, { cause });
  }
}

/** The beginning of an error page, safe to print. */
const printable = (text: string): string =>
  text
    .slice(0, 200)
    .replace(/[^ -~]+/g, ' ')
    .trim();

/** fetch says only "fetch failed"; why is in its cause. */
function reasonOf(error: unknown): string {
  const { message = String(error), cause } = Object(error) as { message?: string; cause?: unknown };
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}
