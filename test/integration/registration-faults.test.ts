import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ServiceError } from '../../src/errors/service-error.ts';
import { buildKeyRegistration } from '../../src/formats/windows/key-registration.ts';
import { windowsErrorOf } from '../../src/provisioning/windows/windows-errors.ts';
import { type DiscoverServicesOptions, discoverServices } from '../../src/registration/discovery.ts';
import {
  type RegisterKeyOptions,
  type RegistrationAnswer,
  type RegistrationRetry,
  registerKey,
} from '../../src/registration/register-key.ts';
import {
  createServiceFetch,
  type ServiceFetch,
  type ServiceFetchOptions,
} from '../../src/registration/service-fetch.ts';
import { buildCommonName } from '../certificates.ts';
import { refusal } from '../refusal.ts';
import { rsaKey } from '../signing-key.ts';
import { closedPort } from './support/fake-server.ts';
import { type Behaviour, KeyService, type PemPair, TestProxy, TestRoots } from './support/key-service.ts';

const kpp = JSON.parse(readFileSync('test/vectors/kpp.json', 'utf8'));
const TOKEN =
  'eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJ1cG4iOiJhZGFAY29udG9zby50ZXN0IiwiYW1yIjpbIm5nY21mYSJdfQ.c2VjcmV0';
const request = {
  token: TOKEN,
  body: buildKeyRegistration({ profile: 'strict', publicKey: rsaKey.publicKey }),
  user: 'ada@contoso.test',
  clientRequestId: '006dd572-ca07-42ae-8472-01a00b045bb8',
};

let roots: TestRoots;
let localhost: PemPair;
let send: ServiceFetch;
let service: KeyService;

beforeAll(async () => {
  roots = await TestRoots.create();
  localhost = await roots.forHost('localhost', 'service.test');
  send = createServiceFetch({ ca: roots.pem });
  service = await KeyService.start(localhost);
});
afterAll(async () => {
  await send.close();
  await service[Symbol.asyncDispose]();
});
afterEach(() => {
  vi.unstubAllEnvs();
});

interface Attempted {
  readonly result: RegistrationAnswer | undefined;
  readonly error: ServiceError | undefined;
  readonly delays: readonly number[];
  readonly retries: readonly RegistrationRetry[];
}

/** Registers the key, without waiting in between. Each wait is the least that the back-off allows. */
async function register(endpoint: string, options: RegisterKeyOptions = {}): Promise<Attempted> {
  const delays: number[] = [];
  const retries: RegistrationRetry[] = [];
  let result: RegistrationAnswer | undefined;
  let error: ServiceError | undefined;
  try {
    result = await registerKey({ endpoint }, request, {
      fetch: send,
      sleep: async (ms) => void delays.push(ms),
      random: () => 0,
      onRetry: (retry) => retries.push(retry),
      ...options,
    });
  } catch (thrown) {
    if (!(thrown instanceof ServiceError)) throw thrown;
    error = thrown;
  }
  for (const leaky of [error, ...retries]) expectNoToken(leaky);
  return { result, error, delays, retries };
}

/** Neither the token nor a part of it. */
function expectNoToken(thing: unknown): void {
  const texts = [inspect(thing, { depth: null, showHidden: true }), JSON.stringify(thing) ?? ''];
  for (let at: unknown = thing; at instanceof Error; at = at.cause) texts.push(at.message, at.stack ?? '');
  for (const part of [TOKEN, ...TOKEN.split('.').slice(0, 2)]) {
    expect(texts.filter((text) => text.includes(part))).toEqual([]);
  }
}

/** The test service's instructions, and the result. */
async function underScript(script: readonly Behaviour[], options: RegisterKeyOptions = {}) {
  service.script = [...script];
  service.requests.length = 0;
  service.stored.clear();
  service.upn = request.user;
  const attempted = await register(service.endpoint, options);
  const { requests, stored } = service;
  for (const { body, headers } of requests) {
    expect([body, headers['client-request-id']]).toEqual([request.body, request.clientRequestId]);
  }
  return { ...attempted, requests, keys: stored.size };
}

