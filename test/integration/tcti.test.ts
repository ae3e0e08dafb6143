import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { findTctiLoader } from '../../native/tctildr.ts';
import { fromHex, toHex } from '../../src/bytes.ts';
import { sayError } from '../../src/errors.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { locateTctiLoader, openTcti } from '../../src/tpm/transports/tcti.ts';
import { missingOutsideCi, missingPrograms } from '../programs.ts';
import { failureOf } from './support/failure.ts';
import { startFakePair } from './support/fake-server.ts';
import { startMssimStandIn } from './support/mssim-stand-in.ts';
import { codeOf, createRsa, FLUSH, GET_RANDOM, STARTUP_CLEAR } from './support/raw-commands.ts';
import { tctiOf } from './support/swtpm-address.ts';

const hasLoader = findTctiLoader(undefined).path !== undefined;
const missing = missingPrograms('swtpm') ?? missingOutsideCi(hasLoader ? undefined : 'libtss2-tctildr not installed');

/** A stand-in for a swtpm: `serve` handles its data port, and its control port accepts everything. */
async function fakeSwtpm(serve: (socket: Socket) => unknown): Promise<AsyncDisposable & { conf: string }> {
  const pair = await startFakePair(serve, (socket) => socket.on('data', () => socket.write(fromHex('00000000'))));
  return { conf: `swtpm:host=127.0.0.1,port=${pair.port}`, [Symbol.asyncDispose]: () => pair[Symbol.asyncDispose]() };
}

/** Answers the check at opening, then handles every later command with `later`. */
function afterOpening(later: (socket: Socket) => void): (socket: Socket) => void {
  let isOpen = false;
  return (socket) =>
    socket.on('data', () => {
      if (isOpen) later(socket);
      else socket.write(fromHex('80010000000a00000100'));
      isOpen = true;
    });
}

