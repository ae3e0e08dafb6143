import { describe, expect, it } from 'vitest';
import { ServiceError } from '../../../src/errors/service-error.ts';
import { retryAfter, statusError } from '../../../src/registration/answer-error.ts';
import { exchange } from '../../../src/registration/exchange.ts';
import { serviceStub } from '../../service-stub.ts';

const url = new URL('https://service.test/key/?secret=1');
const refused = (code: string, message = 'x') =>
  serviceStub(() =>
    Promise.reject(new TypeError('fetch failed', { cause: Object.assign(new Error(message), { code }) })),
  );

/** Code, retry and `outcomeUnknown` of the error that `method` ends with. */
async function failure(stub: { fetch: typeof fetch }, method: 'GET' | 'POST' = 'POST', outcomeUnknown = false) {
  const error = await exchange({ method, url, outcomeUnknown }, { fetch: stub.fetch }).catch(
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ServiceError)) throw error;
  if (error.retry === 'backoff') expect(error.remedy).toContain('try again');
  return [error.code, error.retry, error.outcomeUnknown];
}

describe('exchange', () => {
  it('returns any answer, with its time', async () => {
    const { fetch, sent } = serviceStub(new Response('no', { status: 418, headers: { 'x-y': 'z' } }));
    const received = new Date('2026-01-01T00:00:00Z');
    const headers = { authorization: 'Bearer T0ken' };
    const answer = await exchange({ method: 'DELETE', url, headers, now: () => received }, { fetch });
    expect(answer).toMatchObject({ status: 418, ok: false, text: 'no', received });
    expect(answer.where).toBe('DELETE https://service.test/key/');
    expect(answer.headers.get('x-y')).toBe('z');
    expect(answer.redact('T0ken')).toBe('[secret]');
    expect(sent[0]?.headers).toEqual({ accept: 'application/json', authorization: 'Bearer T0ken' });
  });

  it.each([
    [407, 'none', "put the proxy's user name and password in its URL"],
    [502, 'backoff', 'check the address, the network and the proxy, then try again'],
  ])('says what the proxy answered: %i', async (status, retry, remedy) => {
    const answered = refused('UND_ERR_ABORTED', `Proxy response (${status}) !== 200 when HTTP Tunneling`);
    await expect(exchange({ method: 'POST', url }, { fetch: answered.fetch })).rejects.toMatchObject({
      ...{ code: 'service-unreachable', retry, remedy, outcomeUnknown: false },
      message: `POST https://service.test/key/: the proxy answered with status ${status}`,
    });
  });

  it.each([
    ['ECONNREFUSED', 'backoff', false],
    ['ENOTFOUND', 'backoff', false],
    ['ECONNRESET', 'backoff', true],
    ['UND_ERR_SOCKET', 'backoff', true],
    ['CERT_HAS_EXPIRED', 'none', false],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'none', false],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'none', false],
    ['', 'backoff', true],
  ])('explains %s', async (code, retry, unknown) => {
    expect(await failure(refused(code))).toEqual(['service-unreachable', retry, unknown]);
    expect(await failure(refused(code), 'GET')).toEqual(['service-unreachable', retry, false]);
    expect(await failure(refused(code), 'GET', true)).toEqual(['service-unreachable', retry, true]);
  });

  it('refuses a URL with a password, without saying it', async () => {
    const withPassword = new URL('https://user:p4ssword@service.test/');
    const { fetch, sent } = serviceStub();
    const asking = exchange({ method: 'GET', url: withPassword }, { fetch });
    await expect(asking).rejects.toThrow('GET https://service.test/: the URL must not contain a user name or password');
    expect(sent).toEqual([]);
  });

  it.each([0, 2 ** 31, Infinity, Number.NaN])('refuses a time-out of %s ms', async (timeoutMs) => {
    const { fetch, sent } = serviceStub();
    await expect(exchange({ method: 'GET', url }, { fetch, timeoutMs })).rejects.toThrow(RangeError);
    expect(sent).toEqual([]);
  });

  it('limits the bytes of an answer, even of an endless one', async () => {
    let count = 0;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        count++;
        controller.enqueue(new Uint8Array(1024 * 1024));
      },
    });
    expect(await failure(serviceStub(() => new Response(body)))).toEqual(['service-answer', 'none', true]);
    expect(count).toBeLessThan(8);
  });
});

