import { describe, expect, it } from 'vitest';
import { postJson } from '../../../src/registration/json-service.ts';
import { asyncRefusal } from '../../refusal.ts';

const url = new URL('https://ca.example/attest');

interface Sent {
  readonly url: string;
  readonly init: RequestInit;
}

/** A fetch without a network that records its requests. */
function fetchOf(answer: (init: RequestInit) => Response | Promise<Response>): { fetch: typeof fetch; sent: Sent[] } {
  const sent: Sent[] = [];
  return {
    sent,
    fetch: async (input, init = {}) => {
      sent.push({ url: String(input), init });
      return await answer(init);
    },
  };
}

/** Ends only with its signal. */
const never = ({ signal }: RequestInit): Promise<Response> =>
  new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

describe('postJson', () => {
  it('sends JSON and returns the JSON of the answer', async () => {
    const { fetch, sent } = fetchOf(() => Response.json({ b: 2 }));
    expect(await postJson(url, { a: 1 }, { fetch, headers: { authorization: 'Bearer x' } })).toEqual({ b: 2 });
    expect(sent.map(({ url }) => url)).toEqual([url.href]);
    const { method, headers, body, redirect } = sent[0]?.init ?? {};
    expect([method, body, redirect]).toEqual(['POST', '{"a":1}', 'manual']);
    expect(headers).toEqual({
      authorization: 'Bearer x',
      'content-type': 'application/json',
      accept: 'application/json',
    });
  });

  it.each([
    ['a refusal', () => new Response('no such key', { status: 403 }), 'service-refused', 'status 403 no such key'],
    ['a redirection', () => new Response(null, { status: 302, headers: { location: '/x' } }), 'service-refused', '302'],
    ['an answer that is no JSON', () => new Response('<html>'), 'service-answer', 'not JSON'],
    ['an empty answer', () => new Response(null), 'service-answer', 'not JSON'],
    [
      'an answer that is too long',
      () => new Response(new Uint8Array(4 * 1024 * 1024 + 1)),
      'service-answer',
      'too long',
    ],
    [
      'no connection',
      () => Promise.reject(new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') })),
      'service-unreachable',
      'fetch failed (ECONNREFUSED)',
    ],
  ])('says what is wrong with %s', async (_, answer, code, detail) => {
    const found = await asyncRefusal(() => postJson(url, {}, { fetch: fetchOf(answer).fetch }));
    expect(found).toContain(`${code}: POST https://ca.example/attest: `);
    expect(found).toContain(detail);
  });

  it('ends after its time', async () => {
    const found = await asyncRefusal(() => postJson(url, {}, { fetch: fetchOf(never).fetch, timeoutMs: 5 }));
    expect(found).toBe(
      'service-timeout: POST https://ca.example/attest: no response within 5 ms; try again later, or with a longer timeoutMs',
    );
  });

  it('ends with its signal, and throws its reason', async () => {
    const aborter = new AbortController();
    const sending = postJson(url, {}, { fetch: fetchOf(never).fetch, signal: aborter.signal });
    aborter.abort(new Error('enough'));
    await expect(sending).rejects.toThrow('enough');
  });

  it.each(['http://ca.example/', 'http://127.0.0.1.example/', 'http://10.0.0.1/', 'ftp://127.0.0.1/', 'file:///x'])(
    'sends nothing to %s',
    async (address) => {
      const { fetch, sent } = fetchOf(() => Response.json({}));
      await expect(postJson(new URL(address), {}, { fetch })).rejects.toThrow(TypeError);
      expect(sent).toEqual([]);
    },
  );

  it.each(['http://127.0.0.1:8080/', 'http://localhost/', 'http://[::1]:1/'])('sends to %s', async (address) => {
    expect(await postJson(new URL(address), {}, { fetch: fetchOf(() => Response.json(1)).fetch })).toBe(1);
  });
});
