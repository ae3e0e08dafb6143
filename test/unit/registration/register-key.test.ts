import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { ServiceError } from '../../../src/errors/service-error.ts';
import type { ErrorCode } from '../../../src/errors.ts';
import {
  type RegistrationAnswer,
  type RegistrationRequest,
  registerKey,
} from '../../../src/registration/register-key.ts';
import { errorOfCode } from '../../error-of-code.ts';
import { asyncRefusal } from '../../refusal.ts';
import { serviceStub } from '../../service-stub.ts';

const { specExample } = JSON.parse(readFileSync('test/vectors/kpp.json', 'utf8')).keyRegistration;
const { request, response } = specExample;
const example = {
  token: request.headers.Authorization.replace('Bearer ', ''),
  body: JSON.stringify(request.body),
  user: 'user@contoso.com',
  clientRequestId: request.headers['client-Request-Id'],
};
const endpoint = 'https://www.contoso.com/EnrollmentServer/key/';
const busy = () => new Response('', { status: 503 });

describe('registerKey', () => {
  it('sends the example of MS-KPP 4.1 and reads its answer', async () => {
    const { fetch, sent } = serviceStub(Response.json(response.body, { headers: response.headers }));
    expect(await registerKey({ endpoint }, example, { fetch })).toEqual({
      kid: '0ce67455-8ea1-4523-be5f-bfd09190fad6',
      upn: 'user@contoso.com',
      pctx: 'eyJEZXZpY2VJRCI6IjNhNWY0NzQzLWQ0NTIt==',
      requestId: '650206f2-9a02-447d-9347-0cb7b4fee827',
      clientRequestId: '006dd572-ca07-42ae-8472-01a00b045bb8',
      further: {},
    });
    const headers = Object.fromEntries(new Headers({ ...request.headers, 'content-type': 'application/json' }));
    expect(sent).toEqual([{ method: 'POST', url: request.url, headers, body: JSON.stringify(request.body) }]);
  });

  it.each([
    [new URL(endpoint), undefined, 'query', `${endpoint}?api-version=1.0`],
    [`${endpoint}?a=b&api-version=7`, '2.0', 'query', `${endpoint}?a=b&api-version=2.0`],
    [`${endpoint}?a=b&api-version=7`, '2.0', 'header', `${endpoint}?a=b`],
  ] as const)('has the version once: %s %s in the %s', async (address, version, apiVersionIn, url) => {
    const { fetch, sent } = serviceStub(response.body);
    await registerKey({ endpoint: address, version }, example, { fetch, apiVersionIn });
    expect(sent[0]?.url).toBe(url);
    expect(sent[0]?.headers['api-version']).toBe(apiVersionIn === 'header' ? '2.0' : undefined);
  });

  it('keeps unknown members, and a pctx that is not text', async () => {
    const body = { kid: 'k', upn: 'user@contoso.com', pctx: null, krctx: { a: 1 } };
    const { further, ...registration } = await registerKey({ endpoint }, example, { fetch: serviceStub(body).fetch });
    expect(registration).toEqual({ kid: 'k', upn: 'user@contoso.com', clientRequestId: example.clientRequestId });
    expect(further).toEqual({ pctx: null, krctx: { a: 1 } });
  });

  it('waits longer each time, up to 30 seconds, with random spread', async () => {
    const waits = async (random: () => number) => {
      const delays: number[] = [];
      const sleep = async (ms: number) => void delays.push(ms);
      await asyncRefusal(() =>
        registerKey({ endpoint }, example, { fetch: serviceStub(busy).fetch, random, sleep, maxAttempts: 8 }),
      );
      return delays;
    };
    expect(await waits(() => 0)).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
    expect(await waits(() => 0.999999)).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  });

  it.each<[ErrorCode, number, string]>([
    ['service-unreachable', 2, 'nothing thrown'],
    ['service-timeout', 2, 'nothing thrown'],
    ['service-refused', 1, 'service-refused: no'],
  ])('continues if the lookup is not answered, and stops if it fails: %s', async (code, count, outcome) => {
    const { fetch, sent } = serviceStub(busy, response.body);
    const lookup = async () => {
      throw errorOfCode(code, 'no');
    };
    const found = await asyncRefusal(() =>
      registerKey({ endpoint }, example, { fetch, lookup, sleep: async () => {} }),
    );
    expect([found, sent.length]).toEqual([outcome, count]);
  });

  it('says that the key may be registered if the lookup is refused', async () => {
    const { fetch } = serviceStub(busy);
    const refusal = new ServiceError('service-refused', 'no', { status: 401, retry: 'mfa', remedy: 'get a new token' });
    const lookup = () => Promise.reject(refusal);
    await expect(registerKey({ endpoint }, example, { fetch, lookup, sleep: async () => {} })).rejects.toMatchObject({
      ...{ code: 'service-refused', message: 'no', outcomeUnknown: true, cause: refusal },
      ...{ status: 401, retry: 'mfa', remedy: 'get a new token' },
    });
  });

  it('looks for the key first if an earlier call may have registered it', async () => {
    const { fetch, sent } = serviceStub(response.body);
    const found = { kid: 'k', upn: example.user, clientRequestId: example.clientRequestId, further: {} };
    const lookup = vi.fn(async (_: RegistrationRequest): Promise<RegistrationAnswer | 'absent'> => found);
    expect(await registerKey({ endpoint }, example, { fetch, lookup, outcomeUnknown: true })).toBe(found);
    expect([sent.length, lookup.mock.calls.map(([asked]) => asked)]).toEqual([0, [example]]);
    lookup.mockResolvedValue('absent');
    expect(await registerKey({ endpoint }, example, { fetch, lookup, outcomeUnknown: true })).toMatchObject(
      response.body,
    );
    expect([sent.length, lookup.mock.calls.length]).toEqual([1, 2]);
  });

  it('names a lookup that returns nothing, and sends no request', async () => {
    const { fetch, sent } = serviceStub(response.body);
    const lookup = async () => Object(undefined);
    await expect(registerKey({ endpoint }, example, { fetch, lookup, outcomeUnknown: true })).rejects.toThrow(
      new TypeError('the result of lookup must be an object with kid and upn'),
    );
    expect(sent).toEqual([]);
  });

  it('says that the outcome is unknown if that of an earlier call is', async () => {
    const { fetch } = serviceStub(new Response('', { status: 403 }));
    const refused = (outcomeUnknown: boolean) => registerKey({ endpoint }, example, { fetch, outcomeUnknown });
    await expect(refused(true)).rejects.toMatchObject({ code: 'service-refused', outcomeUnknown: true });
    await expect(refused(false)).rejects.toMatchObject({ code: 'service-refused', outcomeUnknown: false });
  });

  it.each<[object, object, typeof Error]>([
    [{ clientRequestId: '7' }, {}, TypeError],
    [{ token: '' }, {}, TypeError],
    [{ token: 'T0ken\r\nx: y' }, {}, TypeError],
    [{ token: 'T0k€n' }, {}, TypeError],
    [{}, { maxAttempts: 0 }, RangeError],
    [{}, { maxAttempts: Number.NaN }, RangeError],
  ])('refuses %j %j before it sends anything', async (changes, options, type) => {
    const { fetch, sent } = serviceStub(response.body);
    const registering = registerKey({ endpoint }, { ...example, ...changes }, { ...options, fetch });
    await expect(registering).rejects.toThrow(type);
    await expect(registering).rejects.not.toThrow(/T0k/);
    expect(sent).toEqual([]);
  });
});