describe('statusError', () => {
  const errorOf = async (response: Response | (() => Response)) =>
    statusError(await exchange({ method: 'POST', url, secrets: ['S3cret'] }, { fetch: serviceStub(response).fetch }));

  it.each([
    [500, 'service-unreachable', 'backoff', true],
    [429, 'service-unreachable', 'backoff', false],
    [404, 'service-refused', 'none', false],
    [401, 'service-refused', 'mfa', false],
  ])('says the same for a status %i with a page of any length', async (status, ...expected) => {
    const page = `Sorry ${'x'.repeat(5 * 1024 * 1024)}`;
    const { code, retry, outcomeUnknown, message } = await errorOf(() => new Response(page, { status }));
    expect([code, retry, outcomeUnknown]).toEqual(expected);
    expect(message).toContain(`: status ${status} Sorry`);
  });

  const page = new TextEncoder().encode(JSON.stringify({ error: 'invalid_grant', error_description: 'no such user' }));
  const cutOff = (
    status: number,
    end: (body: ReadableStreamDefaultController<Uint8Array>) => void,
    beginning = page,
  ) => {
    const sources = [beginning];
    const pull = (body: ReadableStreamDefaultController<Uint8Array>) => {
      const bytes = sources.shift();
      if (bytes === undefined) end(body);
      else body.enqueue(bytes);
    };
    return () => new Response(new ReadableStream({ pull }, { highWaterMark: 0 }), { status });
  };
  const BROKEN: [string, (body: ReadableStreamDefaultController<Uint8Array>) => void][] = [
    ['breaks off', (body) => body.error(new TypeError('terminated'))],
    ['never ends', () => {}],
  ];

  it.each(BROKEN)('goes by the status of a response that %s', async (_, end) => {
    for (const [status, ...expected] of [
      [500, 'service-unreachable', 'backoff', true],
      [429, 'service-unreachable', 'backoff', false],
      [403, 'service-refused', 'none', false],
      [401, 'service-refused', 'mfa', false],
    ] as const) {
      const { fetch } = serviceStub(cutOff(status, end));
      const error = statusError(await exchange({ method: 'POST', url }, { fetch, timeoutMs: 30 }));
      expect([error.code, error.retry, error.outcomeUnknown]).toEqual(expected);
      expect(error.message).toBe(`POST https://service.test/key/: status ${status} invalid_grant: no such user`);
    }
    // The page of a 400 says whether to try again, as it does for a sign-in that is not confirmed yet.
    const { fetch } = serviceStub(cutOff(400, end));
    const refusal = exchange({ method: 'POST', url }, { fetch, timeoutMs: 30 });
    await expect(refusal).rejects.toMatchObject({ retry: 'backoff', outcomeUnknown: true });
  });

  it.each([
    ['S3cret-of-the-user', 'was [secret]'],
    ['S3cret-of', 'was [secret]'],
    ['S3cr', 'was [secret]'],
    ['S3c', 'was S3c'],
    ['S3cret-of-the-user.', 'was [secret].'],
  ])('removes a secret that the end of the response cuts: %s', async (end, message) => {
    const body = new TextEncoder().encode(`was ${end}`);
    const { fetch } = serviceStub(cutOff(403, (stream) => stream.error(new TypeError('terminated')), body));
    const request = { method: 'POST', url, secrets: ['S3cret-of-the-user'] } as const;
    expect(statusError(await exchange(request, { fetch })).details?.message).toBe(message);
  });

  it.each(BROKEN)('does not know the outcome after a status 200 that %s', async (_, end) => {
    const { fetch } = serviceStub(cutOff(200, end));
    await expect(exchange({ method: 'POST', url }, { fetch, timeoutMs: 30 })).rejects.toMatchObject({
      retry: 'backoff',
      outcomeUnknown: true,
    });
  });

  it('ends with the reason of the signal while it reads an error', async () => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const { fetch } = serviceStub(cutOff(403, () => abort.abort(reason)));
    await expect(exchange({ method: 'POST', url }, { fetch, signal: abort.signal })).rejects.toBe(reason);
  });

  it.each([
    [{ 'request-id': 'r1', 'client-request-id': 'c1' }, 'oops', { traceId: 'r1', clientRequestId: 'c1' }],
    [{ 'x-ms-request-id': 'r1 S3cret' }, '', { traceId: 'r1 [secret]' }],
    [{ 'request-id': 'r1' }, '{"code":"x","requestId":"r2"}', { traceId: 'r2' }],
    [{ 'request-id': 'r1' }, '{"error":{"code":"x","innerError":{"request-id":""}}}', { traceId: 'r1' }],
    [{ 'request-id': 'r1' }, '{"ErrorType":"x","TraceId":" "}', { traceId: 'r1' }],
    [{}, '{"error":{"code":"x","requestId":"","innerError":{"request-id":"r2"}}}', { traceId: 'r2' }],
  ])('keeps the ids in the headers %j, unless the body has them', async (headers, body, expected) => {
    const { message, details } = await errorOf(new Response(body, { status: 403, headers }));
    expect(details).toMatchObject(expected);
    expect(message).toContain(` (request ${expected.traceId})`);
  });

  it('removes secrets before it cuts', async () => {
    const { message, details } = await errorOf(new Response(`${'x'.repeat(195)} S3cret`, { status: 400 }));
    expect(message).toBe(`POST https://service.test/key/: status 400 ${'x'.repeat(195)} [sec`);
    expect(details?.message).toBe(`${'x'.repeat(195)} [secret]`);
  });

  it.each([
    [{ ErrorType: 'DirectoryError', Message: 'temporarily throttled' }, 'backoff', 300_000],
    [{ error: { code: 'DirectoryError', message: 'Throttled' } }, 'backoff', 300_000],
    [{ ErrorType: 'DirectoryError', Message: 'no such object' }, 'none', undefined],
    [{ code: 'Other', message: 'throttled' }, 'none', undefined],
  ])('tells throttling from other refusals: %j', async (body, retry, retryAfterMs) => {
    const error = await errorOf(Response.json(body, { status: 400 }));
    expect([error.retry, error.retryAfterMs]).toEqual([retry, retryAfterMs]);
  });
});

describe('retryAfter', () => {
  const now = new Date('2026-01-01T00:00:00Z');
  it.each([
    ['120', 120_000],
    ['0', 0],
    [' 7 ', 7000],
    ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
    ['Thursday, 01-Jan-26 00:00:10 GMT', 10_000],
    ['-1', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['2026', 2_026_000],
    ['Foo, bar', undefined],
  ])('reads %j', (value, expected) => {
    expect(retryAfter(new Headers({ 'retry-after': value }), now)).toBe(expected);
  });

  it('is undefined if there is none', () => {
    expect(retryAfter(new Headers(), now)).toBeUndefined();
  });
});
