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
/** More than any answer with a few certificates has. */
const MAX_ANSWER_BYTES = 1024 * 1024;
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Sends `body` as JSON and returns the JSON of the answer. Redirections are not followed.
 *
 * @throws TypeError for a URL that is not of https; http is for loopback addresses only.
 * @throws KeyprovError `service-unreachable`, `service-timeout`, `service-refused` (a status other than 2xx),
 * `service-answer` (no JSON, or too long). The reason of `signal` when that aborts.
 */
export async function postJson(url: URL, body: object, options: ServiceOptions = {}): Promise<unknown> {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, fetch: send = fetch, headers = {}, signal } = options;
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.test(url.hostname));
  if (!isSafe) throw new TypeError(`${url.href}: https is needed, or http to a loopback address`);
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const answer = await send(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
      redirect: 'manual',
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
    const text = await readText(answer, url);
    if (!answer.ok) {
      throw new KeyprovError('service-refused', `POST ${url.href}: status ${answer.status} ${printable(text)}`);
    }
    return parse(text, url);
  } catch (cause) {
    signal?.throwIfAborted();
    if (isKeyprovError(cause)) throw cause;
    if (timeout.aborted) {
      throw new KeyprovError('service-timeout', `POST ${url.href}: no answer within ${timeoutMs} ms`, { cause });
    }
    throw new KeyprovError('service-unreachable', `POST ${url.href}: ${reasonOf(cause)}`, { cause });
  }
}

async function readText(answer: Response, url: URL): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new KeyprovError('service-answer', `POST ${url.href}: the answer is too long`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parse(text: string, url: URL): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KeyprovError('service-answer', `POST ${url.href}: the answer is no JSON`, { cause });
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
