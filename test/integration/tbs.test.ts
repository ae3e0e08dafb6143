import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fromHex, toHex, uint32At } from '../../src/bytes.ts';
import { KeyprovError } from '../../src/errors.ts';
import { decodeResponseCode } from '../../src/tpm/response-code.ts';
import { TBS_CODES } from '../../src/tpm/response-code-layers.ts';
import { type SwtpmProcess, startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { openTbs, type TbsTransport } from '../../src/tpm/transports/tbs.ts';
import { missingPrograms } from '../programs.ts';
import { failureOf } from './support/failure.ts';
import { createRsa, GET_RANDOM } from './support/raw-commands.ts';
import { socketOf } from './support/swtpm-address.ts';
import { buildTbsStandIn } from './support/tbs-stand-in.ts';

const missing = missingPrograms('swtpm', 'cc');
const UNKNOWN_COMMAND = fromHex('80010000000a00000fff');

describe.skipIf(missing)('Windows TBS, with a stand-in for tbs.dll in front of swtpm', () => {
  let standIn: ReturnType<typeof buildTbsStandIn>;
  let swtpm: SwtpmProcess;

  /** Settings of the stand-in, which reads them at each call; see test/native/tbs-stand-in.c. */
  const set = (name: string, value: number | string) => {
    process.env[`TBS_${name}`] = String(value);
  };
  const open = (): Promise<TbsTransport> => openTbs({ library: standIn.library });

  beforeAll(async () => {
    standIn = buildTbsStandIn();
    swtpm = await startSwtpm();
  });

  afterEach(() => {
    for (const name of Object.keys(process.env)) if (name.startsWith('TBS_')) delete process.env[name];
    process.env.TBS_SOCKET = socketOf(swtpm);
  });

  beforeAll(() => set('SOCKET', socketOf(swtpm)));

  afterAll(async () => {
    delete process.env.TBS_SOCKET;
    await swtpm[Symbol.asyncDispose]();
    standIn.remove();
  });

  it('moves commands and answers', async () => {
    await using tpm = await open();
    expect(tpm).toMatchObject({ kind: 'tbs', address: 'tbs', managed: true });
    const answers = new Set<string>();
    for (let n = 0; n < 100; n++) {
      const answer = toHex(await tpm.send(GET_RANDOM));
      expect(answer).toMatch(/^800100000014000000000008[0-9a-f]{16}$/);
      answers.add(answer);
    }
    expect(answers.size).toBe(100);
    expect(toHex(await tpm.send(createRsa(1)))).toMatch(/^80020000[0-9a-f]{4}0000000080/);
  });

  it.each([
    [0, 'unknown', false],
    [1, 'tpm-1.2', false],
    [2, 'trustzone', false],
    [3, 'hardware', false],
    [4, 'emulator', true],
    [5, 'spb', false],
    [6, 'unknown', false],
  ] as const)('reads interface type %i as %s', async (value, interfaceType, emulator) => {
    set('INTERFACE', value);
    await using tpm = await open();
    expect([tpm.interfaceType, tpm.emulator]).toEqual([interfaceType, emulator]);
  });

  it('treats a TPM 1.2 as no TPM', async () => {
    set('VERSION', 1);
    expect((await failureOf(open())).code).toBe('no-tpm');
  });

  it.each([...TBS_CODES.keys(), 0x80070005, 0x80000000, 1])('explains HRESULT %i when opening', async (value) => {
    const codes = new Map([
      [0x80284009, 'transport-busy'],
      [0x8028400b, 'transport-busy'],
      [0x8028400f, 'no-tpm'],
      [0x80284010, 'no-tpm'],
      [0x80284012, 'transport-permission'],
    ]);
    for (const step of ['CREATE', 'INFO']) {
      set(step, value);
      const error = await failureOf(open());
      expect(error.code).toBe(codes.get(value) ?? 'transport-unreachable');
      const rc = decodeResponseCode(value);
      if (TBS_CODES.has(value)) expect(error.message).toContain(`${rc.name} (0x${value.toString(16)}`);
      expect(error.message).toContain(rc.meaning);
      expect(error.remedy).toBe(rc.advice);
      set(step, 0);
    }
  });

  it.each([
    [0x80284008, 'start the Windows service "TBS"'],
    [0x8028400f, 'enable the TPM in the firmware setup'],
    [0x80284010, 'enable the TPM and start the Windows service "TBS"'],
    [0x80284012, 'run as administrator'],
  ])('has a remedy for %i', async (value, remedy) => {
    set('CREATE', value);
    expect((await failureOf(open())).remedy).toContain(remedy);
  });

  it.each([
    [0x80280400, 'tpm-command-blocked'],
    [0x80280401, 'tpm-command-blocked'],
    [0x80280402, 'tpm-command-blocked'],
    [0x80280403, 'tpm-command-blocked'],
    [0x80280404, 'tpm-command-blocked'],
    [0x80284012, 'tpm-command-blocked'],
    [0x8028400a, 'tpm-out-of-memory'],
  ])('continues after %i, with which TBS refuses one command', async (value, code) => {
    await using tpm = await open();
    set('SUBMIT', value);
    expect((await failureOf(tpm.send(GET_RANDOM))).code).toBe(code);
    set('SUBMIT', 0);
    expect((await tpm.send(GET_RANDOM)).length).toBe(20);
  });

  it('is dead after every other HRESULT', async () => {
    const alive = [0x80280400, 0x80280401, 0x80280402, 0x80280403, 0x80280404, 0x80284012, 0x8028400a, 0x8028400d];
    const fatal = [...TBS_CODES.keys()].filter((value) => !alive.includes(value));
    expect(fatal.length).toBe(19);
    for (const value of fatal) {
      await using tpm = await open();
      set('SUBMIT', value);
      const error = await failureOf(tpm.send(GET_RANDOM));
      expect(error.code).toBe('transport-lost');
      expect(error.message).toContain(decodeResponseCode(value).name);
      set('SUBMIT', 0);
      expect((await failureOf(tpm.send(GET_RANDOM))).cause).toBe(error);
    }
  });

  it('reads no HRESULT as a success, not even after a success', async () => {
    const values = [1, 0x7fffffff, 0x80000000, 0x80070005, 0xffffffff];
    for (let low = 0; low <= 0xfff; low++) values.push(0x80280000 + low);
    for (let low = 0; low <= 0x1f; low++) values.push(0x80284000 + low, 0x80290400 + low);
    let tpm = await open();
    let answers = 0;
    for (const value of values) {
      set('SUBMIT', 0);
      const before = await tpm.send(GET_RANDOM).catch(() => undefined);
      if (before === undefined) {
        await tpm.close();
        tpm = await open();
        await tpm.send(GET_RANDOM);
      }
      set('SUBMIT', value);
      const answer = await tpm.send(GET_RANDOM).catch((error: unknown) => {
        expect(error).toBeInstanceOf(KeyprovError);
        return undefined;
      });
      if (answer === undefined) continue;
      answers++;
      const code = value === 0x8028400d ? 0x909 : value % 0x1000;
      if (toHex(answer) !== `80010000000a00000${code.toString(16).padStart(3, '0')}`) {
        expect.fail(`0x${value.toString(16)} became ${toHex(answer)}`);
      }
    }
    await tpm.close();
    // Every number below 0x1000 with bit 7 or bit 8, and the one for a canceled command.
    expect(answers).toBe(0x1000 * (3 / 4) + 1);
  });

  it.each([
    [0, 'in the answer alone'],
    [1, 'as HRESULT without an answer'],
    [2, 'as HRESULT with the answer'],
    [3, 'as HRESULT with an answer that claims success'],
  ])("returns the TPM's code if TBS reports it in way %i: %s", async (way) => {
    await using tpm = await open();
    expect(uint32At(await tpm.send(GET_RANDOM), 6)).toBe(0);
    set('BARE', way);
    expect(toHex(await tpm.send(UNKNOWN_COMMAND))).toBe('80010000000a00000143');
    expect((await tpm.send(GET_RANDOM)).length).toBe(20);
  });

  it('cancels the running command, and only that', async () => {
    await using tpm = await open();
    const waiting = join(dirname(standIn.library), 'waiting');
    set('WAITING', waiting);
    set('SLOW_MS', 60_000);
    const abort = new AbortController();
    const answer = tpm.send(GET_RANDOM, { signal: abort.signal });
    // Canceling a command that has not reached the library yet would be no canceling, as on Windows.
    while (!existsSync(waiting)) await new Promise((resolve) => setTimeout(resolve, 1));
    abort.abort();
    expect(toHex(await answer)).toBe('80010000000a00000909');
    set('SLOW_MS', 0);
    expect((await tpm.send(GET_RANDOM)).length).toBe(20);
  });

  it('names itself in the error after close', async () => {
    const tpm = await open();
    await tpm.close();
    expect((await failureOf(tpm.send(GET_RANDOM))).message).toBe('tbs: the connection was closed');
  });

  it('leaves the event loop free while a command runs', async () => {
    await using tpm = await open();
    set('SLOW_MS', 50);
    const events: string[] = [];
    const answer = tpm.send(GET_RANDOM).then(() => events.push('answer'));
    await new Promise((resolve) => setTimeout(resolve, 0));
    events.push('timer');
    await answer;
    expect(events).toEqual(['timer', 'answer']);
  });

  it('is dead if the TPM disappears while a command runs', async () => {
    await using own = await startSwtpm();
    set('SOCKET', socketOf(own));
    await using tpm = await open();
    const lost = failureOf(tpm.send(createRsa(1)));
    process.kill(own.pid, 'SIGKILL');
    expect((await lost).code).toBe('transport-lost');
    expect((await lost).message).toContain('TBS_E_IOERROR (0x80284006');
    expect((await failureOf(tpm.send(GET_RANDOM))).code).toBe('transport-lost');
  });

  it('says that the library is missing, or none', async () => {
    expect((await failureOf(openTbs({ library: '/nonexistent/tbs.dll' }))).code).toBe('library-missing');
    const unsuitable = await failureOf(openTbs({ library: import.meta.filename }));
    expect(unsuitable.code).toBe('library-unsuitable');
    expect(unsuitable.message).toMatch(
      /^tbs: TPM Base Services cannot be loaded from .*tbs\.test\.ts: .*invalid ELF header/,
    );
  });

  it.skipIf(process.platform === 'win32')('says that only Windows has TBS', async () => {
    const error = await failureOf(openTbs());
    expect(error.code).toBe('library-missing');
    expect(error.message).toContain('only Windows');
  });
});
