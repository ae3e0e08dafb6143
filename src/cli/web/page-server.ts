import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { type Bytes, concatSecrets, equal, toBase64Url, utf8, wipe } from '../../bytes.ts';
import { ServiceError } from '../../errors/service-error.ts';
import { countDown, endsWithin } from '../../signal.ts';
import { inOptions } from '../terminal/ways-on.ts';
import type { LiveState } from './live-state.ts';
import { type PageFile, type PageName, readPageFiles } from './page-files.ts';

/** Handles a POST of the page. The body is wiped afterwards. @returns whether the action was expected now. */
export type PageAction = (body: Bytes) => boolean;

/** Options of {@link openPageServer}. */
export interface PageServerOptions {
  readonly page: PageName;
  /** What the page shows. No secret may be in it. */
  readonly state: LiveState<object>;
  /** By name: the last part of the address that is posted to. */
  readonly actions?: Readonly<Record<string, PageAction>> | undefined;
  /** For tests: how long things may take, in milliseconds. */
  readonly times?: Partial<PageTimes> | undefined;
}

/** How long things may take, in milliseconds. */
export interface PageTimes {
  /** Until a window has the page. */
  readonly opening: number;
  /** From the end of the window's last request to its next one; after that it counts as closed. */
  readonly grace: number;
  /** How long a request for the state waits for a new one. */
  readonly poll: number;
  /** How long a client may take for a request. */
  readonly request: number;
  /** How long nothing may move on a connection: longer than `poll`. */
  readonly idle: number;
}

const TIMES: PageTimes = { opening: 600_000, grace: 15_000, poll: 20_000, request: 10_000, idle: 40_000 };
/** A PIN has 127 characters at most, and is sent twice. */
const MAX_BODY = 1_024;
const MAX_HEADERS = 8_192;
/** How many connections without the session there can be. */
const MAX_STRANGERS = 32;
/** How much Node reads at once. */
const READ_SIZE = 65_536;
/** How long a window that is loaded again may take to let go of its last request. */
const RELOAD_MS = 1_000;
const SESSION_HEADER = 'x-keyprov-session';

/** The headers of every answer, those of a refusal included. Node itself answers nothing: anything that is not HTTP is cut off. */
const HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

/** Starts to serve a page at a port of 127.0.0.1 that is free. */
export async function openPageServer(options: PageServerOptions): Promise<PageServer> {
  const files = await readPageFiles(options.page);
  const times = { ...TIMES, ...options.times };
  const server = createServer({
    maxHeaderSize: MAX_HEADERS,
    requestTimeout: times.request,
    headersTimeout: times.request,
    connectionsCheckingInterval: Math.min(1_000, times.request),
    requireHostHeader: false,
  });
  server.setTimeout(times.idle);
  server.maxHeadersCount = 0; // Node would drop those after the first thousand; MAX_HEADERS is limit enough
  server.listen(0, '127.0.0.1');
  await once(server, 'listening').catch((cause: unknown) => {
    throw new ServiceError('service-unreachable', 'no page can be served on 127.0.0.1', {
      cause,
      remedy: 'omit --web, or use keyprov doctor and keyprov status instead of keyprov dashboard',
    });
  });
  return new PageServer(server, files, { ...options, times });
}

/**
 * Serves one page to one window of a browser on this machine.
 *
 * The address that is shown has a token, which the page exchanges once for a session; everything but the files of the page
 * needs the session in a header, which no page of another origin can send. The page asks for the state again and again,
 * each time waiting for a new version: once nobody does for a while, the window is closed.
 */
export class PageServer implements AsyncDisposable {
  /** `http://127.0.0.1:PORT`. */
  readonly origin: string;
  /** The address for the user, with the token. It is a secret until it has been used. */
  readonly address: string;
  readonly #server: Server;
  readonly #files: ReadonlyMap<string, PageFile>;
  readonly #options: PageServerOptions & { readonly times: PageTimes };
  readonly #actions: ReadonlyMap<string, PageAction>;
  readonly #token: Bytes = newSecret();
  #session: Bytes | undefined;
  readonly #opened = new AbortController();
  readonly #closed = new AbortController();
  /** Connections that have not shown the session, oldest first. */
  readonly #strangers = new Set<Socket>();
  /** The connection to ourselves that overwrites what Node has read. */
  #eraser: Socket | undefined;
  /** Whether nothing was read since it began. */
  #isErased = true;
  /** Requests for the state that wait. */
  readonly #polls = new Set<ServerResponse>();
  #stopGrace: () => void;

