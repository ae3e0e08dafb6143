import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { fromHex, toHex } from '../../src/bytes.ts';
import { openMssim } from '../../src/tpm/transports/mssim.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { missingPrograms } from '../programs.ts';
import { failureOf } from './support/failure.ts';
import { closedPort, type FakeServer, startFakePair, startFakeServer } from './support/fake-server.ts';
import { startMssimStandIn } from './support/mssim-stand-in.ts';
import { CREATE_ECC, codeOf, createRsa, GET_RANDOM, STARTUP_CLEAR } from './support/raw-commands.ts';

const missing = missingPrograms('swtpm');
const POWER_ON = 1;
const POWER_OFF = 2;
const CANCEL_ON = 9;
const CANCEL_OFF = 10;
const NV_ON = 11;

describe.skipIf(missing)('a simulator', () => {
  it('is switched on at opening and answers, each command sent in one write', async () => {
    await using simulator = await startMssimStandIn();
    const write = vi.spyOn(Socket.prototype, 'write');
    onTestFinished(() => write.mockRestore());
    const transport = await openMssim({ port: simulator.port });
    expect(transport).toMatchObject({ kind: 'mssim', emulator: true, managed: false });
    expect(transport.address).toBe(`mssim:127.0.0.1:${simulator.port}`);
    expect(simulator.platformMessages).toEqual([POWER_ON, NV_ON]);
    expect(codeOf(await transport.send(GET_RANDOM))).toBe(0x100);
    expect(codeOf(await transport.send(STARTUP_CLEAR))).toBe(0);
    const answer = await transport.send(GET_RANDOM);
    expect(answer.constructor).toBe(Uint8Array);
    expect(toHex(answer.subarray(0, 12))).toBe('800100000014000000000008');
    expect(codeOf(await transport.send(CREATE_ECC))).toBe(0);
    expect(simulator.commands).toBe(4);
    // The handshake is the fifth.
    expect(write.mock.contexts.filter((it) => it instanceof Socket && it.remotePort === simulator.port)).toHaveLength(
      5,
    );
    await transport.close();
    await transport.close();
    await expect.poll(() => simulator.farewells).toBe(2);
    expect((await failureOf(transport.send(GET_RANDOM))).code).toBe('transport-closed');
  });

  it('can be left switched off', async () => {
    await using simulator = await startMssimStandIn();
    const transport = await openMssim({ port: simulator.port, platformPort: simulator.port + 1, power: false });
    expect(simulator.platformMessages).toEqual([]);
    const error = await failureOf(transport.send(GET_RANDOM));
    expect(error.code).toBe('transport-protocol');
    expect(error.message).toContain('the simulator is switched off');
    await transport.close();
    await using next = await openMssim({ port: simulator.port });
    expect(codeOf(await next.send(STARTUP_CLEAR))).toBe(0);
  });

  it('loses volatile data in a power cycle', async () => {
    await using simulator = await startMssimStandIn();
    await using transport = await openMssim({ port: simulator.port });
    expect(codeOf(await transport.send(STARTUP_CLEAR))).toBe(0);
    await transport.powerCycle();
    expect(simulator.platformMessages).toEqual([POWER_ON, NV_ON, POWER_OFF, POWER_ON, NV_ON]);
    expect(codeOf(await transport.send(GET_RANDOM))).toBe(0x100);
    expect(codeOf(await transport.send(STARTUP_CLEAR))).toBe(0);
    expect(codeOf(await transport.send(GET_RANDOM))).toBe(0);
  });

  it('is not switched off while a command runs or another power cycle does', async () => {
    await using simulator = await startMssimStandIn();
    await using transport = await openMssim({ port: simulator.port });
    const starting = transport.send(STARTUP_CLEAR);
    await expect(transport.powerCycle()).rejects.toThrow(TypeError);
    expect(codeOf(await starting)).toBe(0);
    const cycle = transport.powerCycle();
    await expect(transport.powerCycle()).rejects.toThrow(TypeError);
    await cycle;
    expect(simulator.platformMessages).toEqual([POWER_ON, NV_ON, POWER_OFF, POWER_ON, NV_ON]);
    expect(codeOf(await transport.send(STARTUP_CLEAR))).toBe(0);
  });

  it('is told to cancel at abort and no longer when the answer is there: the next command runs', async () => {
    await using simulator = await startMssimStandIn();
    await using transport = await openMssim({ port: simulator.port });
    await transport.send(STARTUP_CLEAR);
    const abort = new AbortController();
    const making = transport.send(createRsa(1), { signal: abort.signal });
    abort.abort();
    expect([0, 0x909]).toContain(codeOf(await making));
    expect(simulator.platformMessages).toEqual([POWER_ON, NV_ON, CANCEL_ON, CANCEL_OFF]);
    expect(toHex((await transport.send(GET_RANDOM)).subarray(0, 12))).toBe('800100000014000000000008');
    expect([0, 0x909]).toContain(codeOf(await transport.send(GET_RANDOM, { signal: AbortSignal.abort() })));
    expect(simulator.platformMessages.slice(4)).toEqual([CANCEL_ON, CANCEL_OFF]);
    const unused = new AbortController();
    expect(codeOf(await transport.send(GET_RANDOM, { signal: unused.signal }))).toBe(0);
    unused.abort();
    expect(simulator.platformMessages).toHaveLength(6);
  });

  it('lets a second client wait until the first has gone', async () => {
    await using simulator = await startMssimStandIn();
    const first = await openMssim({ port: simulator.port });
    const second = openMssim({ port: simulator.port });
    // Longer than the wait for a simulator that answers at once.
    expect(await Promise.race([second.then(() => 'open'), delay(1000, 'waits')])).toBe('waits');
    expect(codeOf(await first.send(STARTUP_CLEAR))).toBe(0);
    await first.close();
    await using next = await second;
    expect(codeOf(await next.send(GET_RANDOM))).toBe(0);
    expect(simulator.died).toBe(false);
  });

  it('dies of a client that has given up, which says so', async () => {
    await using simulator = await startMssimStandIn();
    const first = await openMssim({ port: simulator.port });
    const error = await failureOf(openMssim({ port: simulator.port, openTimeoutMs: 50 }));
    expect(error.code).toBe('transport-timeout');
    expect(error.message).toContain('no response within 50 ms');
    expect(error.remedy).toContain('stop that client (a simulator serves one at a time)');
    expect(error.remedy).toContain('restart it');
    await first.close();
    await expect.poll(() => simulator.died).toBe(true);
  });

  it('stops waiting when the signal aborts', async () => {
    await using simulator = await startMssimStandIn();
    await using _first = await openMssim({ port: simulator.port });
    const opening = openMssim({ port: simulator.port, signal: AbortSignal.timeout(20) });
    await expect(opening).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});

describe('an address without a simulator', () => {
  it('is refused within a second: a closed port', async () => {
    const port = await closedPort();
    const error = await failureOf(openMssim({ port }));
    expect(error.code).toBe('transport-unreachable');
    expect(error.message).toContain(`127.0.0.1:${port + 1}: cannot connect (ECONNREFUSED)`);
  });

  it('is refused within a second: a platform port without a command port', async () => {
    const port = await closedPort();
    await using platform = await startFakeServer((socket) => socket.on('data', () => socket.write(ZERO)));
    const error = await failureOf(openMssim({ port, platformPort: platform.port }));
    expect(error.code).toBe('transport-unreachable');
    expect(error.message).toContain(`mssim:127.0.0.1:${port}: cannot connect (ECONNREFUSED)`);
  });

  it.skipIf(missing)('is refused within a second: a swtpm', async () => {
    await using swtpm = await startSwtpm({ listen: 'tcp' });
    if ('path' in swtpm.data) expect.fail('not TCP');
    const error = await failureOf(openMssim({ port: swtpm.data.port, openTimeoutMs: 750 }));
    expect(['transport-timeout', 'transport-protocol', 'transport-lost']).toContain(error.code);
    await using transport = await swtpm.open();
    expect(codeOf(await transport.send(GET_RANDOM))).toBe(0);
  });

  it('is a wrong argument when it cannot be one', async () => {
    await expect(openMssim({ port: 70_000 })).rejects.toBeInstanceOf(RangeError);
  });
});

const ZERO = fromHex('00000000');
const WELCOME = fromHex('000000010000000d00000000');
const RANDOM = '8001000000140000000000080102030405060708';

/** Answers the first three messages: the handshake, then `answer`. The platform port accepts everything. */
function fakeSimulator(
  answer: (socket: Socket) => unknown,
  { welcome = WELCOME, result = ZERO }: { welcome?: Uint8Array; result?: Uint8Array } = {},
): Promise<FakeServer> {
  return startFakePair(
    (socket) =>
      socket.once('data', () => {
        socket.write(welcome);
        socket.once('data', () => answer(socket));
      }),
    (socket) => socket.on('data', () => socket.write(result)),
  );
}

describe('a connection to a simulator on which something goes wrong', () => {
  it.each([
    ['version 2', '000000020000000d00000000'],
    ['no zero behind it', '000000010000000d00000001'],
    ['too long', '000000010000000d0000000000'],
    ['text', '485454502f312e312034303020426164'],
  ])('is refused at the handshake: %s', async (_, welcome) => {
    await using simulator = await fakeSimulator(() => undefined, { welcome: fromHex(welcome) });
    expect((await failureOf(openMssim({ port: simulator.port }))).code).toBe('transport-protocol');
  });

  it('is refused when the platform cannot switch on', async () => {
    await using simulator = await fakeSimulator(() => undefined, { result: fromHex('00000001') });
    const error = await failureOf(openMssim({ port: simulator.port }));
    expect(error.code).toBe('transport-protocol');
    expect(error.message).toContain('POWER_ON failed with result 1');
  });

  it.each<[what: string, code: string, answer: (socket: Socket) => unknown]>([
    ['the socket ends before the answer', 'transport-lost', (socket) => socket.end()],
    ['the socket ends before the zero', 'transport-lost', (socket) => socket.end(fromHex(`00000014${RANDOM}0000`))],
    ['4097 bytes are announced', 'transport-protocol', (socket) => socket.write(fromHex('00001001'))],
    ['9 bytes are announced', 'transport-protocol', (socket) => socket.write(fromHex('00000009'))],
    ['text', 'transport-protocol', (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n')],
    ['no zero closes it', 'transport-protocol', (socket) => socket.write(fromHex(`00000014${RANDOM}00000001`))],
    ['it is longer than announced', 'transport-protocol', (s) => s.write(fromHex(`00000014${RANDOM}0000000000`))],
    ['the lengths differ', 'transport-protocol', (socket) => socket.write(fromHex(`00000015${RANDOM}0000000000`))],
  ])('is dead at once: %s', async (_, code, answer) => {
    await using simulator = await fakeSimulator(answer);
    await using transport = await openMssim({ port: simulator.port });
    expect((await failureOf(transport.send(GET_RANDOM))).code).toBe(code);
    expect((await failureOf(transport.send(GET_RANDOM))).code).toBe('transport-lost');
    // The fake answers to every connection in the same way.
    await using fresh = await openMssim({ port: simulator.port });
    expect((await failureOf(fresh.send(GET_RANDOM))).code).toBe(code);
  });

  it('makes no difference if an answer arrives byte by byte', async () => {
    await using simulator = await fakeSimulator(async (socket) => {
      for (const byte of fromHex(`00000014${RANDOM}00000000`)) {
        socket.write(Buffer.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    await using transport = await openMssim({ port: simulator.port });
    expect(toHex(await transport.send(GET_RANDOM))).toBe(RANDOM);
  });
});
