import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/bytes.ts';
import { openSwtpm } from '../../src/tpm/transports/swtpm.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms } from '../programs.ts';
import { failureOf } from './support/failure.ts';
import { closedPort, type FakeServer, startFakeServer } from './support/fake-server.ts';
import { isRunning } from './support/is-running.ts';
import { CREATE_ECC, codeOf, createRsa, GET_RANDOM, STARTUP_CLEAR } from './support/raw-commands.ts';
import { socketOf } from './support/swtpm-address.ts';

const missing = missingPrograms('swtpm');

describe.skipIf(missing).each(['unix', 'tcp'] as const)('a swtpm over %s', (listen) => {
  it('answers command after command over one connection', async () => {
    await using swtpm = await startSwtpm({ listen });
    await using transport = await swtpm.open();
    expect(transport).toMatchObject({ kind: 'swtpm', emulator: true, managed: false, address: swtpm.address });
    const answers = new Set<string>();
    for (let i = 0; i < 100; i++) {
      const answer = await transport.send(GET_RANDOM);
      expect(answer.constructor).toBe(Uint8Array);
      expect(toHex(answer.subarray(0, 12))).toBe('800100000014000000000008');
      answers.add(toHex(answer));
    }
    expect(answers.size).toBe(100);
    expect(codeOf(await transport.send(CREATE_ECC))).toBe(0);
  });

  it('says that the power cycle took everything: TPM_RC_INITIALIZE until TPM2_Startup', async () => {
    await using swtpm = await startSwtpm({ listen });
    await using transport = await swtpm.open();
    const running = transport.send(GET_RANDOM);
    await expect(transport.powerCycle()).rejects.toThrow(TypeError);
    expect(codeOf(await running)).toBe(0);
    const cycle = transport.powerCycle();
    await expect(transport.powerCycle()).rejects.toThrow(TypeError);
    await expect(transport.send(GET_RANDOM)).rejects.toThrow(TypeError);
    await cycle;
    expect(codeOf(await transport.send(GET_RANDOM))).toBe(0x100);
    expect(codeOf(await transport.send(STARTUP_CLEAR))).toBe(0);
    expect(codeOf(await transport.send(GET_RANDOM))).toBe(0);
  });

  it('gives each caller its own answer, the one that aborts and the next one', async () => {
    await using swtpm = await startSwtpm({ listen });
    await using transport = await swtpm.open();
    const abort = new AbortController();
    const making = transport.send(createRsa(1), { signal: abort.signal });
    abort.abort();
    // swtpm 0.7 goes on with the command; later ones may cancel it.
    expect([0, 0x909]).toContain(codeOf(await making));
    expect(toHex((await transport.send(GET_RANDOM)).subarray(0, 12))).toBe('800100000014000000000008');
  });

  it('lets other clients wait until their turn comes, more than the system lets wait', async () => {
    await using swtpm = await startSwtpm({ listen });
    const first = await swtpm.open();
    const use = async (): Promise<number> => {
      await using transport = await swtpm.open();
      return codeOf(await transport.send(GET_RANDOM));
    };
    const others = Promise.all(Array.from({ length: 8 }, use));
    expect(await Promise.race([others, delay(1000, 'wait')])).toBe('wait');
    expect(codeOf(await first.send(GET_RANDOM))).toBe(0);
    await first.close();
    expect(await others).toEqual(Array.from({ length: 8 }, () => 0));
  });

  it('lets a client that has waited too long fail, and the next one in', async () => {
    await using swtpm = await startSwtpm({ listen });
    const first = await swtpm.open();
    const error = await failureOf(openSwtpm({ ...swtpm.data, openTimeoutMs: 50 }));
    expect(error.code).toBe('transport-timeout');
    expect(error.message).toContain('no response within 50 ms');
    expect(error.remedy).toContain('stop that client (swtpm serves one at a time)');
    expect(codeOf(await first.send(GET_RANDOM))).toBe(0);
    await first.close();
    await using next = await swtpm.open();
    expect(codeOf(await next.send(GET_RANDOM))).toBe(0);
  });

  it('stops waiting for the first answer when the signal aborts', async () => {
    await using swtpm = await startSwtpm({ listen });
    await using _first = await swtpm.open();
    await expect(swtpm.open({ signal: AbortSignal.timeout(20) })).rejects.toMatchObject({ name: 'TimeoutError' });
    await expect(swtpm.open({ signal: AbortSignal.abort('enough') })).rejects.toBe('enough');
  });

  it('is ended by shutdown', async () => {
    await using swtpm = await startSwtpm({ listen });
    const transport = await swtpm.open();
    await transport.shutdown();
    await expect.poll(() => isRunning(swtpm.pid)).toBe(false);
    expect((await failureOf(transport.send(GET_RANDOM))).code).toBe('transport-closed');
    expect((await failureOf(openSwtpm(swtpm.data))).code).toBe('transport-unreachable');
  });

  it('ends the running command when it is killed, and says that the outcome is unknown', async () => {
    await using swtpm = await startSwtpm({ listen });
    await using transport = await swtpm.open();
    const making = transport.send(createRsa(1));
    process.kill(swtpm.pid, 'SIGKILL');
    const error = await failureOf(making);
    expect(error.code).toBe('transport-lost');
    expect(error.message).toContain('during a command, which the TPM may or may not have executed');
    expect((await failureOf(transport.send(GET_RANDOM))).code).toBe('transport-lost');
    await expect.poll(() => isRunning(swtpm.pid)).toBe(false);
    expect((await failureOf(swtpm.open())).code).toBe('transport-unreachable');
  });

  it('can be closed twice, and after it is gone', async () => {
    await using swtpm = await startSwtpm({ listen });
    const transport = await swtpm.open();
    await swtpm.stop();
    expect((await failureOf(transport.send(GET_RANDOM))).code).toBe('transport-lost');
    await transport.close();
    await transport.close();
    expect((await failureOf(transport.send(GET_RANDOM))).code).toBe('transport-closed');
  });

  it('works without its control channel, apart from functions that need it', async () => {
    await using swtpm = await startSwtpm({ listen });
    await using transport = await openSwtpm(swtpm.data);
    const abort = new AbortController();
    const answer = transport.send(GET_RANDOM, { signal: abort.signal });
    abort.abort();
    expect(codeOf(await answer)).toBe(0);
    for (const work of [() => transport.powerCycle(), () => transport.shutdown()]) {
      const error = await failureOf(work());
      expect(error.code).toBe('transport-unreachable');
      expect(error.remedy).toContain('open it with `control`');
    }
    expect(codeOf(await transport.send(GET_RANDOM))).toBe(0);
  });

  it('is found with its control channel where tpm2-tss expects it', async () => {
    await using swtpm = await startSwtpm({ listen });
    await using transport = await openSwtpm({ ...swtpm.data, control: 'default' });
    await transport.powerCycle();
    expect(codeOf(await transport.send(GET_RANDOM))).toBe(0x100);
  });
});

