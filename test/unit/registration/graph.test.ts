import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromBase64, fromHex, toBase64 } from '../../../src/bytes.ts';
import { digest } from '../../../src/crypto/kdf.ts';
import { KEY_CREDENTIAL_USAGE, parseKeyCredentialLink } from '../../../src/formats/windows/key-credential-link.ts';
import {
  deleteHelloMethod,
  type GraphOptions,
  type GraphReaderOptions,
  graphReader,
  listHelloMethods,
} from '../../../src/registration/graph.ts';
import { takeBackKey } from '../../../src/registration/take-back.ts';
import { asyncRefusal } from '../../refusal.ts';

const { blobs } = JSON.parse(readFileSync('test/vectors/keycredential.json', 'utf8')) as {
  blobs: readonly { readonly name: string; readonly blobHex: string }[];
};
const blobHex = blobs.find(({ name }) => name === 'Parse_UserKey2')?.blobHex ?? '';
const { keyMaterial, keyId, deviceId = '' } = parseKeyCredentialLink(fromHex(blobHex));
const deviceKey = { deviceId, keyMaterial: toBase64(keyMaterial), keyType: 'NGC' };

/** Microsoft Graph without a network. Returns the answers in turn, and repeats the last one. */
function graph(...answers: readonly (() => Response | Promise<Response>)[]) {
  const sent: { url: string; init: RequestInit }[] = [];
  const ignored: string[] = [];
  const options: GraphOptions = {
    token: async () => 'T0ken',
    fetch: async (input, init = {}) => {
      const answer = answers[sent.length] ?? answers.at(-1);
      sent.push({ url: String(input), init });
      return (await answer?.()) ?? Response.error();
    },
  };
  const reading: GraphReaderOptions = { ...options, onIgnored: (reason) => ignored.push(reason) };
  return { sent, ignored, options, reading };
}
const keys = (...items: readonly unknown[]) => graph(() => Response.json({ '@odata.context': 'x', deviceKeys: items }));

describe('graphReader', () => {
  it("reads the user's keys in Entra ID", async () => {
    const { sent, ignored, reading } = keys(deviceKey, { ...deviceKey, keyType: 'FIDO' });
    const reader = graphReader(reading);
    const { NGC, OTHER } = KEY_CREDENTIAL_USAGE;
    expect(await reader.read('ada#ext@contoso.test')).toEqual([
      { keyId, keyMaterial, usage: NGC, deviceId },
      { keyId, keyMaterial, usage: OTHER, deviceId },
    ]);
    expect([reader.place, ignored, sent.length]).toEqual(['entra', [], 1]);
    expect(sent[0]?.url).toBe('https://graph.microsoft.com/beta/users/ada%23ext%40contoso.test?$select=deviceKeys');
    expect(sent[0]?.init).toMatchObject({
      headers: { authorization: 'Bearer T0ken', accept: 'application/json' },
      redirect: 'manual',
    });
    expect(sent[0]?.init.method).toBe('GET');
  });

  it.each(['', 'a token', 'WARNING\nT0ken', 'T0\0ken'])('sends no request with the token %j', async (token) => {
    const { sent, reading } = keys();
    const said = await asyncRefusal(() => graphReader({ ...reading, token: async () => token }).read('ada'));
    expect(said).toMatch(/^foreign: TypeError: .*token/);
    expect(sent).toEqual([]);
  });

  it.each<[string, unknown]>([
    ['no object', 'NGC'],
    ['no device', { ...deviceKey, deviceId: undefined }],
    ['a device that is no GUID', { ...deviceKey, deviceId: 'pc7' }],
    ['no key material', { ...deviceKey, keyMaterial: null }],
    ['key material that is no base64', { ...deviceKey, keyMaterial: 'UlNB!' }],
    ['no type', { ...deviceKey, keyType: 3 }],
  ])('leaves out an item with %s, and reads the others', async (_, item) => {
    const other = { ...deviceKey, keyMaterial: 'AAEC' };
    const { ignored, reading } = keys(item, other);
    const found = await graphReader(reading).read('ada');
    expect(found.map((credential) => credential.keyId)).toEqual([digest('sha256', fromBase64('AAEC'))]);
    expect(ignored).toHaveLength(1);
  });

  it.each([
    ['no object', () => Response.json([]), 'service-answer'],
    ['no list', () => Response.json({ deviceKeys: {} }), 'service-answer'],
    ['no JSON', () => new Response('<html>'), 'service-answer'],
    ['too much', () => new Response(new Uint8Array(4 * 1024 * 1024 + 1)), 'service-answer'],
    ['a refusal', () => new Response('{"error":{"code":"Forbidden"}}', { status: 403 }), 'service-refused'],
    ['a redirection', () => new Response(null, { status: 302, headers: { location: 'https://x' } }), 'service-refused'],
    ['too many requests', () => new Response('wait', { status: 429 }), 'service-unreachable'],
    ['trouble of its own', () => new Response('', { status: 503 }), 'service-unreachable'],
    ['no connection', () => Promise.reject(new TypeError('fetch failed')), 'service-unreachable'],
  ])('tells %s from other answers', async (_, answer, code) => {
    const found = await asyncRefusal(() => graphReader(graph(answer).options).read('ada'));
    expect(found.split(':')[0]).toBe(code);
    expect(found).not.toContain('T0ken');
  });

  it('ends after its time, and with its signal', async () => {
    const hanging: GraphReaderOptions = {
      token: async () => 'T0ken',
      timeoutMs: 5,
      fetch: (_, init) =>
        new Promise((__, reject) => {
          init?.signal?.addEventListener('abort', () => reject(init.signal?.reason), { once: true });
        }),
    };
    expect(await asyncRefusal(() => graphReader(hanging).read('ada'))).toBe(
      'service-timeout: GET https://graph.microsoft.com/beta/users/ada: no response within 5 ms; try again later, or with a longer timeoutMs',
    );
    const aborter = new AbortController();
    const reading = graphReader({ ...hanging, timeoutMs: 60_000 }).read('ada', { signal: aborter.signal });
    aborter.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
  });

  it('asks another cloud, but only with TLS', async () => {
    const { sent, options } = keys();
    await graphReader({ ...options, graphUrl: 'https://microsoftgraph.chinacloudapi.cn' }).read('ada');
    expect(sent[0]?.url).toBe('https://microsoftgraph.chinacloudapi.cn/beta/users/ada?$select=deviceKeys');
    const open = graphReader({ ...options, graphUrl: 'http://graph.example/' });
    await expect(open.read('ada')).rejects.toThrow(TypeError);
    expect(sent).toHaveLength(1);
  });
});