describe.skipIf(missing)('the TCTI loader of tpm2-tss', () => {
  it('moves commands and answers over a unix socket', async () => {
    await using swtpm = await startSwtpm();
    await using tpm = await openTcti({ conf: tctiOf(swtpm) });
    expect(tpm).toMatchObject({
      kind: 'tcti',
      address: `tcti:${tctiOf(swtpm)}`,
      emulator: true,
      managed: false,
    });
    const answers = new Set<string>();
    for (let n = 0; n < 100; n++) {
      const answer = toHex(await tpm.send(GET_RANDOM));
      expect(answer).toMatch(/^800100000014000000000008[0-9a-f]{16}$/);
      answers.add(answer);
    }
    expect(answers.size).toBe(100);
    expect(toHex(await tpm.send(fromHex('80010000000a00000fff')))).toBe('80010000000a00000143');
  });

  it('leaves the event loop free while a command runs', async () => {
    await using swtpm = await startSwtpm();
    await using tpm = await openTcti({ conf: tctiOf(swtpm) });
    const events: string[] = [];
    const made = tpm.send(createRsa(1)).then((answer) => {
      events.push('answer');
      return answer;
    });
    await new Promise((resolve) => setTimeout(resolve, 0));
    events.push('timer');
    expect(toHex(await made)).toMatch(/^80020000[0-9a-f]{4}0000000080/);
    expect(events).toEqual(['timer', 'answer']);
  });

  it('gives the answer to a command after an abort, and then the next one its own', async () => {
    await using swtpm = await startSwtpm();
    await using tpm = await openTcti({ conf: tctiOf(swtpm) });
    const abort = new AbortController();
    const made = tpm.send(createRsa(1), { signal: abort.signal });
    setTimeout(() => abort.abort(), 1);
    expect(toHex(await made)).toMatch(/^80020000[0-9a-f]{4}0000000080/);
    expect((await tpm.send(GET_RANDOM, { signal: abort.signal })).length).toBe(20);
    expect((await tpm.send(GET_RANDOM)).length).toBe(20);
  });

  it("never uses a TCTI's function to cancel, which would run beside its function to receive", async () => {
    await using simulator = await startMssimStandIn();
    await using tpm = await openTcti({ conf: `mssim:host=127.0.0.1,port=${simulator.port}` });
    expect(codeOf(await tpm.send(STARTUP_CLEAR))).toBe(0);
    const before = simulator.platformMessages.length;
    for (const delay of [undefined, 0, 1, 10]) {
      const abort = new AbortController();
      const made = tpm.send(createRsa(1), { signal: abort.signal });
      if (delay === undefined) abort.abort();
      else setTimeout(() => abort.abort(), delay);
      expect(codeOf(await made)).toBe(0);
      expect((await tpm.send(GET_RANDOM)).length).toBe(20);
      expect(codeOf(await tpm.send(FLUSH))).toBe(0);
    }
    expect(simulator.platformMessages.slice(before)).toEqual([]);
  });

  it('is dead if the TPM disappears while a command runs, and a connection to a new one works', async () => {
    await using swtpm = await startSwtpm();
    await using tpm = await openTcti({ conf: tctiOf(swtpm) });
    const lost = failureOf(tpm.send(createRsa(1)));
    process.kill(swtpm.pid, 'SIGKILL');
    expect(await lost).toMatchObject({ code: 'transport-lost' });
    expect((await lost).message).toMatch(
      /(transmit|receive) failed: TSS2_TCTI_RC_IO_ERROR \(0x000a000a, from the TCTI\)/,
    );
    const after = await failureOf(tpm.send(GET_RANDOM));
    expect(after.code).toBe('transport-lost');
    expect(after.cause).toBe(await lost);

    await using second = await startSwtpm();
    await using again = await openTcti({ conf: tctiOf(second) });
    expect((await again.send(GET_RANDOM)).length).toBe(20);
  });

  it('is dead when the TPM went away between two commands', async () => {
    await using swtpm = await startSwtpm();
    await using tpm = await openTcti({ conf: tctiOf(swtpm) });
    await swtpm.stop();
    expect(await failureOf(tpm.send(GET_RANDOM))).toMatchObject({ code: 'transport-lost' });
  });

  it('refuses a second command at the same time, a wrong frame, and every command after close', async () => {
    await using swtpm = await startSwtpm();
    const tpm = await openTcti({ conf: tctiOf(swtpm) });
    const first = tpm.send(createRsa(1));
    await expect(tpm.send(GET_RANDOM)).rejects.toThrow(TypeError);
    await expect(tpm.send(GET_RANDOM.subarray(1))).rejects.toThrow(RangeError);
    const closed = tpm.close();
    expect((await first).length).toBeGreaterThan(100);
    await closed;
    await tpm.close();
    expect(await failureOf(tpm.send(GET_RANDOM))).toMatchObject({ code: 'transport-closed' });
  });

  it('keeps tpm2-tss quiet unless the user wants to hear it', async () => {
    const before = process.env.TSS2_LOG;
    try {
      delete process.env.TSS2_LOG;
      await failureOf(openTcti({ conf: 'device:/nonexistent' }));
      expect(process.env.TSS2_LOG).toBe('all+none');
      process.env.TSS2_LOG = 'tcti+none';
      await failureOf(openTcti({ conf: 'device:/nonexistent' }));
      expect(process.env.TSS2_LOG).toBe('tcti+none');
    } finally {
      if (before === undefined) delete process.env.TSS2_LOG;
      else process.env.TSS2_LOG = before;
    }
  });

  it.each([
    ['', 'address-invalid', 'tcti:device:/dev/tpmrm0'],
    ['nonsense', 'library-missing', 'TSS2_TCTI_RC_NOT_SUPPORTED (0x000a0015'],
    ['device:/nonexistent', 'transport-unreachable', 'TSS2_TCTI_RC_IO_ERROR (0x000a000a'],
    ['swtpm:path=/nonexistent', 'transport-unreachable', 'TSS2_TCTI_RC_IO_ERROR (0x000a000a'],
    ['mssim:host=127.0.0.1,port=1', 'transport-unreachable', 'TSS2_TCTI_RC_IO_ERROR (0x000a000a'],
    ['swtpm:port=nonsense', 'address-invalid', 'TSS2_TCTI_RC_BAD_VALUE (0x000a000b'],
  ])('reports within a second the problem with the address %j', async (conf, code, text) => {
    const error = await failureOf(openTcti({ conf }));
    expect(error.code).toBe(code);
    expect(sayError(error)).toContain(text);
    expect(error.remedy).toBeTypeOf('string');
  });

  it('names the path of a library that is not there', async () => {
    const error = await failureOf(openTcti({ conf: 'device', library: '/nonexistent/libtss2-tctildr.so.0' }));
    expect(error.code).toBe('library-missing');
    expect(error.message).toContain('tried /nonexistent/libtss2-tctildr.so.0');
    expect(error.remedy).toContain('libtss2-tctildr0');
  });

  it('uses the path in KEYPROV_TCTILDR, unless that is empty', async () => {
    const path = '/nonexistent/from-environment.so';
    vi.stubEnv('KEYPROV_TCTILDR', path);
    try {
      const message = `no TCTI loader found (tried ${path})`;
      expect((await failureOf(openTcti({ conf: 'device' }))).message).toBe(`tcti:device: ${message}`);
      expect((await failureOf(locateTctiLoader())).message).toBe(`tcti: ${message}`);
      vi.stubEnv('KEYPROV_TCTILDR', '');
      expect(findTctiLoader(undefined).path).toMatch(/^\/.+tctildr/);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('refuses a file that is not a library, and a library that is not a loader', async () => {
    expect((await failureOf(openTcti({ conf: 'device', library: import.meta.filename }))).code).toBe(
      'library-unsuitable',
    );
    const other = findTctiLoader(undefined).path?.replace('tctildr', 'mu');
    const error = await failureOf(openTcti({ conf: 'device', library: String(other) }));
    expect(error.code).toBe('library-unsuitable');
    expect(error.message).toMatch(/ is not a TCTI loader: .*Tss2_TctiLdr_Initialize/);
  });

  it('gives up opening if nobody answers', async () => {
    await using fake = await fakeSwtpm(() => undefined);
    expect((await failureOf(openTcti({ conf: fake.conf, openTimeoutMs: 50 }))).code).toBe('transport-timeout');
    const reason = new Error('enough');
    const abort = new AbortController();
    const opening = openTpm(`tcti:${fake.conf}`, { signal: abort.signal });
    setTimeout(() => abort.abort(reason), 50);
    await expect(opening).rejects.toBe(reason);
  });

  it('waits for its turn at an emulator', async () => {
    await using swtpm = await startSwtpm();
    const first = await swtpm.open();
    const second = openTcti({ conf: tctiOf(swtpm) });
    expect(await Promise.race([second.then(() => 'open'), delay(1000, 'waits')])).toBe('waits');
    await first.close();
    await using next = await second;
    expect((await next.send(GET_RANDOM)).length).toBe(20);
  });

  it('leaves threads free for files while any number of openings wait, and says for which', async () => {
    await using swtpm = await startSwtpm();
    const first = await swtpm.open();
    await using silent = await fakeSwtpm(() => undefined);
    await using other = await fakeSwtpm(() => undefined);
    const confs = [...Array(5).fill(tctiOf(swtpm)), ...Array(5).fill(silent.conf), ...Array(5).fill(other.conf)];
    const openings = confs.map((conf) => failureOf(openTcti({ conf, openTimeoutMs: 2000 })));
    const reading = readFile(import.meta.filename).then(() => 'read');
    expect(await Promise.race([reading, Promise.all(openings)])).toBe('read');
    const said = (await Promise.all(openings)).map(({ code, message }) => `${code}: ${message}`);
    const [held, quiet] = [`tcti:${tctiOf(swtpm)}`, `tcti:${silent.conf}`];
    expect(said[0]).toBe(`transport-timeout: ${held}: no response within 2000 ms`);
    const busy = `not tried within 2000 ms, because earlier openings wait for their TPMs: ${held}, ${quiet}`;
    expect(said[1]).toBe(`transport-timeout: ${held}: ${busy}`);
    expect(said[14]).toBe(`transport-timeout: tcti:${other.conf}: ${busy}`);
    await first.close();
    await using next = await openTcti({ conf: tctiOf(swtpm) });
    expect((await next.send(GET_RANDOM)).length).toBe(20);
  });

  it.each([
    ['garbage', 'ffffffffffffffffffffffffffffffff', 'transport-protocol'],
    ['an announced length beyond every limit', '80010001000000000000', 'transport-protocol'],
    ['half an answer and the end', '8001000000140000', 'transport-lost'],
    ['nothing and the end', '', 'transport-lost'],
  ])('refuses %s as an answer', async (_, hex, code) => {
    await using fake = await fakeSwtpm(afterOpening((socket) => socket.end(fromHex(hex))));
    await using tpm = await openTcti({ conf: fake.conf });
    const error = await failureOf(tpm.send(GET_RANDOM));
    expect(error.code).toBe(code);
    expect(error.message).toContain('receive failed: TSS2_TCTI_RC_');
    expect((await failureOf(tpm.send(GET_RANDOM))).code).toBe('transport-lost');
  });

  it('never mistakes the rest of one answer for the next one', async () => {
    const tooMuch = '800100000014000000000008010203040506070880010000000a00000000';
    await using fake = await fakeSwtpm(afterOpening((socket) => socket.write(fromHex(tooMuch))));
    await using tpm = await openTcti({ conf: fake.conf });
    for (let n = 0; n < 3; n++) expect(toHex(await tpm.send(GET_RANDOM))).toBe(tooMuch.slice(0, 40));
  });
});