describe('an address without a swtpm', () => {
  it('is refused within a second: a closed port', async () => {
    const port = await closedPort();
    const error = await failureOf(openSwtpm({ port }));
    expect(error.code).toBe('transport-unreachable');
    expect(error.message).toBe(`swtpm:127.0.0.1:${port}: cannot connect (ECONNREFUSED)`);
    expect(error.remedy).toBe('start swtpm there, or correct the address');
  });

  it('is refused within a second: a path that is not there', async () => {
    const error = await failureOf(openSwtpm({ path: '/nonexistent/tpm' }));
    expect(error.code).toBe('transport-unreachable');
    expect(error.message).toContain('swtpm:unix:/nonexistent/tpm: cannot connect (ENOENT)');
  });

  it('is refused when the time is up: a server that says nothing', async () => {
    await using server = await startFakeServer(() => undefined);
    expect((await failureOf(openSwtpm({ port: server.port, openTimeoutMs: 50 }))).code).toBe('transport-timeout');
  });

  it.skipIf(missing)('is refused when the time is up: a socket at which as many wait as the system lets', async () => {
    await using swtpm = await startSwtpm();
    const path = socketOf(swtpm);
    process.kill(swtpm.pid, 'SIGSTOP');
    const clients = Array.from({ length: 64 }, () => connect({ path }).on('error', () => undefined));
    try {
      const error = await failureOf(openSwtpm({ path, openTimeoutMs: 250 }));
      expect(error.code).toBe('transport-timeout');
      expect(error.remedy).toContain('stop that client');
    } finally {
      for (const client of clients) client.destroy();
      process.kill(swtpm.pid, 'SIGCONT');
    }
  });

  it('is refused within a second: a server that speaks first', async () => {
    await using server = await startFakeServer((socket) => socket.write('SSH-2.0-OpenSSH_9.2p1\r\n'));
    expect((await failureOf(openSwtpm({ port: server.port }))).code).toBe('transport-protocol');
  });

  it('is refused within a second: a TPM 1.2', async () => {
    const badTag = fromHex('00c40000000a0000001e');
    await using server = await startFakeServer((socket) => socket.once('data', () => socket.write(badTag)));
    const error = await failureOf(openSwtpm({ port: server.port }));
    expect(error.code).toBe('transport-protocol');
    expect(error.message).toContain('not a TPM 2.0');
  });

  it.skipIf(missing)('is refused within a second: a control channel that is not there', async () => {
    await using swtpm = await startSwtpm();
    const error = await failureOf(openSwtpm({ ...swtpm.data, control: { path: '/nonexistent/ctrl' } }));
    expect(error.code).toBe('transport-unreachable');
    expect(error.message).toContain('control channel of swtpm at unix:/nonexistent/ctrl');
    await using transport = await swtpm.open();
    expect(codeOf(await transport.send(GET_RANDOM))).toBe(0);
  });

  it('is a wrong argument when it cannot be one', async () => {
    await expect(openSwtpm({ path: '/x', port: 1 })).rejects.toBeInstanceOf(TypeError);
    await expect(openSwtpm({ port: 70_000 })).rejects.toBeInstanceOf(RangeError);
  });
});