describe('takeBackKey', () => {
  const key = { user: 'ada@contoso.test', kid: 'b4e5f6a7-0000-4000-8000-000000000001', keyId, deviceId };
  const method = (device: unknown) => () => Response.json({ id: key.kid, device });
  const listed =
    (...items: readonly unknown[]) =>
    () =>
      Response.json({ deviceKeys: items });
  const gone = () => new Response(null, { status: 204 });
  const missing = () => Response.json({ error: { code: 'resourceNotFound' } }, { status: 404 });

  it('removes the key after Graph has shown that it is the right one', async () => {
    const fido = { ...deviceKey, keyType: 'FIDO', keyMaterial: 'AAEC' };
    const elsewhere = { ...deviceKey, deviceId: '00112233-4455-6677-8899-aabbccddeeff', keyMaterial: 'AAEC' };
    const { sent, options } = graph(
      method({ deviceId: deviceId.toUpperCase() }),
      listed(fido, elsewhere, deviceKey),
      gone,
    );
    expect(await takeBackKey(key, options)).toBe('deleted');
    const at = `https://graph.microsoft.com/v1.0/users/ada%40contoso.test/authentication/windowsHelloForBusinessMethods/${key.kid}`;
    expect(sent.map(({ url, init }) => `${init.method} ${url}`)).toEqual([
      `GET ${at}?$expand=device`,
      'GET https://graph.microsoft.com/beta/users/ada%40contoso.test?$select=deviceKeys',
      `DELETE ${at}`,
    ]);
  });

  it('does nothing if there is no key with that Key ID', async () => {
    const { sent, options } = graph(missing);
    expect([await takeBackKey(key, options), sent.length]).toEqual(['absent', 1]);
  });

  const another = { ...deviceKey, keyMaterial: 'AAEC' };
  it.each([
    [
      'of another device',
      method({ deviceId: '00112233-4455-6677-8899-aabbccddeeff' }),
      listed(deviceKey),
      'is not the expected key',
    ],
    ['of no device', method(undefined), listed(deviceKey), 'is not the expected key'],
    ['of no key of that device', method({ deviceId }), listed(), 'is not the expected key'],
    ['with other key material', method({ deviceId }), listed(another), 'is not the expected key'],
    [
      'that may be either of two',
      method({ deviceId }),
      listed(deviceKey, another),
      'may be another key of the same device',
    ],
  ])('removes no key %s', async (_, found, keys, problem) => {
    const { sent, options } = graph(found, keys, gone);
    expect(await asyncRefusal(() => takeBackKey(key, options))).toMatch(
      `service-untrusted: Microsoft Graph: the key ${key.kid} of ${key.user} ${problem}`,
    );
    expect(sent.filter(({ init }) => init.method === 'DELETE')).toEqual([]);
  });

  it.each(['', '.', '..', '...', 'a b', 'k\u001b[2J', 'k'.repeat(257)])(
    'asks for no key with the number %j',
    async (kid) => {
      const { sent, options } = graph(gone);
      expect(await asyncRefusal(() => takeBackKey({ ...key, kid }, options))).toMatch(
        /^service-answer: .* is not a registration number/,
      );
      expect(sent).toEqual([]);
    },
  );

  it.each(['', '.', '..'])('asks for no user %j', async (user) => {
    const { sent, options } = graph(gone);
    const asked = [
      () => takeBackKey({ ...key, user }, options),
      () => deleteHelloMethod(user, key.kid, options),
      () => listHelloMethods(user, options),
      () => graphReader(options).read(user),
    ];
    for (const ask of asked) await expect(ask()).rejects.toThrow(TypeError);
    expect(sent).toEqual([]);
  });
});