/** An error in the words of the tables below. */
function outcomeOf(error: ServiceError | undefined) {
  if (error === undefined) return 'registered';
  const { code, retry, outcomeUnknown } = error;
  const windows = windowsErrorOf(error)?.code.toString(16) ?? '-';
  return `${code} ${retry} ${windows}${outcomeUnknown ? ' unknown' : ''}`;
}

const times = <T>(count: number, thing: T): T[] => Array.from({ length: count }, () => thing);
const BACKOFF = [500, 1000, 2000];

describe('registerKey against a real server', () => {
  it("sends the request of MS-KPP and returns the service's answer", async () => {
    const { result, requests, keys } = await underScript([]);
    expect(result).toEqual({
      kid: [...service.stored.values()][0],
      upn: 'ada@contoso.test',
      pctx: 'eyJE=t=',
      requestId: '650206f2-9a02-447d-9347-0cb7b4fee827',
      clientRequestId: request.clientRequestId,
      further: { krctx: 'receipt' },
    });
    expect([requests.length, keys]).toEqual([1, 1]);
    expect(requests[0]).toMatchObject({ method: 'POST', url: '/EnrollmentServer/key/?api-version=1.0' });
    expect(requests[0]?.headers).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      accept: 'application/json',
      'content-type': 'application/json',
      'return-client-request-id': 'true',
    });
    expect(requests[0]?.headers).not.toHaveProperty('api-version');
  });

  it('sends the version in a header on request, and then not in the query', async () => {
    const { requests } = await underScript([], { apiVersionIn: 'header' });
    expect(requests.map(({ url, headers }) => [url, headers['api-version']])).toEqual([
      ['/EnrollmentServer/key/', '1.0'],
    ]);
  });

  const { body: details } = kpp.keyRegistration.errorConstructed;
  const { body: joinError } = kpp.deviceRegistrationError;
  const throttled = { ErrorType: 'DirectoryError', Message: 'The request is temporarily throttled.' };
  const registered = { kid: 'k', upn: 'ADA@contoso.TEST' };
  it.each<[string, Behaviour, string, number, number[], number]>([
    // answers with status 200
    ['the name in other letters', { status: 201, body: registered, stores: true }, 'registered', 1, [], 1],
    ['HTML', { status: 200, body: '<html>', stores: true }, 'service-answer none 801c03e9 unknown', 1, [], 1],
    [
      'JSON that is cut',
      { status: 200, body: '{"kid":"k",', stores: true },
      'service-answer none 801c03e9 unknown',
      1,
      [],
      1,
    ],
    ['nothing', { status: 200, stores: true }, 'service-answer none 801c03e9 unknown', 1, [], 1],
    ['a list', { status: 200, body: [registered], stores: true }, 'service-answer none 801c03e9 unknown', 1, [], 1],
    [
      'no kid',
      { status: 200, body: { upn: 'ada@contoso.test' }, stores: true },
      'service-answer none 801c03e9 unknown',
      1,
      [],
      1,
    ],
    [
      'a kid that is a number',
      { status: 200, body: { ...registered, kid: 7 } },
      'service-answer none 801c03e9 unknown',
      1,
      [],
      0,
    ],
    ['no upn', { status: 200, body: { kid: 'k' }, stores: true }, 'service-answer none 801c03e9 unknown', 1, [], 1],
    [
      'another upn',
      { status: 200, body: { ...registered, upn: 'eve@contoso.test' } },
      'service-answer none 801c03e9',
      1,
      [],
      0,
    ],
    [
      'too much',
      { status: 200, body: { ...registered, further: 'k'.repeat(5e6) } },
      'service-answer none 801c03e9 unknown',
      1,
      [],
      0,
    ],
    // refusals, in every form of body
    [
      '400 with ErrorDetails',
      { status: 400, body: { ...details, code: 'invalid_request' } },
      'service-refused none 801c03ed',
      1,
      [],
      0,
    ],
    [
      '400 with nested details',
      { status: 400, body: { error: { message: 'no such user' } } },
      'service-refused none 801c03ed',
      1,
      [],
      0,
    ],
    [
      '400 of device registration',
      { status: 400, body: { ...joinError, ErrorType: 'DirectoryError' } },
      'service-refused none 801c03f2',
      1,
      [],
      0,
    ],
    [
      '400 of an attestation',
      { status: 400, body: { ...details, message: 'The attestation is not valid.' } },
      'service-refused none 801c03ee',
      1,
      [],
      0,
    ],
    [
      '400 of an AIK',
      { status: 400, body: { ...details, message: 'The AIK certificate is not trusted.' } },
      'service-refused none 801c0010',
      1,
      [],
      0,
    ],
    [
      '400 of an old AIK',
      { status: 400, body: { ...details, message: 'The AIK certificate has expired.' } },
      'service-refused none 801c03ef',
      1,
      [],
      0,
    ],
    ['401 with ErrorDetails', { status: 401, body: details }, 'service-refused mfa 801c03ea', 1, [], 0],
    [
      '401 for want of MFA',
      { status: 401, body: { error: { ...details, message: 'amr holds no ngcmfa' } } },
      'service-refused mfa 801c03ed',
      1,
      [],
      0,
    ],
    [
      '401 for want of a device',
      { status: 401, body: { ...details, message: 'The token has no deviceid.' } },
      'service-refused mfa 801c044d',
      1,
      [],
      0,
    ],
    [
      '401 for want of a user',
      { status: 401, body: { ...details, message: 'The token has no upn.' } },
      'service-refused mfa 801c03f1',
      1,
      [],
      0,
    ],
    [
      '401 with the token in it',
      { status: 401, body: `<p>bad: ${TOKEN}</p>` },
      'service-refused mfa 801c03ea',
      1,
      [],
      0,
    ],
    ['401 with nothing', { status: 401 }, 'service-refused mfa 801c03ea', 1, [], 0],
    ['403 with text', { status: 403, body: 'no' }, 'service-refused none 801c03ea', 1, [], 0],
    ['404 with HTML', { status: 404, body: '<html><h1>Not Found' }, 'service-refused none 801c03eb', 1, [], 0],
    ['409 with other JSON', { status: 409, body: [1] }, 'service-refused none 801c03eb', 1, [], 0],
    [
      'a redirection to itself',
      { status: 307, headers: { location: '/EnrollmentServer/key/' } },
      'service-refused none 801c03eb',
      1,
      [],
      0,
    ],
    [
      'a redirection elsewhere',
      { status: 302, headers: { location: 'https://evil.test/' } },
      'service-refused none 801c03eb',
      1,
      [],
      0,
    ],
    [
      'a wait that is too long',
      { status: 503, headers: { 'retry-after': '3600' } },
      'service-unreachable backoff 801c03ec unknown',
      1,
      [],
      0,
    ],
    // a temporary failure, once
    ['a throttle', { status: 400, body: throttled }, 'registered', 2, [300_000], 1],
    ['429', { status: 429 }, 'registered', 2, [500], 1],
    ['429 with a time', { status: 429, headers: { 'retry-after': '7' } }, 'registered', 2, [7000], 1],
    [
      '503 with a date',
      { status: 503, headers: { 'retry-after': 'Thu, 01 Jan 2026 12:01:30 GMT' } },
      'registered',
      2,
      [90_000],
      1,
    ],
    [
      '503 with a date that is over',
      { status: 503, headers: { 'retry-after': 'Thu, 01 Jan 2026 11:00:00 GMT' } },
      'registered',
      2,
      [500],
      1,
    ],
    ['500 after it has stored the key', { status: 500, stores: true }, 'registered', 2, [500], 1],
    ['502 with HTML', { status: 502, body: '<html>' }, 'registered', 2, [500], 1],
    ['a cut before it has stored the key', { cuts: 'before' }, 'registered', 2, [500], 1],
    ['a cut after that', { cuts: 'after' }, 'registered', 2, [500], 1],
    ['a cut within the answer', { cuts: 'within' }, 'registered', 2, [500], 1],
  ])('after %s once', async (_, behaviour, outcome, count, delays, keys) => {
    const found = await underScript([behaviour], { now: () => new Date('2026-01-01T12:00:00Z') });
    expect([outcomeOf(found.error), found.requests.length, found.delays, found.keys]).toEqual([
      outcome,
      count,
      delays,
      keys,
    ]);
    if (found.result !== undefined && keys === 1 && count === 2)
      expect([...service.stored.values()]).toEqual([found.result.kid]);
  });

  it.each<[string, Behaviour, string, number]>([
    ['429', { status: 429 }, 'service-unreachable backoff 801c03eb', 0],
    ['500 with ErrorDetails', { status: 500, body: details }, 'service-unreachable backoff 801c03ec unknown', 0],
    ['503', { status: 503 }, 'service-unreachable backoff 801c03ec unknown', 0],
    ['cuts before it has stored the key', { cuts: 'before' }, 'service-unreachable backoff - unknown', 0],
    ['cuts after that', { cuts: 'after' }, 'service-unreachable backoff - unknown', 1],
    ['answers that are cut', { cuts: 'within' }, 'service-unreachable backoff - unknown', 1],
  ])('gives up after four times %s', async (_, behaviour, outcome, keys) => {
    const found = await underScript(times(5, behaviour));
    expect([outcomeOf(found.error), found.requests.length, found.delays, found.keys]).toEqual([
      outcome,
      4,
      BACKOFF,
      keys,
    ]);
    expect(found.retries.map(({ attempt, delayMs }) => [attempt, delayMs])).toEqual(
      [1, 2, 3].map((n, i) => [n, BACKOFF[i]]),
    );
  });

  it("returns the service's answer and the user of the registered key", async () => {
    const refused = await underScript([{ status: 401, body: details }]);
    const { traceId, ...said } = refused.error?.details ?? {};
    expect(said).toEqual({
      form: 'error-details',
      code: 'invalid_token',
      message: 'The token does not carry the required claims.',
      response: 'ERROR_FAIL',
      target: 'key',
      clientRequestId: request.clientRequestId,
      time: '2024-09-16T12:00:00.0000000Z',
    });
    expect(refused.error?.message).toBe(
      `POST ${service.endpoint}: status 401 invalid_token: The token does not carry the required claims. (request ${traceId})`,
    );
    expect(refused.error?.remedy).toBe('get a new token, with MFA on this device, and try again');
    const others = await underScript([{ status: 200, body: { kid: 'k', upn: 'eve@contoso.test' } }]);
    expect(others.error?.misplaced).toEqual({ kid: 'k', upn: 'eve@contoso.test' });
    expect(others.error?.message).toContain('the key was registered for "eve@contoso.test", not for ada@contoso.test');
  });

  it.each([true, false])('ends an answer that is not complete in time (slow bytes: %j)', async (drips) => {
    const found = await underScript(times(2, { drips }), { timeoutMs: 300, maxAttempts: 2 });
    expect([outcomeOf(found.error), found.requests.length, found.delays, found.keys]).toEqual([
      'service-timeout backoff - unknown',
      2,
      [500],
      1,
    ]);
  });

  it('ends with its signal, within the answer and within a wait', async () => {
    const aborter = new AbortController();
    const hanging = underScript([{ drips: true }], { signal: aborter.signal });
    await vi.waitFor(() => expect(service.requests).toHaveLength(1), { timeout: 60_000 });
    aborter.abort(new Error('enough'));
    await expect(hanging).rejects.toThrow('enough');

    const waiting = new AbortController();
    const sleep = vi.fn(async () => {
      waiting.abort(new Error('no more'));
      waiting.signal.throwIfAborted();
    });
    await expect(underScript([{ status: 503 }], { signal: waiting.signal, sleep })).rejects.toThrow('no more');
    expect([service.requests.length, sleep.mock.calls.length]).toEqual([1, 1]);
  });

  describe('with a lookup', () => {
    const found: RegistrationAnswer = {
      kid: 'looked up',
      upn: request.user,
      clientRequestId: request.clientRequestId,
      further: {},
    };

    it('accepts an existing key, and sends nothing again', async () => {
      const lookup = vi.fn(async () => found);
      const { result, requests, keys } = await underScript([{ cuts: 'after' }], { lookup });
      expect([result, requests.length, keys, lookup.mock.calls.length]).toEqual([found, 1, 1, 1]);
    });

    it.each(['absent', 'unknown'] as const)('resends what is %s', async (answer) => {
      const lookup = vi.fn(async () => answer);
      const { error, requests, keys } = await underScript([{ cuts: 'after' }, { cuts: 'before' }], { lookup });
      expect([error, requests.length, keys, lookup.mock.calls.length]).toEqual([undefined, 3, 1, 2]);
    });

    it('does not ask it when the key cannot have been stored', async () => {
      const lookup = vi.fn(async () => found);
      const { requests } = await underScript([{ status: 429 }], { lookup });
      expect([requests.length, lookup.mock.calls.length]).toEqual([2, 0]);
    });

    it('does not forget that an earlier sending may have been stored', async () => {
      const { error, keys } = await underScript([{ cuts: 'after' }, { status: 401 }]);
      expect([outcomeOf(error), keys]).toEqual(['service-refused mfa 801c03ea unknown', 1]);
    });
  });
});