/** Answer to the TPM2_GetCapability with which every connection begins. */
const SIGN_OF_LIFE = fromHex('80010000001b000000000000000006000000010000010549424d00');
const RANDOM = fromHex('8001000000140000000000080102030405060708');

/** Answers as a TPM until the first command, then does `misbehave`. Later connections reach the real TPM. */
async function misbehaving(upstream: string, misbehave: (socket: Socket) => void): Promise<FakeServer> {
  let connections = 0;
  return startFakeServer((socket) => {
    if (++connections > 1) {
      const tpm = connect(upstream);
      socket.pipe(tpm).pipe(socket);
      return;
    }
    socket.once('data', () => {
      socket.write(SIGN_OF_LIFE);
      socket.once('data', () => misbehave(socket));
    });
  });
}

describe.skipIf(missing)('a connection on which something goes wrong', () => {
  it.each<[what: string, code: string, misbehave: (socket: Socket) => void]>([
    ['the socket ends before the answer', 'transport-lost', (socket) => socket.end()],
    ['the socket is reset before the answer', 'transport-lost', (socket) => socket.resetAndDestroy()],
    ['the socket ends within the header', 'transport-lost', (socket) => socket.end(RANDOM.subarray(0, 5))],
    ['the socket ends within the answer', 'transport-lost', (socket) => socket.end(RANDOM.subarray(0, 19))],
    ['are too few for a TPM response', 'transport-protocol', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n')],
    [
      'the response announces an impossible 9 bytes',
      'transport-protocol',
      (socket) => socket.write(fromHex('800100000009')),
    ],
    [
      'the response announces an impossible 4097 bytes',
      'transport-protocol',
      (socket) => socket.write(fromHex('800100001001')),
    ],
    ['the answer is longer than announced', 'transport-protocol', (socket) => socket.write(Buffer.of(...RANDOM, 0))],
    ['two answers come at once', 'transport-protocol', (socket) => socket.write(Buffer.of(...RANDOM, ...RANDOM))],
  ])('is dead at once: %s', async (_, code, misbehave) => {
    await using swtpm = await startSwtpm();
    await using server = await misbehaving(socketOf(swtpm), misbehave);
    const transport = await openSwtpm({ port: server.port });
    expect((await failureOf(transport.send(GET_RANDOM))).code).toBe(code);
    const later = await failureOf(transport.send(GET_RANDOM));
    expect(later.code).toBe('transport-lost');
    expect(later.cause).toMatchObject({ code });
    await transport.close();
    await using fresh = await openSwtpm({ port: server.port });
    expect(codeOf(await fresh.send(GET_RANDOM))).toBe(0);
  });

  it('does not give bytes that come behind an answer to the next command', async () => {
    await using swtpm = await startSwtpm();
    let left: Promise<unknown> | undefined;
    await using server = await misbehaving(socketOf(swtpm), (socket) => {
      socket.write(RANDOM);
      left = new Promise((resolve) => {
        setTimeout(() => socket.end(RANDOM), 10);
        socket.once('close', resolve);
      });
    });
    await using transport = await openSwtpm({ port: server.port });
    expect(await transport.send(GET_RANDOM)).toEqual(RANDOM);
    // The server sees the end when the client has reacted.
    await left;
    const error = await failureOf(transport.send(GET_RANDOM));
    expect(error.code).toBe('transport-protocol');
    expect(error.message).toContain('received 20 bytes without a command');
  });

  it('makes no difference if an answer arrives byte by byte', async () => {
    await using swtpm = await startSwtpm();
    await using server = await misbehaving(socketOf(swtpm), async (socket) => {
      for (const byte of RANDOM) {
        socket.write(Buffer.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    await using transport = await openSwtpm({ port: server.port });
    expect(await transport.send(GET_RANDOM)).toEqual(RANDOM);
  });

  it('gives up an answer that stops in the middle', async () => {
    await using swtpm = await startSwtpm();
    await using server = await misbehaving(socketOf(swtpm), (socket) => socket.write(RANDOM.subarray(0, 15)));
    await using transport = await openSwtpm({ port: server.port });
    const error = await failureOf(transport.send(GET_RANDOM));
    expect(error.code).toBe('transport-timeout');
    expect(error.message).toContain('stalled for 750 ms after 15 bytes');
    await expect(transport.send(GET_RANDOM)).rejects.toMatchObject({ cause: error });
  });

  it('is not revived by an invalid command', async () => {
    await using swtpm = await startSwtpm();
    await using transport = await swtpm.open();
    await expect(transport.send(GET_RANDOM.subarray(0, 9))).rejects.toBeInstanceOf(RangeError);
    await expect(transport.send(new Uint8Array(4097))).rejects.toBeInstanceOf(RangeError);
    expect(codeOf(await transport.send(GET_RANDOM))).toBe(0);
  });
});
