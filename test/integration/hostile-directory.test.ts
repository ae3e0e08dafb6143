import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { concat, utf8 } from '../../src/bytes.ts';
import { bindLdap } from '../../src/registration/ldap-connection.ts';
import { ldapReader } from '../../src/registration/ldap-reader.ts';
import { asyncRefusal } from '../refusal.ts';
import { TestRoots } from './support/key-service.ts';

const SEARCH = 0x63;
const BIND = 0x60;
const START_TLS = 0x77;

/** BER with a length of four bytes. */
function ber(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concat(...parts);
  const head = new Uint8Array(6);
  head.set([tag, 0x84]);
  new DataView(head.buffer).setUint32(2, content.length);
  return concat(head, content);
}
const text = (value: string): Uint8Array => ber(0x04, utf8(value));
const message = (id: number, operation: Uint8Array): Uint8Array => ber(0x30, Uint8Array.of(2, 1, id), operation);
const result = (tag: number): Uint8Array => ber(tag, Uint8Array.of(0x0a, 1, 0, 4, 0, 4, 0));
const entry = (attributes: Readonly<Record<string, readonly string[]>>): Uint8Array =>
  ber(
    0x64,
    text('CN=Ada'),
    ber(0x30, ...Object.entries(attributes).map(([name, all]) => ber(0x30, text(name), ber(0x31, ...all.map(text))))),
  );
const copies = (count: number, one: Uint8Array): Uint8Array => concat(...Array.from({ length: count }, () => one));

let server: Server | undefined;
const sockets = new Set<Socket>();

afterEach(() => {
  vi.useRealTimers();
  for (const socket of sockets) socket.destroy();
  server?.close();
});

/** Starts a directory that accepts every name and answers a search, or StartTLS, with these bytes. Returns its port. */
async function directory(answer: (id: number, socket: Socket) => Uint8Array | undefined): Promise<number> {
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined); // the client may disconnect at any time
    socket.on('data', (data: Uint8Array) => {
      const [id = 0, operation] = data.subarray(4);
      if (operation === BIND) socket.write(message(id, result(0x61)));
      const bytes = operation === SEARCH || operation === START_TLS ? answer(id, socket) : undefined;
      if (bytes !== undefined) socket.write(bytes);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** The result of reading a user's keys. */
async function look(port: number, { host = '127.0.0.1', ca = '' } = {}): Promise<string> {
  return await asyncRefusal(async () => {
    const there = { url: new URL(`ldap://${host}:${port}`), ...(ca !== '' && { ca }) };
    const { client, close } = await bindLdap(there, { dn: 'cn=a', password: 'p' });
    try {
      await ldapReader(client, { base: 'DC=test' }).read('ada');
    } finally {
      await close();
    }
  });
}

describe('a hostile directory', () => {
  const answers: readonly (readonly [string, (id: number) => Uint8Array, string])[] = [
    [
      'messages in one packet that nobody has asked for',
      (id) => copies(20_000, message(id + 1, ber(0x64))),
      'more than 1000 messages',
    ],
    ['entries without end', (id) => copies(20_000, message(id, entry({}))), 'more than 1'],
    ['one message of 2 GiB', () => Uint8Array.of(0x30, 0x84, 0x7f, 0xff, 0xff, 0xff), 'a message has 2147483647 bytes'],
    ['a length of eight bytes', () => Uint8Array.of(0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 1), 'not an LDAP message'],
    ['what is not LDAP', () => utf8('220 ready\r\n'), 'not an LDAP message'],
    [
      'an attribute in place of the name of the entry',
      (id) => concat(message(id, entry({ dn: ['CN=Ada', 'CN=Bob'] })), message(id, result(0x65))),
      'invalid distinguished name of the user: it is not a string',
    ],
  ];

  it.each(answers)('cannot do more than be refused with %s', async (_, answer, problem) => {
    const said = await look(await directory(answer));
    expect(said).toMatch(/^service-answer: LDAP: /);
    expect(said).toContain(problem);
  });

  it('cannot make an error message arbitrarily long', async () => {
    const words = ber(0x65, Uint8Array.of(0x0a, 1, 50), text(''), text('no '.repeat(100_000)));
    const said = await look(await directory((id) => message(id, words)));
    expect(said).toMatch(/^service-refused: .*\(result code 50\)/);
    expect(said.length).toBeLessThan(1500);
  });

  it('is left if it agrees to StartTLS and then says nothing', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    let hello = (): void => undefined;
    const begun = new Promise<void>((resolve) => {
      hello = resolve;
    });
    const port = await directory((id, socket) => {
      socket.once('data', () => hello());
      return message(id, result(0x78));
    });
    const said = look(port, { host: '127.1' });
    await begun;
    await vi.advanceTimersByTimeAsync(11_000);
    expect(await said).toMatch(/^service-timeout: LDAP: connecting to .* took longer than 10000 ms/);
  });

  it('cannot have bytes in clear read as if they had come through TLS', async () => {
    const roots = await TestRoots.create();
    const { certificate, privateKey } = await roots.forHost('127.1');
    const partOfAnother = message(2, result(0x61)).subarray(0, 10);
    const port = await directory((id, socket) => {
      socket.removeAllListeners('data');
      socket.write(concat(message(id, result(0x78)), partOfAnother));
      new TLSSocket(socket, { isServer: true, cert: certificate, key: privateKey }).on('error', () => undefined);
      return undefined;
    });
    expect(await look(port, { host: '127.1', ca: roots.pem })).toMatch(
      /^service-untrusted: .* sent data before TLS began; find out who is tampering with the connection/,
    );
  });
});

it('a directory that sends one byte at a time is read', async () => {
  const port = await directory((id, socket) => {
    const bytes = concat(message(id, entry({ cn: ['Ada'] })), message(id, result(0x65)));
    let at = 0;
    const next = (): void => {
      if (at < bytes.length) socket.write(bytes.subarray(at, ++at), () => setImmediate(next));
    };
    socket.setNoDelay(true);
    next();
    return undefined;
  });
  expect(await look(port)).toBe('nothing thrown');
});
