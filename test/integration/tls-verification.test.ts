import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isKeyprovError } from '../../src/errors.ts';
import { bindLdap } from '../../src/registration/ldap-connection.ts';
import { ldapReader } from '../../src/registration/ldap-reader.ts';
import { type Bundle, bundle } from './support/bundle.ts';
import { type PemPair, TestProxy, TestRoots } from './support/key-service.ts';

const BIND_RESPONSE = [0x61, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00];
const EXTENDED_RESPONSE = [0x78, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00];
const STARTS = new Map([
  [0x60, BIND_RESPONSE],
  [0x77, EXTENDED_RESPONSE],
]);

/** All data that servers received, decrypted if possible. */
let heard = '';
let script: Bundle;
let roots: TestRoots;
let other: TestRoots;
let pair: PemPair;
const servers: Server[] = [];
const sockets = new Set<Socket>();

/** Answers LDAP operations with success: a short message is 30 LL 02 01 ID, and then the operation. */
function serveLdap(socket: Socket, { onBound = () => {} }: { readonly onBound?: (socket: Socket) => void } = {}): void {
  const answer = (data: Uint8Array): void => {
    heard += Buffer.from(data).toString('latin1');
    const id = data[4] ?? 0;
    const operation = data[5] ?? 0;
    const body = STARTS.get(operation);
    if (body === undefined) return;
    socket.write(Uint8Array.of(0x30, body.length + 3, 0x02, 0x01, id, ...body));
    if (operation === 0x60) onBound(socket);
    if (operation !== 0x77) return;
    socket.off('data', answer);
    const secure = new TLSSocket(socket, { isServer: true, cert: pair.certificate, key: pair.privateKey });
    secure.on('error', () => {}); // the client does not like the certificate
    serveLdap(secure, { onBound });
  };
  socket.on('data', answer);
}

async function listening(server: Server): Promise<number> {
  servers.push(server);
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {}); // the client may go first
  });
  server.on('secureConnection', (socket: Socket) => socket.on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

beforeAll(async () => {
  script = await bundle('test/integration/children/tls-paths.ts');
  roots = await TestRoots.create();
  other = await TestRoots.create('other');
  pair = await roots.forHost('localhost', 'service.test', '127.1');
});
afterAll(async () => {
  script[Symbol.dispose]();
  for (const socket of sockets) socket.destroy();
  for (const server of servers) {
    server.close();
    await once(server, 'close');
  }
});

/** The result of each path, in a process with NODE_TLS_REJECT_UNAUTHORIZED=0. */
async function tryPaths(trusted: string | undefined): Promise<Record<string, string>> {
  heard = '';
  const tls = { cert: pair.certificate, key: pair.privateKey };
  const httpsPort = await listening(
    createHttpsServer(tls, ({ headers }, response) => {
      heard += headers.authorization;
      response.end('{}');
    }),
  );
  await using proxy = await TestProxy.start('user:s3cret-proxy');
  // A proxy behind TLS: bytes go to and fro.
  const tlsProxyPort = await listening(
    createTlsServer(tls, (socket) => {
      const inner = createConnectionTo(proxy.port);
      socket.on('data', (data: Uint8Array) => {
        heard += Buffer.from(data).toString('latin1');
      });
      socket.pipe(inner).pipe(socket);
    }),
  );
  const ldapsPort = await listening(createTlsServer(tls, (socket) => serveLdap(socket)));
  const ldapPort = await listening(createServer((socket) => serveLdap(socket)));
  const given = {
    https: `https://localhost:${httpsPort}/`,
    proxy: `http://user:s3cret-proxy@localhost:${proxy.port}`,
    tlsProxy: `https://user:s3cret-proxy@localhost:${tlsProxyPort}`,
    ldaps: `ldaps://localhost:${ldapsPort}`,
    // Another way to write 127.0.0.1, for which TLS is a must.
    ldap: `ldap://127.1:${ldapPort}`,
    ...{ trusted, other: other.pem },
  };
  const child = spawn(process.execPath, ['--no-warnings', script.path, JSON.stringify(given)], {
    env: { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_EXTRA_CA_CERTS: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Uint8Array) => {
    output += Buffer.from(chunk).toString();
  });
  expect(await once(child, 'close')).toEqual([0, null]);
  return JSON.parse(output);
}

function createConnectionTo(port: number): Socket {
  const socket = connect(port, '127.0.0.1');
  sockets.add(socket);
  socket.on('error', () => {}); // either end may go first
  return socket;
}

describe('NODE_TLS_REJECT_UNAUTHORIZED=0', () => {
  it('never sends a token or a password to an untrusted server', async () => {
    const { 'the fetch of Node': obedient, ...ours } = await tryPaths(undefined);
    expect(obedient).toBe('sent');
    expect(new Set(Object.values(ours))).toEqual(new Set(['service-unreachable']));
    expect(heard.match(/s3cret-\w+/g)).toEqual(['s3cret-t0ken']);
  });

  it('keeps no path from a server that is trusted', async () => {
    const outcomes = await tryPaths(roots.pem);
    expect(outcomes).toEqual({
      ...Object.fromEntries(Object.keys(outcomes).map((name) => [name, 'sent'])),
      'the usual fetch': 'service-unreachable',
    });
    expect(new Set(heard.match(/s3cret-passw0rd/g))).toEqual(new Set(['s3cret-passw0rd']));
  });
});

describe('a directory that ends its connections', () => {
  it('is not asked again over another connection, anonymously', async () => {
    let connections = 0;
    const tls = { cert: pair.certificate, key: pair.privateKey };
    const server = createTlsServer(tls, (socket) => {
      connections++;
      serveLdap(socket, { onBound: (bound) => setTimeout(() => bound.destroy(), 50) });
    });
    const url = new URL(`ldaps://localhost:${await listening(server)}`);
    const { client, close } = await bindLdap({ url, ca: roots.pem }, { dn: 'cn=reader', password: 'p' });
    while (client.isConnected) await new Promise((resolve) => setTimeout(resolve, 10));
    const error = await ldapReader(client, { base: 'DC=x' })
      .read('ada@contoso.test')
      .catch((thrown: unknown) => thrown);
    expect(isKeyprovError(error, 'service-unreachable') && error.message).toContain('closed the connection');
    await close();
    expect(connections).toBe(1);
  });

  it('must have the name that was asked for in its certificate', async () => {
    const server = createServer((socket) => serveLdap(socket));
    const port = await listening(server);
    const account = { dn: 'cn=reader', password: 'p' };
    const error = await bindLdap({ url: new URL(`ldap://127.0.1:${port}`), ca: roots.pem }, account).catch(
      (thrown: unknown) => thrown,
    );
    expect(isKeyprovError(error, 'service-unreachable') && error.message).toContain('127.0.1');
  });
});
