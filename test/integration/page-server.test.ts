import { once } from 'node:events';
import { type IncomingHttpHeaders, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { LiveState } from '../../src/cli/web/live-state.ts';
import { type PageName, readPageFiles } from '../../src/cli/web/page-files.ts';
import { openPageServer, type PageServer, type PageTimes } from '../../src/cli/web/page-server.ts';

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

interface Asking {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal;
}

/** Reports when a request begins to wait for the next version. */
class WatchedState extends LiveState<object> {
  waits = later<void>();

  override onChange(listener: () => void): () => void {
    this.waits.resolve();
    return super.onChange(listener);
  }
}

let server: PageServer;
let state: WatchedState;
let bodies: Uint8Array[];
let seen: string[];

async function start(times: Partial<PageTimes> = {}, page: PageName = 'provision'): Promise<void> {
  await server?.[Symbol.asyncDispose]();
  state = new WatchedState({ step: 1 });
  [bodies, seen] = [[], []];
  const pin = (body: Uint8Array): boolean => {
    bodies.push(body);
    seen.push(new TextDecoder().decode(body));
    return seen.at(-1) !== 'unexpected';
  };
  server = await openPageServer({ page, state, actions: { pin }, times });
}

beforeEach(async () => {
  await start();
  return async () => await server[Symbol.asyncDispose]();
});

const token = (): string => server.address.slice(server.address.indexOf('#') + 1);
const port = (): number => Number(new URL(server.origin).port);

/** Sends a request as the page does, with optional changes. */
async function ask(path: string, { method = 'GET', headers = {}, body = '', signal }: Asking = {}): Promise<Answer> {
  const { promise, resolve, reject } = later<Answer>();
  const own = method === 'POST' ? { origin: server.origin } : {};
  const options = { host: '127.0.0.1', port: port(), path, method, agent: false as const };
  const sent = request({ ...options, headers: { ...own, ...headers }, ...(signal && { signal }) }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
  });
  sent.on('error', reject).end(body);
  return await promise;
}

function later<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let settle = {} as { resolve: (value: T) => void; reject: (error: Error) => void };
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return { promise, ...settle };
}