describe('registerKey without a connection', () => {
  it('knows that nothing was sent if nobody listens', async () => {
    const lookup = vi.fn(async () => 'unknown' as const);
    const { error, delays } = await register(`https://localhost:${await closedPort()}/key/`, { lookup });
    expect([outcomeOf(error), delays, lookup.mock.calls.length]).toEqual(['service-unreachable backoff -', BACKOFF, 0]);
    expect(error?.message).toContain('ECONNREFUSED');
  });

  it.each<[string, () => Promise<KeyService>, string]>([
    [
      'an authority that is not trusted',
      async () => KeyService.start(await (await TestRoots.create('other')).forHost('localhost')),
      'self-signed certificate in certificate chain|unable to',
    ],
    [
      'another name',
      async () => KeyService.start(await roots.forHost('contoso.test')),
      "does not match certificate's altnames",
    ],
    [
      'a certificate that has expired',
      async () =>
        KeyService.start(
          await roots.issue({ names: [{ dns: 'localhost' }], notBefore: new Date(0), notAfter: new Date(1e12) }),
        ),
      'certificate has expired',
    ],
    [
      'TLS 1.1 only',
      () => KeyService.start(localhost, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
      'alert protocol version|unsupported protocol',
    ],
  ])('sends nothing to a server with %s, and tries no more', async (name, start, reason) => {
    await using server = await start();
    const { error, delays } = await register(server.endpoint);
    const windows = name.includes('expired') ? '80072f8f' : '-';
    expect([outcomeOf(error), delays, server.requests]).toEqual([`service-unreachable none ${windows}`, [], []]);
    expect(error?.message).toMatch(new RegExp(reason));
  });

  it('keeps the token to itself when fetch puts it into its errors', async () => {
    const fetch = async (): Promise<Response> => {
      const cause = new Error(`header authorization: Bearer ${TOKEN}`);
      throw Object.assign(new TypeError(`cannot send ${TOKEN}`, { cause }), { headers: { authorization: TOKEN } });
    };
    const { error, delays, retries } = await register(service.endpoint, { fetch });
    expect([outcomeOf(error), delays, retries.length]).toEqual(['service-unreachable backoff - unknown', BACKOFF, 3]);
    expect(error?.message).toContain('cannot send [secret] (header authorization: [secret])');
  });
});

describe('createServiceFetch', () => {
  /** Registers the key with a separate fetch. */
  async function registerWith(options: ServiceFetchOptions, endpoint = service.endpoint) {
    await using fetch = createServiceFetch(options);
    service.requests.length = 0;
    const { error } = await register(endpoint, { fetch, maxAttempts: 1 });
    return outcomeOf(error);
  }

  it('trusts the given roots besides its own, or only them', async () => {
    const other = await TestRoots.create('other');
    expect(await registerWith({})).toBe('service-unreachable none -');
    expect(await registerWith({ ca: other.pem })).toBe('service-unreachable none -');
    expect(await registerWith({ ca: [other.pem, roots.pem] })).toBe('registered');
    expect(await registerWith({ ca: roots.pem, onlyTheseRoots: true })).toBe('registered');
  });

  it('trusts the certificates in NODE_EXTRA_CA_CERTS unless only the given roots count', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'keyprov-roots-'));
    writeFileSync(join(directory, 'roots.pem'), roots.pem);
    vi.stubEnv('NODE_EXTRA_CA_CERTS', join(directory, 'roots.pem'));
    const other = await TestRoots.create('other');
    expect(await registerWith({ ca: other.pem })).toBe('registered');
    expect(await registerWith({ ca: other.pem, onlyTheseRoots: true })).toBe('service-unreachable none -');
    rmSync(directory, { recursive: true });
    const missing = /^the NODE_EXTRA_CA_CERTS file .* does not exist$/;
    expect(() => createServiceFetch({ ca: other.pem })).toThrow(missing);
    expect(await registerWith({ ca: roots.pem, onlyTheseRoots: true })).toBe('registered');
  });

  it('shows the client certificate', async () => {
    await using server = await KeyService.start(localhost, { requestCert: true, ca: roots.pem });
    const clientCertificate = await roots.issue({ subject: buildCommonName('device 7') });
    expect(await registerWith({ ca: roots.pem, clientCertificate }, server.endpoint)).toBe('registered');
    expect(await registerWith({ ca: roots.pem }, server.endpoint)).toBe('service-unreachable backoff - unknown');
    expect(server.requests.map(({ client }) => client)).toEqual(['device 7']);
  });

  /** Not of this machine, as far as the client knows: behind the proxy it is. */
  const outside = (endpoint: string) => endpoint.replace('localhost', 'service.test');

  it('goes through a proxy, with name and password', async () => {
    await using proxy = await TestProxy.start('user:p%40ss'.replace('%40', '@'));
    const at = (credentials: string) => `http://${credentials}localhost:${proxy.port}`;
    const endpoint = outside(service.endpoint);
    expect(await registerWith({ ca: roots.pem, proxy: at('user:p%40ss@') }, endpoint)).toBe('registered');
    expect(service.requests).toHaveLength(1);
    expect(await registerWith({ ca: roots.pem, proxy: at('') }, endpoint)).toBe('service-unreachable none -');
    expect(await registerWith({ proxy: at('user:p%40ss@') }, endpoint)).toBe('service-unreachable none -');
    expect(service.requests).toHaveLength(0);
    expect(proxy.targets).toEqual(times(3, `service.test:${service.port}`));
  });

  it.each(['url', 'environment'])('reaches loopback addresses without the proxy of the %s', async (kind) => {
    await using proxy = await TestProxy.start();
    const url = `http://localhost:${proxy.port}`;
    for (const name of ['HTTPS_PROXY', 'HTTP_PROXY', 'https_proxy', 'http_proxy']) vi.stubEnv(name, url);
    for (const name of ['NO_PROXY', 'no_proxy']) vi.stubEnv(name, '');
    const options = { ca: roots.pem, proxy: kind === 'url' ? url : 'environment' };
    expect(await registerWith(options)).toBe('registered');
    const nobody = await closedPort();
    for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '[::1]', '127.1']) {
      const outcome = await registerWith(options, `http://${host}:${nobody}/key`);
      expect([host, outcome]).toEqual([host, 'service-unreachable backoff -']);
    }
    expect(proxy.targets).toEqual([]);
  });

  it('sends nothing without TLS to another machine, and follows no redirection', async () => {
    await using fetch = createServiceFetch({ ca: roots.pem });
    await expect(fetch('http://service.test/')).rejects.toThrow('use https');
    service.script = [{ status: 307, headers: { location: 'https://localhost:1/' } }];
    await expect(fetch(service.endpoint)).rejects.toThrow('fetch failed');
  });

  it('shows the client certificate through a proxy', async () => {
    await using proxy = await TestProxy.start();
    await using server = await KeyService.start(localhost, { requestCert: true, ca: roots.pem });
    const clientCertificate = await roots.issue({ subject: buildCommonName('device 8') });
    const options = { ca: roots.pem, clientCertificate, proxy: `http://localhost:${proxy.port}` };
    expect(await registerWith(options, outside(server.endpoint))).toBe('registered');
    expect([server.requests.map(({ client }) => client), proxy.targets.length]).toEqual([['device 8'], 1]);
  });

  it('uses the proxy from the environment unless it excludes the host', async () => {
    await using proxy = await TestProxy.start();
    vi.stubEnv('HTTPS_PROXY', `http://localhost:${proxy.port}`);
    vi.stubEnv('NO_PROXY', '');
    vi.stubEnv('no_proxy', '');
    const endpoint = outside(service.endpoint);
    expect(await registerWith({ ca: roots.pem, proxy: 'environment' }, endpoint)).toBe('registered');
    vi.stubEnv('NO_PROXY', 'service.test');
    vi.stubEnv('no_proxy', 'service.test');
    // Only the proxy can resolve this host.
    expect(await registerWith({ ca: roots.pem, proxy: 'environment' }, endpoint)).toBe('service-unreachable backoff -');
    expect(proxy.targets).toEqual([`service.test:${service.port}`]);
  });

  it('ends running requests when it is closed, and sends nothing more', async () => {
    const fetch = createServiceFetch({ ca: roots.pem });
    service.script = [{ drips: false }];
    service.requests.length = 0;
    const hanging = register(service.endpoint, { fetch, maxAttempts: 1 });
    await vi.waitFor(() => expect(service.requests).toHaveLength(1), { timeout: 60_000 });
    await fetch.close();
    expect(outcomeOf((await hanging).error)).toBe('service-unreachable backoff - unknown');
    await expect(fetch(service.endpoint)).rejects.toThrow('this fetch is closed');
    await fetch.close();
    expect(service.requests).toHaveLength(1);
  });

  it('immediately says what is wrong with the private key of a client', async () => {
    const { certificate, privateKey } = await roots.forHost('localhost');
    const keyOf = (type: 'ec' | 'rsa', secret?: { cipher: string; passphrase: string }): string => {
      const pair =
        type === 'ec'
          ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
          : generateKeyPairSync('rsa', { modulusLength: 2048 });
      return String(pair.privateKey.export({ type: 'pkcs8', format: 'pem', ...secret }));
    };
    const refusedFor = (wrong: string) =>
      refusal(() => createServiceFetch({ clientCertificate: { certificate, privateKey: wrong } }));
    const what = 'foreign: TypeError: the privateKey of clientCertificate';
    expect(refusedFor(keyOf('ec'))).toBe(`${what} does not belong to the certificate`);
    expect(refusedFor(keyOf('rsa'))).toBe(`${what} does not belong to the certificate`);
    expect(refusedFor(keyOf('rsa', { cipher: 'aes-256-cbc', passphrase: 'secret' }))).toBe(
      `${what} is encrypted: decrypt it first`,
    );
    expect(refusedFor('Dear Ada')).toBe(`${what} is not a private key in PEM`);
    expect(refusedFor(certificate)).toBe(`${what} is not a private key in PEM`);
    await createServiceFetch({ clientCertificate: { certificate, privateKey } }).close();
  });

  it('immediately refuses options that cannot work', async () => {
    const { certificate, privateKey } = await roots.forHost('localhost');
    const other = await roots.forHost('localhost');
    for (const options of [
      { clientCertificate: { certificate, privateKey: other.privateKey } },
      { clientCertificate: { certificate: 'none', privateKey } },
      { onlyTheseRoots: true },
      { proxy: 'socks5://localhost' },
      { proxy: 'p4ssword@nowhere' },
    ]) {
      expect(() => createServiceFetch(options)).toThrow(TypeError);
      expect(() => createServiceFetch(options)).not.toThrow('p4ssword');
    }
  });
});

