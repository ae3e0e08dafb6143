import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findTctiLoader, loadTctiLoader, type TctiContext } from '../../native/tctildr.ts';
import { toHex } from '../../src/bytes.ts';
import { startSwtpm } from '../../src/tpm/transports/swtpm-process.ts';
import { openTcti, type TctiTransport } from '../../src/tpm/transports/tcti.ts';
import { missingOutsideCi, missingPrograms } from '../programs.ts';
import { failureOf } from './support/failure.ts';
import { GET_RANDOM, SHUTDOWN_CLEAR, STARTUP_CLEAR } from './support/raw-commands.ts';
import { tctiOf } from './support/swtpm-address.ts';
import { buildTctiStandIn } from './support/tcti-stand-in.ts';

const BAD_SEQUENCE = 0x000a0007;
const hasLoader = findTctiLoader(undefined).path !== undefined;
const noSwtpm = missingPrograms('swtpm') ?? missingOutsideCi(hasLoader ? undefined : 'libtss2-tctildr not installed');

/** The stand-in's response to a command. */
const responseTo = (command: Uint8Array): string => toHex(command).replace(/^(.{12}).{8}/, '$100000000');

async function contextOf(library: string | undefined, conf: string): Promise<TctiContext> {
  const { context } = await loadTctiLoader(findTctiLoader(library).path ?? '').initialize(conf);
  return context ?? expect.fail('no context');
}

it.skipIf(noSwtpm)('a TCTI of tpm2-tss refuses calls in the wrong order', async () => {
  await using swtpm = await startSwtpm();
  const context = await contextOf(undefined, tctiOf(swtpm));
  expect((await context.receive()).code).toBe(BAD_SEQUENCE);
  expect(await context.transmit(GET_RANDOM)).toBe(0);
  expect(await context.transmit(GET_RANDOM)).toBe(BAD_SEQUENCE);
  expect((await context.receive()).answer.length).toBe(20);
  expect((await context.receive()).code).toBe(BAD_SEQUENCE);
  await context.finalize();
});

describe.skipIf(missingPrograms('cc'))('a TCTI that refuses calls in the wrong order or at the same time', () => {
  let standIn: ReturnType<typeof buildTctiStandIn>;
  const open = (): Promise<TctiTransport> => openTcti({ conf: 'stand-in', library: standIn.library });
  const passAt = async (...calls: Parameters<typeof standIn.reach>[0][]): Promise<void> => {
    for (const call of calls) {
      await standIn.reach(call);
      standIn.pass();
    }
  };

  beforeAll(() => {
    standIn = buildTctiStandIn();
  });
  afterAll(() => standIn.remove());

  it('is as strict as those of tpm2-tss', async () => {
    const context = await contextOf(standIn.library, '');
    expect((await context.receive()).code).toBe(BAD_SEQUENCE);
    const first = context.transmit(GET_RANDOM);
    await passAt('transmit');
    expect(await first).toBe(0);
    expect(await context.transmit(GET_RANDOM)).toBe(BAD_SEQUENCE);
    await context.finalize();
    expect(standIn.trace()).toBe('receive! transmit transmit! finalize');
  });

  it.each([
    ['before the command', undefined],
    ['while the command is transmitted', 'transmit'],
    ['while the response is awaited', 'receive'],
  ] as const)('gets no other call after an abort %s, and each command gets its own response', async (_, when) => {
    const tpm = await open();
    const abort = new AbortController();
    if (when === undefined) abort.abort();
    const first = tpm.send(STARTUP_CLEAR, { signal: abort.signal });
    for (const call of ['transmit', 'receive'] as const) {
      await standIn.reach(call);
      if (call === when) {
        abort.abort();
        // Whatever the abort called in the library is called now.
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      standIn.pass();
    }
    expect(toHex(await first)).toBe(responseTo(STARTUP_CLEAR));
    const second = tpm.send(GET_RANDOM, { signal: abort.signal });
    await passAt('transmit', 'receive');
    expect(toHex(await second)).toBe(responseTo(GET_RANDOM));
    await tpm.close();
    expect(standIn.trace()).toBe('transmit receive transmit receive finalize');
  });

  it.each(['transmit', 'receive'] as const)('is finalized only after a %s that was given up', async (when) => {
    const tpm = await open();
    const limit = new AbortController();
    const given = failureOf(tpm.send(STARTUP_CLEAR, { limit: limit.signal }));
    if (when === 'receive') await passAt('transmit');
    await standIn.reach(when);
    limit.abort(new Error('enough'));
    await given;
    expect((await failureOf(tpm.send(GET_RANDOM))).code).toBe('transport-lost');
    await tpm.close();
    expect(standIn.trace()).toBe(when === 'receive' ? 'transmit receive' : 'transmit');
    standIn.pass();
    if (when === 'transmit') await passAt('receive');
    while (!standIn.trace().endsWith('finalize')) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(standIn.trace()).toBe('transmit receive finalize');
  });

  it('is finalized only after the running command', async () => {
    const tpm = await open();
    const running = tpm.send(SHUTDOWN_CLEAR);
    const closed = tpm.close();
    await passAt('transmit', 'receive');
    expect(toHex(await running)).toBe(responseTo(SHUTDOWN_CLEAR));
    await closed;
    expect(standIn.trace()).toBe('transmit receive finalize');
  });

  it('gets no second call from the binding, and none after finalize', async () => {
    const context = await contextOf(standIn.library, '');
    const running = context.transmit(GET_RANDOM);
    await standIn.reach('transmit');
    await expect(context.transmit(GET_RANDOM)).rejects.toThrow(new TypeError('the TCTI context is busy'));
    await expect(context.receive()).rejects.toThrow(TypeError);
    await expect(context.finalize()).rejects.toThrow(TypeError);
    standIn.pass();
    expect(await running).toBe(0);
    await context.finalize();
    await expect(context.transmit(GET_RANDOM)).rejects.toThrow(new TypeError('the TCTI context is final'));
    await expect(context.finalize()).rejects.toThrow(TypeError);
    expect(standIn.trace()).toBe('transmit finalize');
  });
});