const post = (path: string, body: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
  ask(path, { method: 'POST', body, headers });

/** A request for the next version, once it waits. `left` cuts it off. */
async function poll(headers: Readonly<Record<string, string>>) {
  const stop = new AbortController();
  const answer = ask('/state?after=1', { headers, signal: stop.signal });
  answer.catch(() => undefined); // its caller gets the error
  await state.waits.promise;
  return { answer, leave: () => stop.abort() };
}

async function openSession(): Promise<Readonly<Record<string, string>>> {
  const { status, text } = await post('/session', token());
  expect(status).toBe(200);
  return { 'x-keyprov-session': JSON.parse(text).session };
}

describe('the files of the pages', () => {
  it.each(['dashboard', 'provision'] as const)(
    'of %s have a strict policy, their type, and nothing inline',
    async (page) => {
      await start({}, page);
      const files = await readPageFiles(page);
      expect([...files.keys()]).toEqual(expect.arrayContaining(['/', '/page.css', '/session.js', `/${page}.js`]));
      for (const [path, { type, content }] of files) {
        const { status, headers, text } = await ask(path);
        expect({ path, status, type: headers['content-type'] }).toEqual({ path, status: 200, type });
        expect(text).toBe(new TextDecoder().decode(content));
        expectStrict(headers);
        // Inline scripts would not run.
        if (type.startsWith('text/html')) expect(text).not.toMatch(/<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=/);
        expect(text).not.toMatch(/innerHTML|insertAdjacentHTML|document\.write|\beval\b/);
        expect(text.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:\/\//);
      }
    },
  );

  it('are all that is served', async () => {
    for (const path of ['/index.html', '/package.json', '/../package.json', '/%2e%2e/package.json', '//page.css/']) {
      expect([path, (await ask(path)).status]).toEqual([path, 404]);
    }
    expect((await ask('/', { method: 'PUT' })).status).toBe(405);
  });
});

function expectStrict(headers: IncomingHttpHeaders): void {
  const policy = headers['content-security-policy'] ?? '';
  expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/);
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toContain('unsafe');
  expect(headers).toMatchObject({
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
    'cross-origin-resource-policy': 'same-origin',
  });
  expect(headers['access-control-allow-origin']).toBeUndefined();
}

describe('the token', () => {
  it('is in the part of the address that browsers do not send, and has 256 bits', () => {
    expect(server.address).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/#[\w-]{43}$/);
  });

  it('gives one session', async () => {
    expect(server.opened.aborted).toBe(false);
    const session = await openSession();
    expect(server.opened.aborted).toBe(true);
    expect((await post('/session', token())).status).toBe(409);
    expect((await ask('/state?after=0', { headers: session })).text).toBe('{"version":1,"state":{"step":1}}');
    expect(Object.values(session)).not.toContain(token());
  });

  it.each([
    ['is missing', () => ''],
    ['is another one', () => `${token().slice(0, -1)}${token().endsWith('A') ? 'B' : 'A'}`],
    ['is longer', () => `${token()}A`],
  ])('gives none if it %s', async (_, wrong) => {
    expect((await post('/session', wrong())).status).toBe(403);
    expect(server.opened.aborted).toBe(false);
    await openSession();
  });

  it('is not the session', async () => {
    await openSession();
    expect((await ask('/state', { headers: { 'x-keyprov-session': token() } })).status).toBe(401);
  });
});

describe('a request', () => {
  it.each(['/state?after=0', '/pin'])('for %s without the session learns nothing', async (path) => {
    const asking = path === '/pin' ? { method: 'POST', body: '1234' } : {};
    for (const headers of [{}, { 'x-keyprov-session': '' }, { 'x-keyprov-session': 'A'.repeat(43) }]) {
      const before = await ask(path, { ...asking, headers });
      expect([before.status, before.text]).toEqual([401, '']);
      expectStrict(before.headers);
    }
    await openSession();
    expect((await ask(path, { ...asking, headers: { 'x-keyprov-session': 'A'.repeat(43) } })).status).toBe(401);
    expect(seen).toEqual([]);
  });

  it.each(['localhost', 'evil.test', '127.0.0.2', '[::1]'])('to the host %s is refused', async (name) => {
    const session = await openSession();
    for (const path of ['/', '/state?after=0']) {
      const { status, text, headers } = await ask(path, { headers: { ...session, host: `${name}:${port()}` } });
      expect([status, text]).toEqual([403, '']);
      expectStrict(headers);
    }
    expect((await ask('/', { headers: { host: '127.0.0.1' } })).status).toBe(403);
  });

  it.each(['http://evil.test', 'null', 'http://localhost', 'http://127.0.0.1:1'])(
    'from %s is refused',
    async (origin) => {
      expect((await post('/session', token(), { origin })).status).toBe(403);
      const session = await openSession();
      expect((await ask('/', { headers: { origin } })).status).toBe(403);
      expect((await ask('/state?after=0', { headers: { ...session, origin } })).status).toBe(403);
      expect((await post('/pin', '1234', { ...session, origin })).status).toBe(403);
      expect((await ask('/pin', { method: 'OPTIONS', headers: { origin } })).status).toBe(403);
      expect(seen).toEqual([]);
    },
  );

  it('that posts without an origin is refused', async () => {
    const socket = connect(port(), '127.0.0.1');
    socket.end(`POST /session HTTP/1.1\r\nHost: 127.0.0.1:${port()}\r\nContent-Length: 43\r\n\r\n${token()}`);
    expect(await allOf(socket)).toMatch(/^HTTP\/1\.1 403 /);
    expect(server.opened.aborted).toBe(false);
  });
});

/** All that is answered to `text`, in which HOST is the address of the server. */
async function answerTo(text: string): Promise<string> {
  const socket = connect(port(), '127.0.0.1');
  socket.end(text.replaceAll('HOST', `127.0.0.1:${port()}`));
  return await allOf(socket);
}

const POST = 'POST /session HTTP/1.1\r\nHost: HOST\r\nOrigin: http://HOST\r\nConnection: close\r\n';

describe('a request that browsers do not send', () => {
  it.each([
    ['is not HTTP', 'HELO localhost\r\n\r\n', ''],
    ['is HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', ''],
    ['has a head of more than 8 KiB', `${POST}X: ${'x'.repeat(8192)}\r\n\r\n`, ''],
    ['has two lengths', `${POST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx`, ''],
    ['has a chunk that is none', `${POST}Transfer-Encoding: chunked\r\n\r\nx\r\n`, ''],
    ['wants a tunnel', 'CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n', ''],
    ['expects something', `${POST}Content-Length: 1\r\nExpect: more\r\n\r\nx`, '417'],
    ['expects to be told to go on', `${POST}Content-Length: 1\r\nExpect: 100-continue\r\n\r\nx`, '417'],
    ['has two hosts', 'GET / HTTP/1.1\r\nHost: HOST\r\nHost: evil.test\r\nConnection: close\r\n\r\n', '403'],
    ['has the same host twice', 'GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\nConnection: close\r\n\r\n', '403'],
    [
      'has a second host after a thousand other headers',
      `GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n${'a:b\r\n'.repeat(1300)}Host: evil.test\r\n\r\n`,
      '403',
    ],
    ['has no host', 'GET / HTTP/1.1\r\nConnection: close\r\n\r\n', '403'],
    ['is HTTP/1.0 without a host', 'GET / HTTP/1.0\r\n\r\n', '403'],
    ['has two origins', `${POST}Origin: http://evil.test\r\nContent-Length: 1\r\n\r\nx`, '403'],
    [
      'names another host in its target',
      'GET http://evil.test/ HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n',
      '404',
    ],
    [
      'wants another protocol',
      'GET / HTTP/1.1\r\nHost: HOST\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
      '200',
    ],
    ['has a method of its own', 'PROPFIND / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n', '405'],
  ])('and %s is refused with the headers of every answer, or cut off', async (_, text, status) => {
    const heads = (await answerTo(text)).split('HTTP/1.1 ').slice(1);
    expect(heads.map((head) => head.slice(0, 3))).toEqual(status === '' ? [] : [status]);
    for (const head of heads) {
      const lines = head.split('\r\n\r\n')[0]?.split('\r\n').slice(1) ?? [];
      expectStrict(Object.fromEntries(lines.map((line) => line.split(': ')).map(([name, value]) => [name, value])));
    }
    expect(server.opened.aborted).toBe(false);
    expect((await ask('/')).status).toBe(200);
  });
});

async function allOf(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part;
  });
  socket.on('error', () => undefined); // the test waits for this disconnection
  await once(socket, 'close');
  return text;
}