describe('listHelloMethods', () => {
  const method = {
    id: 'b4e5f6a7-0000-4000-8000-000000000001',
    displayName: 'PC7',
    createdDateTime: '2026-01-01T12:00:00Z',
    keyStrength: 'normal',
  };
  const next = (link: unknown) => () => Response.json({ value: [method], '@odata.nextLink': link });

  it('reads all pages', async () => {
    const { sent, options } = graph(next('https://graph.microsoft.com/v1.0/page2?$skiptoken=x'), () =>
      Response.json({ value: [{ id: 'second', displayName: null }] }),
    );
    expect(await listHelloMethods('ada@contoso.test', options)).toEqual([
      method,
      { id: 'second', displayName: '', createdDateTime: '', keyStrength: '' },
    ]);
    expect(sent.map(({ url }) => url)).toEqual([
      'https://graph.microsoft.com/v1.0/users/ada%40contoso.test/authentication/windowsHelloForBusinessMethods',
      'https://graph.microsoft.com/v1.0/page2?$skiptoken=x',
    ]);
  });

  it('ends at a hundred pages', async () => {
    const { sent, options } = graph(next('https://graph.microsoft.com/again'));
    expect(await asyncRefusal(() => listHelloMethods('ada', options))).toMatch(
      'service-answer: Microsoft Graph: more than 100 pages',
    );
    expect(sent).toHaveLength(100);
  });

  it.each(['https://evil.example/', 'http://graph.microsoft.com/', 'page2', 7])(
    'gives the token to no other host (%j)',
    async (link) => {
      const { sent, options } = graph(next(link));
      const found = await asyncRefusal(() => listHelloMethods('ada', options));
      const where =
        typeof link === 'string' ? 'the next page is on another server' : 'the response: @odata.nextLink: not a string';
      expect(found).toBe(`service-answer: Microsoft Graph: ${where}`);
      expect(sent).toHaveLength(1);
    },
  );

  it.each([undefined, '', '..'])('refuses an item with the id %j', async (id) => {
    const { options } = graph(() => Response.json({ value: [{ id, displayName: 'PC7' }] }));
    expect(await asyncRefusal(() => listHelloMethods('ada', options))).toContain('service-answer: Microsoft Graph: ');
  });
});

describe('deleteHelloMethod', () => {
  it('removes the key with that id', async () => {
    const { sent, options } = graph(() => new Response(null, { status: 204 }));
    expect(await deleteHelloMethod('ada@contoso.test', 'a/b', options)).toBe('deleted');
    expect(sent.map(({ url, init }) => [init.method, url])).toEqual([
      [
        'DELETE',
        'https://graph.microsoft.com/v1.0/users/ada%40contoso.test/authentication/windowsHelloForBusinessMethods/a%2Fb',
      ],
    ]);
    expect(sent[0]?.init.headers).toMatchObject({ authorization: 'Bearer T0ken' });
  });

  it('reports that there is none', async () => {
    const { options } = graph(() => Response.json({ error: { code: 'ResourceNotFound' } }, { status: 404 }));
    expect(await deleteHelloMethod('ada', 'x', options)).toBe('absent');
  });

  it('says why it was refused', async () => {
    const body = { error: { code: 'Forbidden', message: 'T0ken has no rights' } };
    const { options } = graph(() => Response.json(body, { status: 403 }));
    expect(await asyncRefusal(() => deleteHelloMethod('ada', 'x', options))).toMatch(
      /^service-refused: DELETE https:.*: status 403 Forbidden: \[secret\] has no rights; check the account's permissions$/,
    );
  });

  it.each(['', '.', '..'])('sends nothing for the id %j, whose URL would be another', async (id) => {
    const { sent, options } = graph(() => new Response(null, { status: 204 }));
    await expect(deleteHelloMethod('ada', id, options)).rejects.toThrow(TypeError);
    expect(sent).toEqual([]);
  });
});

describe('the URL of Microsoft Graph', () => {
  it.each(['https://relay.test/graph', 'https://relay.test/graph/'])('keeps the path of %s', async (graphUrl) => {
    const { sent, options } = graph(
      () => Response.json({ deviceKeys: [] }),
      () => Response.json({ value: [] }),
      () => new Response(null, { status: 204 }),
    );
    await graphReader({ ...options, graphUrl }).read('ada');
    await listHelloMethods('ada', { ...options, graphUrl: new URL(graphUrl) });
    await deleteHelloMethod('ada', '7', { ...options, graphUrl });
    const methods = 'https://relay.test/graph/v1.0/users/ada/authentication/windowsHelloForBusinessMethods';
    expect(sent.map(({ url }) => url)).toEqual([
      'https://relay.test/graph/beta/users/ada?$select=deviceKeys',
      methods,
      `${methods}/7`,
    ]);
  });
});
