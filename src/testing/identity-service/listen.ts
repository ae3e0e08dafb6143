import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type Bytes, concat } from '../../bytes.ts';
import { ServiceError } from '../../errors/service-error.ts';
import type { ServiceDevice } from './device-table.ts';
import { findRoute, type Route, type RouteAnswer } from './http.ts';
import type { Intercept } from './intercept.ts';

/** A handled request, for tests, without secrets. */
export interface RequestLogEntry {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  /** The response status, sent or not; undefined if the request was dropped before it was handled. */
  readonly status: number | undefined;
  /** Whether the connection was cut instead of sending the response. */
  readonly dropped: boolean;
}

/** Options of {@link listen}. */
export interface ListenerOptions {
  readonly port: number;
  readonly tls: { readonly key: string; readonly cert: string };
  /** Authority of client certificates, as PEM. */
  readonly ca: string;
  readonly routes: readonly Route[];
  /** The device with that certificate in DER. */
  readonly deviceOf: (certificate: Uint8Array) => ServiceDevice | undefined;
  readonly intercept: Intercept;
}

/** A listener on 127.0.0.1. */
export interface Listener {
  readonly port: number;
  readonly requests: readonly RequestLogEntry[];
  /** Cuts all connections. */
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 1024 * 1024;

/** Listens with TLS 1.2 or later. Asks clients for a certificate, which is optional. */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const requests: RequestLogEntry[] = [];
  let index = 0;
  const { key, cert } = options.tls;
  const server = createServer(
    { key, cert, ca: options.ca, requestCert: true, rejectUnauthorized: false, minVersion: 'TLSv1.2' },
    (request, response) => {
      const entry = { method: request.method ?? '', path: pathOf(request), index: index++ };
      const log = (status: number | undefined, dropped: boolean) =>
        requests.push({ method: entry.method, path: entry.path, status, dropped });
      serve(request, response, { ...options, entry, log }).catch(() => {
        // The client has disconnected, or sends too much, so no response is possible.
        response.destroy();
      });
    },
  );
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(options.port, '127.0.0.1');
  await once(server, 'listening').catch((cause: unknown) => {
    throw new ServiceError('service-unreachable', `cannot listen on port ${options.port} of 127.0.0.1`, {
      cause,
      remedy: 'leave the port out to get a free one',
    });
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    requests,
    close: () => stop(server, sockets),
  };
}

async function stop(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  // All sockets: the HTTPS server does not know those whose TLS has not begun.
  for (const socket of sockets) socket.destroy();
  await closed;
}

interface Service extends ListenerOptions {
  readonly entry: { readonly method: string; readonly path: string; readonly index: number };
  readonly log: (status: number | undefined, dropped: boolean) => void;
}

async function serve(request: IncomingMessage, response: ServerResponse, service: Service): Promise<void> {
  const { entry, log } = service;
  const fault = await service.intercept(entry);
  if (fault === 'drop-before') {
    log(undefined, true);
    request.socket.destroy();
    return;
  }
  const requestId = randomUUID();
  const body = await readBody(request);
  const answer = typeof fault === 'object' ? fault : await answerTo(request, body, requestId, service);
  log(answer.status, fault === 'drop-after');
  if (fault === 'drop-after') {
    request.socket.destroy();
    return;
  }
  const { status, headers = {} } = answer;
  const isText = typeof answer.body === 'string';
  response.writeHead(status, {
    'request-id': requestId,
    'cache-control': 'no-store',
    ...(answer.body !== undefined && !isText && { 'content-type': 'application/json; charset=utf-8' }),
    ...headers,
  });
  response.end(isText || answer.body === undefined ? answer.body : JSON.stringify(answer.body));
}

async function answerTo(
  request: IncomingMessage,
  body: Bytes,
  requestId: string,
  { routes, deviceOf, entry: { method, path } }: Service,
): Promise<RouteAnswer> {
  const route = findRoute(routes, method, path);
  if (route === undefined) return { status: 404, body: { error: 'not_found', error_description: `no ${path}` } };
  try {
    return await route.handler({
      method,
      url: new URL(request.url ?? '/', 'https://localhost'),
      params: route.params,
      headers: request.headers,
      body,
      requestId,
      device: clientDevice(request, deviceOf),
    });
  } catch (error) {
    // A bug of the service: the test that made the request must see it.
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { status: 500, body: { error: 'server_error', error_description: text } };
  }
}

function clientDevice({ socket }: IncomingMessage, deviceOf: Service['deviceOf']): ServiceDevice | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  const { raw } = socket.getPeerCertificate();
  const device = raw === undefined ? undefined : deviceOf(raw);
  return device?.enabled === true ? device : undefined;
}

function pathOf({ url = '/' }: IncomingMessage): string {
  const end = url.indexOf('?');
  return end < 0 ? url : url.slice(0, end);
}

async function readBody(request: IncomingMessage): Promise<Bytes> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('the body is text, not bytes');
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new RangeError('the body has more than 1 MiB');
    chunks.push(chunk);
  }
  return concat(...chunks);
}