describe('posted data', () => {
  it('reaches its action, and is wiped', async () => {
    const session = await openSession();
    expect((await post('/pin', '2718\n2718', session)).status).toBe(204);
    expect((await post('/pin', 'unexpected', session)).status).toBe(409);
    expect((await post('/other', '', session)).status).toBe(404);
    expect((await post('/constructor', '', session)).status).toBe(404);
    expect(seen).toEqual(['2718\n2718', 'unexpected']);
    expect(bodies.map((body) => body.every((byte) => byte === 0))).toEqual([true, true]);
  });

  it('has 1024 bytes at most, whether its length is told or not', async () => {
    const session = await openSession();
    expect((await post('/pin', 'x'.repeat(1024), session)).status).toBe(204);
    expect((await post('/pin', 'x'.repeat(1025), session)).status).toBe(413);
    const chunked = await post('/pin', 'x'.repeat(1025), { ...session, 'transfer-encoding': 'chunked' });
    expect(chunked.status).toBe(413);
    expectStrict(chunked.headers);
    expect((await post('/session', 'x'.repeat(1025))).status).toBe(413);
    expect(seen).toHaveLength(1);
  });
});

describe('a slow client', () => {
  it.each([
    ['in the head', 'POST /session HTTP/1.1\r\nHost: '],
    ['in the body', 'POST /session HTTP/1.1\r\nHost: HOST\r\nOrigin: http://HOST\r\nContent-Length: 43\r\n\r\nabc'],
    ['before the first byte', ''],
  ])('that stops %s is cut off, and others are served meanwhile', async (_, text) => {
    await start({ request: 50, idle: 200 });
    const socket = connect(port(), '127.0.0.1');
    const cut = allOf(socket);
    socket.write(text.replaceAll('HOST', `127.0.0.1:${port()}`));
    expect((await ask('/')).status).toBe(200);
    expect(await cut).not.toContain(' 200 ');
  });

  it('does not keep the window out by many connections: the oldest of them is cut off', async () => {
    const session = await openSession();
    const { answer } = await poll(session);
    const sockets: Socket[] = [];
    let cut = 0;
    for (let count = 0; count < 100; count++) {
      const socket = connect(port(), '127.0.0.1').on('error', () => undefined);
      socket.once('close', () => cut++);
      await once(socket, 'connect');
      sockets.push(socket);
    }
    expect((await ask('/')).status).toBe(200);
    expect((await post('/pin', '2718\n2718', session)).status).toBe(204);
    while (cut < 68) await delay(5); // else the test runs into its time limit
    state.set({ step: 2 });
    expect((await answer).status).toBe(200);
    for (const socket of sockets) socket.destroy();
  });
});