  /** Use {@link openPageServer}. */
  constructor(
    server: Server,
    files: ReadonlyMap<string, PageFile>,
    options: PageServerOptions & { readonly times: PageTimes },
  ) {
    const bound = server.address();
    this.origin = `http://127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`;
    this.address = `${this.origin}/#${new TextDecoder().decode(this.#token)}`;
    this.#server = server;
    this.#files = files;
    this.#options = options;
    this.#actions = new Map(Object.entries(options.actions ?? {}).map(([name, action]) => [`/${name}`, action]));
    this.#stopGrace = countDown(options.times.opening, () => this.#closed.abort());
    server.on('connection', (socket) => this.#admit(socket));
    server.on('clientError', (_, socket) => socket.destroy());
    for (const event of ['request', 'checkContinue', 'checkExpectation']) {
      server.on(event, (request: IncomingMessage, response: ServerResponse) => {
        this.#serve(request, response).catch(() => response.destroy()); // the client has gone: nobody to tell
      });
    }
  }

  /** Aborts when a window has the page. */
  get opened(): AbortSignal {
    return this.#opened.signal;
  }

  /** Aborts when that window is closed, after the time of grace, or if none is opened in time. */
  get windowClosed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Cuts all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopGrace();
    wipe(this.#token, this.#session);
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    this.#eraser?.destroy();
    await closed;
  }

  /** Cuts the oldest stranger off if there are too many, so that nobody can keep the window out. */
  #admit(socket: Socket): void {
    // Without a listener, Node's parser would read into memory of its own. So it gets a copy of what was read, and copies
    // of that what it needs.
    socket.on('data', (chunk: Uint8Array) => wipe(chunk));
    if (this.#eraser !== undefined && socket.remotePort === this.#eraser.localPort) return;
    socket.on('data', () => this.#erase());
    this.#strangers.add(socket);
    socket.once('close', () => this.#strangers.delete(socket));
    const [oldest] = this.#strangers;
    if (this.#strangers.size > MAX_STRANGERS) oldest?.destroy();
  }

  /** Node reads all connections into one block of memory, which only it can reach. So it gets zeros to read as well. */
  #erase(): void {
    this.#isErased = this.#eraser === undefined;
    if (!this.#isErased || !this.#server.listening) return;
    const { port, hostname } = new URL(this.origin);
    this.#eraser = connect(Number(port), hostname);
    this.#eraser.on('error', () => undefined); // that it is cut off shows that it was read
    this.#eraser.once('close', () => {
      this.#eraser = undefined;
      if (!this.#isErased) this.#erase();
    });
    this.#eraser.end(new Uint8Array(READ_SIZE));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Of every request: a PIN may come with one that is refused.
    const body = await readBody(request);
    const answer = (status: number, content?: string | Uint8Array, type = 'application/json'): void => {
      response.writeHead(status, { ...HEADERS, ...(content !== undefined && { 'content-type': type }) }).end(content);
    };
    // What is left of the body is not read.
    if (body === undefined) return void response.writeHead(413, { ...HEADERS, connection: 'close' }).end();
    try {
      await this.#answer(request, body, response, answer);
    } finally {
      wipe(body);
    }
  }

  async #answer(request: IncomingMessage, body: Bytes, response: ServerResponse, answer: Answer): Promise<void> {
    const { method, url = '/', headers, headersDistinct } = request;
    const [path = '', query] = url.split('?', 2);
    // A name of a foreign site that leads here (DNS rebinding) stands in Host; a foreign page that posts, in Origin.
    const isHere = headersDistinct.host?.length === 1 && headers.host === new URL(this.origin).host;
    if (!isHere || ![undefined, this.origin].includes(headers.origin)) return answer(403);
    if (headers.expect !== undefined) return answer(417);
    if (method === 'GET' || method === 'HEAD') {
      const file = this.#files.get(path);
      if (file !== undefined) return answer(200, file.content, file.type);
      if (path !== '/state') return answer(404);
      if (!this.#hasSession(request)) return answer(401);
      return await this.#poll(Number(new URLSearchParams(query).get('after')), response, answer);
    }
    if (method !== 'POST') return answer(405);
    if (headers.origin === undefined) return answer(403);
    if (path === '/session') return await this.#openSession(body, request, answer);
    if (!this.#hasSession(request)) return answer(401);
    const action = this.#actions.get(path);
    answer(action === undefined ? 404 : action(body) ? 204 : 409);
  }

  #hasSession({ headers, socket }: IncomingMessage): boolean {
    const given = headers[SESSION_HEADER];
    const has = typeof given === 'string' && this.#session !== undefined && equal(utf8(given), this.#session);
    if (has) this.#strangers.delete(socket);
    return has;
  }

  /** A session for who has the token, once; a new one for a window that is loaded again. */
  async #openSession(body: Bytes, request: IncomingMessage, answer: Answer): Promise<void> {
    const hasToken = equal(body, this.#token);
    if (!hasToken && !this.#hasSession(request)) return answer(403);
    const isTaken = hasToken ? this.#session !== undefined : !(await this.#isLeft()) || !this.#hasSession(request);
    if (isTaken) return answer(409);
    this.#session = newSecret();
    this.#opened.abort();
    this.#awaitNextPoll();
    answer(200, JSON.stringify({ session: new TextDecoder().decode(this.#session) }));
  }

  /** Whether the window lets go of its requests, as one that is loaded again does. */
  async #isLeft(): Promise<boolean> {
    return await endsWithin(RELOAD_MS, Promise.all([...this.#polls].map((poll) => once(poll, 'close'))));
  }

  /** Answers with the state as soon as it is newer than what the window has, or with the old one after a while. */
  async #poll(after: number, response: ServerResponse, answer: Answer): Promise<void> {
    const { state, times } = this.#options;
    this.#stopGrace();
    this.#polls.add(response);
    const leave = (): void => {
      if (this.#polls.delete(response) && this.#polls.size === 0) this.#awaitNextPoll();
    };
    response.once('close', leave);
    if (after === state.version) {
      const stops: (() => void)[] = [];
      await new Promise<void>((resolve) => {
        stops.push(countDown(times.poll, resolve), state.onChange(resolve));
        response.once('close', resolve);
      });
      for (const stop of stops) stop();
    }
    // An answer that waits behind another one on a connection that is cut is never told that it is closed.
    if (response.destroyed || response.socket?.destroyed !== false) return leave();
    const { version, value } = state;
    answer(200, inOptions(JSON.stringify({ version, state: value })));
  }

  #awaitNextPoll(): void {
    this.#stopGrace();
    if (!this.#server.listening) return;
    this.#stopGrace = countDown(this.#options.times.grace, () => this.#closed.abort());
  }
}

type Answer = (status: number, content?: string | Uint8Array, type?: string) => void;

const newSecret = (): Bytes => utf8(toBase64Url(randomBytes(32)));

/** The body, which the caller wipes; undefined for one that is too long. All that it comes in is wiped, however it ends. */
function readBody(request: IncomingMessage): Promise<Bytes | undefined> {
  let body = concatSecrets();
  const take = (chunk: Uint8Array): void => {
    const longer = concatSecrets(body, chunk.subarray(0, MAX_BODY + 1 - body.length));
    wipe(body, chunk);
    body = longer;
  };
  return new Promise((resolve, reject) => {
    request.on('data', (chunk: Uint8Array) => {
      take(chunk);
      if (body.length <= MAX_BODY) return;
      wipe(body);
      resolve(undefined);
    });
    request.once('end', () => resolve(body));
    request.once('close', () => {
      if (request.readableEnded) return;
      for (let rest = request.read(); rest !== null; rest = request.read()) take(rest);
      wipe(body);
      reject(new Error('the connection was cut'));
    });
  });
}
