import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { countInMemory, disguised } from '../integration/support/memory.ts';
import { startKeyprov } from './support/keyprov.ts';
import { addressOf } from './support/page-client.ts';

let command: ReturnType<typeof startKeyprov>;
let page: URL;
let session: string;
let window: Promise<void>;
let isOver = false;

const isLinux = process.platform === 'linux';
beforeAll(async () => {
  command = startKeyprov(['dashboard', '--tpm', 'none']);
  page = new URL(await addressOf(command));
  const { origin, hash } = page;
  const opened = await fetch(`${origin}/session`, { method: 'POST', body: hash.slice(1), headers: { origin } });
  session = Object(await opened.json()).session;
  window = keepOpen();
});
afterAll(async () => {
  isOver = true;
  command.child.kill('SIGKILL');
  await command.ended;
  await window;
});

/** Waits for the next state again and again, as a window does: without one, the command ends. */
async function keepOpen(): Promise<void> {
  const headers = { origin: page.origin, 'x-keyprov-session': session };
  try {
    for (let version = 0; !isOver; ) {
      const answer = await fetch(`${page.origin}/state?after=${version}`, { headers });
      version = Object(await answer.json()).version;
    }
  } catch (error) {
    if (!isOver) throw error;
  }
}

/** How often a text is in the memory of the command. */
const count = (text: string): number => countInMemory(command.child.pid ?? 0, disguised(utf8(text)));

interface Way {
  /** A Content-Length other than the PIN's. */
  readonly length?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Data before and after the PIN, in separate writes. */
  readonly before?: readonly string[];
  readonly after?: readonly string[];
  /** The connection is reset instead. */
  readonly isReset?: boolean;
  readonly answer: RegExp;
}

/** Posts a PIN, and waits for the end of the connection. */
async function send(pin: string, { length, path = '/check', headers, before = [], after = [], isReset = false }: Way) {
  const lines = { Host: page.host, Origin: page.origin, 'X-Keyprov-Session': session, Connection: 'close', ...headers };
  const size = length ?? `Content-Length: ${[...before, pin, ...after].join('').length}`;
  const head = [`POST ${path} HTTP/1.1`, ...Object.entries(lines).map(([name, value]) => `${name}: ${value}`), size];
  const socket = connect(Number(page.port), '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (text: string) => {
    answer += text;
  });
  socket.on('error', () => undefined); // that it was cut is seen in the answer
  const closed = once(socket, 'close');
  await once(socket, 'connect');
  const [first = '', ...others] = [...before, pin, ...after];
  socket.write(`${head.join('\r\n')}\r\n\r\n${first}`);
  for (const text of others) {
    await delay(20);
    socket.write(text);
  }
  await delay(20);
  if (isReset) socket.resetAndDestroy();
  else socket.end();
  await closed;
  return answer;
}

const WAYS: readonly (readonly [name: string, way: Way])[] = [
  ['is taken', { answer: /^HTTP\/1\.1 204 / }],
  ['comes in two parts', { before: [''], answer: /^HTTP\/1\.1 204 / }],
  ['is cut off', { length: 'Content-Length: 100', isReset: true, answer: /^$/ }],
  ['is for another action', { path: '/other', answer: /^HTTP\/1\.1 404 / }],
  ['has another session', { headers: { 'X-Keyprov-Session': 'other' }, answer: /^HTTP\/1\.1 401 / }],
  ['comes from another page', { headers: { Origin: 'http://evil.test' }, answer: /^HTTP\/1\.1 403 / }],
  ['is given for the token', { path: '/session', headers: { 'X-Keyprov-Session': '' }, answer: /^HTTP\/1\.1 403 / }],
  ['is in what is too long', { before: ['x'.repeat(900)], after: ['x'.repeat(900)], answer: /^HTTP\/1\.1 413 / }],
  [
    'comes after what is too long',
    { before: ['x'.repeat(1500)], after: ['x'.repeat(900)], answer: /^(HTTP\/1\.1 413 |$)/ },
  ],
  ['comes with an expectation', { headers: { Expect: 'more' }, answer: /^HTTP\/1\.1 417 / }],
  ['is where a chunk should begin', { length: 'Transfer-Encoding: chunked', answer: /^$/ }],
  ['is followed by what is no chunk', { length: 'Transfer-Encoding: chunked', before: ['7\r\n'], answer: /^$/ }],
];

describe.skipIf(!isLinux)('the memory of a command with a page', () => {
  it('is looked through: the session is found', () => {
    expect(count(session)).toBeGreaterThan(0);
  });

  it.each(WAYS)('contains no PIN that %s', async (_, way) => {
    const pin = randomBytes(9).toString('base64url');
    expect(await send(pin, way)).toMatch(way.answer);
    // The command may not have seen the end of the connection yet.
    for (let tries = 0; tries < 20 && count(pin) > 0; tries++) await delay(50);
    expect(count(pin)).toBe(0);
  });
});
