import { randomUUID, webcrypto } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createPlainServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { encodePem } from '../../../src/crypto/pem.ts';
import {
  buildCommonName,
  type CertificateSpec,
  issue,
  issueAuthority,
  type TestCertificate,
} from '../../certificates.ts';

/** A fault with which a test key service handles one request. */
export type Behaviour =
  | {
      readonly status: number;
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
      /** Whether the key is stored first. */
      readonly stores?: boolean;
    }
  /** Cuts the connection: `before` storing the key, `after` storing it, or `within` the answer. */
  | { readonly cuts: 'before' | 'after' | 'within' }
  /** Stores the key, then sends the answer very slowly or not at all. */
  | { readonly drips: boolean };

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** Common name of the client certificate. */
  readonly client: string | undefined;
}

/** Certificate and key in PEM. */
export interface PemPair {
  readonly certificate: string;
  readonly privateKey: string;
}

async function pemOf({ der, keys }: TestCertificate): Promise<PemPair> {
  const pkcs8 = new Uint8Array(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return { certificate: encodePem('CERTIFICATE', der), privateKey: encodePem('PRIVATE KEY', pkcs8) };
}

/** A test's certificates: a root, its PEM, and a function that issues certificates. */
export class TestRoots {
  readonly root: TestCertificate;
  readonly pem: string;

  private constructor(root: TestCertificate) {
    this.root = root;
    this.pem = encodePem('CERTIFICATE', root.der);
  }

  static async create(name = 'test root'): Promise<TestRoots> {
    return new TestRoots(await issueAuthority(name));
  }

  async issue(spec: CertificateSpec): Promise<PemPair> {
    return await pemOf(await issue(spec, this.root));
  }

  async forHost(dns: string, ...others: readonly string[]): Promise<PemPair> {
    return await this.issue({ subject: buildCommonName(dns), names: [dns, ...others].map((name) => ({ dns: name })) });
  }
}

/** An MS-KPP service behind real TLS. It stores a key once and recognizes it again. */
export class KeyService {
  readonly requests: SeenRequest[] = [];
  /** The kid of each key material. */
  readonly stored = new Map<string, string>();
  /** The faults of the next requests. Later requests are answered correctly. */
  script: Behaviour[] = [];
  /** The user in the answers. */
  upn = 'ada@contoso.test';
  readonly #server: Server;
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor(makeServer: (listen: (request: IncomingMessage, response: ServerResponse) => void) => Server) {
    this.#server = makeServer((request, response) => {
      void this.#serve(request, response);
    });
  }

  static async start(tls: PemPair, options: ServerOptions = {}): Promise<KeyService> {
    const service = new KeyService((listen) =>
      createServer({ cert: tls.certificate, key: tls.privateKey, ...options }, listen),
    );
    await listening(service.#server);
    return service;
  }

  get port(): number {
    return portOf(this.#server);
  }

  get origin(): string {
    return `https://localhost:${this.port}`;
  }

  get endpoint(): string {
    return `${this.origin}/EnrollmentServer/key/`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#server.close();
    if ('closeAllConnections' in this.#server && typeof this.#server.closeAllConnections === 'function') {
      this.#server.closeAllConnections();
    }
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const { method = '', url = '', headers } = request;
    const client = (request.socket as TLSSocket).getPeerCertificate?.().subject?.CN;
    this.requests.push({ method, url, headers, body, client: client === undefined ? undefined : String(client) });
    const behaviour = this.script.shift();
    if (behaviour === undefined) return send(response, 200, this.#store(body));
    if ('cuts' in behaviour) {
      if (behaviour.cuts === 'before') return void request.socket.destroy();
      const answer = JSON.stringify(this.#store(body));
      if (behaviour.cuts === 'after') return void request.socket.destroy();
      response.writeHead(200, { 'content-length': String(answer.length) });
      return void response.write(answer.slice(0, 10), () => request.socket.destroy());
    }
    if ('drips' in behaviour) {
      const answer = JSON.stringify(this.#store(body));
      if (!behaviour.drips) return;
      response.writeHead(200, { 'content-length': String(answer.length) });
      let at = 0;
      const timer = setInterval(() => response.write(answer[at++ % answer.length] ?? ''), 20);
      this.#timers.add(timer);
      return void response.on('close', () => clearInterval(timer));
    }
    if (behaviour.stores) this.#store(body);
    send(response, behaviour.status, behaviour.body, behaviour.headers);
  }

  #store(body: string): object {
    const { kngc } = JSON.parse(body || '{"kngc":""}') as { kngc: string };
    const kid = this.stored.get(kngc) ?? randomUUID();
    this.stored.set(kngc, kid);
    return { kid, upn: this.upn, pctx: 'eyJE=t=', krctx: 'receipt' };
  }
}

function send(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  const text = typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body);
  response.writeHead(status, { 'request-id': '650206f2-9a02-447d-9347-0cb7b4fee827', ...headers }).end(text);
}

/**
 * A proxy that resolves every host to this machine: at the requested port, or all at one port. It requires a name and
 * password if they are given.
 */
export class TestProxy {
  /** The requested connections, and the data sent in the clear. */
  readonly targets: string[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(credentials?: string, hostsPort?: number) {
    const server = createPlainServer((request, response) => {
      this.targets.push(`in clear: ${request.url} ${request.headers.authorization}`);
      response.writeHead(502).end();
    });
    server.on('connect', (request: IncomingMessage, socket: Socket) => {
      this.targets.push(request.url ?? '');
      const wanted = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`;
      if (request.headers['proxy-authorization'] !== wanted) {
        return socket.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n');
      }
      const [, port = ''] = (request.url ?? '').split(':');
      const target = connect({ host: '127.0.0.1', port: hostsPort ?? Number(port) }, () => {
        socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
        target.pipe(socket).pipe(target);
      });
      for (const one of [socket, target]) {
        this.#sockets.add(one);
        one.on('error', () => {}); // the other end may close first
      }
    });
    this.#server = server;
  }

  static async start(credentials?: string, hostsPort?: number): Promise<TestProxy> {
    const proxy = new TestProxy(credentials, hostsPort);
    await listening(proxy.#server);
    return proxy;
  }

  get port(): number {
    return portOf(this.#server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }
}

async function listening(server: Server): Promise<void> {
  server.listen(0, 'localhost');
  await once(server, 'listening');
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