describe('discoverServices against a real server', () => {
  async function discover(script: readonly Behaviour[], options: DiscoverServicesOptions = {}) {
    service.script = [...script];
    service.requests.length = 0;
    try {
      const services = await discoverServices(service.origin, { fetch: send, timeoutMs: 5000, ...options });
      return { services, outcome: 'found' };
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      return { error, outcome: outcomeOf(error) };
    }
  }
  const answer = (host: string, headers = { 'content-type': 'application/json' }): Behaviour => ({
    status: 200,
    body: JSON.stringify(kpp.discovery.adfs12.body).replaceAll('sts.contoso.com', host),
    headers,
  });
  const to = (location: string): Behaviour => ({ status: 302, headers: { location } });

  it('asks an AD FS, and Entra ID for a tenant', async () => {
    const asked: unknown[] = [];
    for (const options of [{}, { format: 'xml' }, { tenant: 'contoso.test' }] as const) {
      const { services } = await discover([answer('localhost')], options);
      expect(services?.keyProvisioning?.endpoint.href).toBe('https://localhost/EnrollmentServer/key/');
      asked.push(...service.requests.map(({ method, url, headers }) => [method, url, headers.accept]));
    }
    expect(asked).toEqual([
      ['GET', '/enrollmentserver/contract?api-version=1.2', 'application/json'],
      ['GET', '/enrollmentserver/contract?api-version=1.2', 'application/xml'],
      ['GET', '/contoso.test/Discover?api-version=1.9', 'application/json'],
    ]);
  });

  it.each<[string, readonly Behaviour[], string, number]>([
    ['an address at another host', [answer('evil.test')], 'service-untrusted none 801c000b', 1],
    [
      'an address without TLS',
      [
        {
          ...answer('localhost'),
          body: { DeviceJoinService: { JoinEndpoint: 'http://contoso.test', JoinResourceId: 'r' } },
        },
      ],
      'service-untrusted none 801c000b',
      1,
    ],
    ['a redirection to another host', [to('https://evil.test/')], 'service-untrusted none 801c000b', 1],
    ['a redirection to http', [to('http://login.microsoftonline.com/')], 'service-untrusted none 801c000b', 1],
    ['a redirection to the same host', [to('/moved'), answer('localhost')], 'found', 2],
    ['redirections without end', times(9, to('/again')), 'service-answer none 801c0012', 6],
    ['a redirection to nowhere', [{ status: 302 }], 'service-answer none 801c0012', 1],
    ['HTML', [{ status: 200, body: '<html></html>' }], 'service-answer none 801c0012', 1],
    ['a list', [{ status: 200, body: [] }], 'service-answer none 801c0012', 1],
    ['too much', [{ status: 200, body: ' '.repeat(5e6) }], 'service-answer none 801c0012', 1],
    ['404', [{ status: 404 }], 'service-refused none 801c000c', 1],
    ['503', [{ status: 503 }], 'service-unreachable backoff 801c000c', 1],
    ['a cut', [{ cuts: 'before' }], 'service-unreachable backoff 801c000c', 1],
  ])('says what is wrong with %s', async (_, script, outcome, count) => {
    const found = await discover(script);
    expect([found.outcome, service.requests.length]).toEqual([outcome, count]);
  });

  it("accepts trusted hosts, by default Entra ID's", async () => {
    const well = answer('enterpriseregistration.windows.net');
    expect((await discover([well])).outcome).toBe('found');
    expect((await discover([well], { trustedHosts: [] })).outcome).toBe('service-untrusted none 801c000b');
    expect((await discover([answer('evil.test')], { trustedHosts: ['EVIL.test'] })).outcome).toBe('found');
    const elsewhere = to(`https://127.0.0.1:${service.port}/other`);
    expect((await discover([elsewhere])).outcome).toBe('service-untrusted none 801c000b');
    // The certificate is for another name: so it got that far.
    expect((await discover([elsewhere], { trustedHosts: ['127.0.0.1'] })).error?.message).toContain('altnames');
  });

  it('ends an answer that does not end', async () => {
    const { outcome } = await discover([{ drips: true }], { timeoutMs: 200 });
    expect(outcome).toBe('service-timeout backoff 801c000c');
  });
});