describe('the state', () => {
  it('is told when it changes', async () => {
    const session = await openSession();
    const next = await poll(session);
    const other = await ask('/state?after=0', { headers: session });
    expect(JSON.parse(other.text)).toEqual({ version: 1, state: { step: 1 } });
    state.set({ step: 2 });
    expect(JSON.parse((await next.answer).text)).toEqual({ version: 2, state: { step: 2 } });
  });

  it('names the options of the command line where the library names its own', async () => {
    state.set({ remedy: "provide the owner hierarchy's password (hierarchyAuth.owner)" });
    const { text } = await ask('/state?after=0', { headers: await openSession() });
    expect(JSON.parse(text).state).toEqual({
      remedy: "provide the owner hierarchy's password (--tpm-auth owner=FILE)",
    });
  });

  it('is told again, unchanged, before the wait becomes too long', async () => {
    await start({ poll: 20 });
    const { text } = await ask('/state?after=1', { headers: await openSession() });
    expect(JSON.parse(text).version).toBe(1);
  });
});

describe('the window', () => {
  const closed = (): Promise<unknown> => once(server.windowClosed, 'abort');

  it('is closed too if two requests waited on one connection that was cut', async () => {
    await start({ grace: 200, poll: 100 });
    const { 'x-keyprov-session': session } = await openSession();
    const socket = connect(port(), '127.0.0.1');
    const poll = `GET /state?after=1 HTTP/1.1\r\nHost: 127.0.0.1:${port()}\r\nX-Keyprov-Session: ${session}\r\n\r\n`;
    socket.write(poll + poll);
    await state.waits.promise;
    socket.destroy();
    await closed();
  });

  it('is closed when it asks no more', async () => {
    await start({ grace: 50 });
    const { leave } = await poll(await openSession());
    const end = closed();
    leave();
    await end;
  });

  it('is closed if nobody opens it', async () => {
    await start({ opening: 20 });
    await closed();
    expect(server.opened.aborted).toBe(false);
  });

  it('can be loaded again, with a new session', async () => {
    const session = await openSession();
    const { leave } = await poll(session);
    leave();
    const { status, text } = await post('/session', '', session);
    expect(status).toBe(200);
    expect((await ask('/state?after=0', { headers: session })).status).toBe(401);
    expect((await ask('/state?after=0', { headers: { 'x-keyprov-session': JSON.parse(text).session } })).status).toBe(
      200,
    );
  });

  it('is the only one: a copy of it is told that another has the page', async () => {
    const session = await openSession();
    const { answer } = await poll(session);
    expect((await post('/session', '', session)).status).toBe(409);
    state.set({ step: 2 });
    expect((await answer).status).toBe(200);
  });
});

describe('the end', () => {
  it('closes open connections, and leaves nothing running', async () => {
    const { answer } = await poll(await openSession());
    const gone = expect(answer).rejects.toThrow(/hang up|ECONNRESET/);
    await server[Symbol.asyncDispose]();
    await gone;
    await expect(ask('/')).rejects.toThrow(/ECONNREFUSED/);
    await start();
  });
});
