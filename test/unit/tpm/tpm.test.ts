import timers from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Bytes, concat, toHex, uint32At } from '../../../src/bytes.ts';
import { TpmError } from '../../../src/errors/tpm-error.ts';
import { isKeyprovError, KeyprovError } from '../../../src/errors.ts';
import { Certify } from '../../../src/tpm/commands/attestation.ts';
import { ContextLoad } from '../../../src/tpm/commands/context.ts';
import { HierarchyChangeAuth } from '../../../src/tpm/commands/hierarchy.ts';
import { LoadExternal, ReadPublic } from '../../../src/tpm/commands/object.ts';
import { GetRandom, StirRandom } from '../../../src/tpm/commands/random.ts';
import { Sign } from '../../../src/tpm/commands/signing.ts';
import { SelfTest } from '../../../src/tpm/commands/testing.ts';
import { TPM_ALG, TPM_CC, TPM_RH } from '../../../src/tpm/constants.ts';
import { NULL_HASHCHECK } from '../../../src/tpm/structures/base.ts';
import { akTemplate } from '../../../src/tpm/templates.ts';
import { Tpm } from '../../../src/tpm/tpm.ts';
import type { TpmObject } from '../../../src/tpm/tpm-object.ts';
import { TPM_RC } from '../../../src/tpm/tpm-rc.ts';
import { patchBuiltin } from '../../patch-builtin.ts';
import { answer, FakeTpm, type Reply } from './fake-tpm.ts';

// Pauses between resends take no time here, but are counted.
const pauses: number[] = [];
patchBuiltin(timers, {
  setTimeout: async (ms?: number): Promise<never> => {
    pauses.push(ms ?? 0);
    return undefined as never;
  },
});
beforeEach(() => {
  pauses.length = 0;
});

const random = (...bytes: number[]): Bytes => answer(0, new Uint8Array([0, bytes.length, ...bytes]));
let loads = 0;
/** Loads another object each time. */
const load = async (tpm: Tpm): Promise<TpmObject> => {
  loads += 1;
  const inPublic = { ...akTemplate('p-256'), authPolicy: new Uint8Array([loads]) };
  const args = { inPrivate: null, inPublic, hierarchy: TPM_RH.NULL };
  return (await tpm.run(LoadExternal, args)).objectHandle;
};
/** The error that `work` ends with. */
async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.fail('it succeeded'),
    (error: unknown) => error,
  );
}
/** A script that answers the commands of that code from a list, one after the other. */
function inTurn(code: number, ...replies: Reply[]): (code: number) => Reply {
  return (sent) => (sent === code ? replies.shift() : undefined);
}
const gate = () => {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
};

describe('opening', () => {
  const STARTUP = '80010000000c000001440000';

  it('starts a TPM in this process', async () => {
    const fake = new FakeTpm(undefined, { kind: 'libtpms' });
    await Tpm.open(fake);
    expect(fake.sent.map(toHex)).toEqual([STARTUP]);
  });

  it('starts another one if that says that it is off, once', async () => {
    const { GetRandom: Random, SelfTest: Test } = TPM_CC;
    const fake = new FakeTpm(inTurn(Random, TPM_RC.INITIALIZE, random(7), TPM_RC.INITIALIZE), { kind: 'swtpm' });
    const tpm = await Tpm.open(fake);
    expect(fake.sent).toEqual([]);
    expect(await tpm.run(GetRandom, { bytesRequested: 1 })).toEqual({ randomBytes: new Uint8Array([7]) });
    expect(fake.sent.map(toHex)).toEqual(['80010000000c0000017b0001', STARTUP, '80010000000c0000017b0001']);
    await tpm.run(SelfTest, { fullTest: 0 });
    // Switched off in between: its contents are lost, and the error shows it.
    const lost = await errorOf(tpm.run(GetRandom, { bytesRequested: 1 }));
    expect(lost).toMatchObject({ responseCode: { name: 'TPM_RC_INITIALIZE' } });
    expect(fake.codes.slice(3)).toEqual([Test, Random]);
  });

  it('leaves the start to the operating system if that is responsible', async () => {
    const fake = new FakeTpm();
    await Tpm.open(fake);
    expect(fake.sent).toEqual([]);
  });

  it('accepts a TPM that is already started', async () => {
    const fake = new FakeTpm(inTurn(TPM_CC.Startup, TPM_RC.INITIALIZE), { kind: 'libtpms' });
    const tpm = await Tpm.open(fake);
    expect(fake.closed).toBe(false);
    expect(tpm.transport).toBe(fake);
  });

  it('closes the transport when the TPM does not start', async () => {
    const fake = new FakeTpm(inTurn(TPM_CC.Startup, TPM_RC.FAILURE), { kind: 'libtpms' });
    expect(isKeyprovError(await errorOf(Tpm.open(fake)), 'tpm-failure-mode')).toBe(true);
    expect(fake.closed).toBe(true);
  });
});

describe('closing', () => {
  it('flushes what is left, shuts the TPM down and closes the transport, once', async () => {
    const fake = new FakeTpm(undefined, { kind: 'libtpms' });
    const tpm = await Tpm.open(fake);
    await load(tpm);
    await load(tpm);
    await Promise.all([tpm.close(), tpm.close()]);
    const { Startup, LoadExternal: Load, FlushContext, Shutdown } = TPM_CC;
    expect(fake.codes).toEqual([Startup, Load, Load, FlushContext, FlushContext, Shutdown]);
    expect(fake.slots).toEqual([undefined, undefined, undefined]);
    expect(fake.closed).toBe(true);
  });

  it.each([
    ['swtpm', false, [TPM_CC.Sign, TPM_CC.Shutdown]],
    ['device', false, [TPM_CC.Sign]], // the kernel does it
    ['device', true, [TPM_CC.Sign]],
  ] as const)('shuts a TPM down after the use of a PIN: %s, managed: %s', async (kind, managed, codes) => {
    const fake = new FakeTpm((code) => (code === TPM_CC.Sign ? TPM_RC.FAILURE : undefined), { kind, managed });
    const tpm = await Tpm.open(fake);
    const keyHandle = { handle: 0x81000002, name: new Uint8Array([0, 11, 1]), auth: new Uint8Array([5]) };
    const inScheme = { scheme: TPM_ALG.NULL } as const;
    await errorOf(tpm.run(Sign, { keyHandle, digest: new Uint8Array(32), inScheme, validation: NULL_HASHCHECK }));
    await tpm.close();
    expect(fake.codes).toEqual(codes);
  });

  it('leaves the shutdown to the operating system if that is responsible', async () => {
    const fake = new FakeTpm();
    await (await Tpm.open(fake)).close();
    expect(fake.codes).toEqual([]);
  });

  it('refuses later commands', async () => {
    const fake = new FakeTpm();
    const tpm = await Tpm.open(fake);
    const object = await load(tpm);
    await tpm.close();
    const sent = fake.sent.length;
    expect(isKeyprovError(await errorOf(tpm.run(SelfTest, { fullTest: 0 })), 'transport-closed')).toBe(true);
    await object.flush();
    expect(fake.sent.length).toBe(sent);
  });
});

describe('a warning of the TPM', () => {
  it('makes the same command be sent again, byte for byte: RETRY, YIELDED, TESTING', async () => {
    const { RETRY, YIELDED, TESTING } = TPM_RC;
    const fake = new FakeTpm(inTurn(TPM_CC.GetRandom, RETRY, YIELDED, TESTING, random(7)));
    const tpm = await Tpm.open(fake);
    expect(await tpm.run(GetRandom, { bytesRequested: 1 })).toEqual({ randomBytes: new Uint8Array([7]) });
    expect(fake.sent.map(toHex)).toEqual(Array(4).fill('80010000000c0000017b0001'));
    expect(pauses).toEqual([1, 2, 4]);
  });

  it.each(['RETRY', 'YIELDED', 'TESTING'] as const)('is not obeyed for ever: %s', async (name) => {
    const fake = new FakeTpm(() => TPM_RC[name]);
    const error = await errorOf((await Tpm.open(fake)).run(GetRandom, { bytesRequested: 1 }));
    expect(isKeyprovError(error, 'tpm-retry-exhausted')).toBe(true);
    expect(fake.sent.length).toBe(21);
    expect(Math.max(...pauses)).toBe(500);
  });

  it('is obeyed for an instant only when the work is to end', async () => {
    const fake = new FakeTpm(() => TPM_RC.RETRY);
    const lifetime = AbortSignal.abort();
    const error = await errorOf((await Tpm.open(fake, { lifetime })).run(GetRandom, { bytesRequested: 1 }));
    expect(isKeyprovError(error, 'tpm-retry-exhausted')).toBe(true);
    expect(pauses).toEqual([1, 2, 4, 8]);
  });

  it.each(['NV_RATE', 'LOCKOUT', 'CANCELED', 'REFERENCE_H0'] as const)('is an error when it is %s', async (name) => {
    const fake = new FakeTpm(() => TPM_RC[name]);
    const error = await errorOf((await Tpm.open(fake)).run(GetRandom, { bytesRequested: 1 }));
    expect(error).toMatchObject({ responseCode: { name: `TPM_RC_${name}` } });
    expect(fake.sent.length).toBe(1);
  });
});

describe('an answer', () => {
  it.each([
    ['the resource manager of the kernel', 0x000b0143, 'resource-manager'],
    ['the resource manager of the kernel without a code', 0x000b0000, 'resource-manager'],
    ['the resource manager daemon', 0x000c0001, 'resource-manager'],
    ['a TCTI', 0x000a000a, 'tcti'],
    ['TBS', 0x80284001, 'tbs'],
    ['TBS without a code', 0x80280000, 'windows'],
    ['Windows passing on a code of the TPM', 0x8028098e, 'tpm'],
    ['nobody that we know', 0x00010000, 'unknown'],
  ])('with a code of %s is an error', async (_, code, layer) => {
    const error = await errorOf((await Tpm.open(new FakeTpm(() => code))).run(GetRandom, { bytesRequested: 1 }));
    expect(error).toBeInstanceOf(TpmError);
    expect(error).toMatchObject({ responseCode: { value: code, layer } });
  });

  it('with sessions to a command without is refused', async () => {
    const wrong = random(7);
    wrong[1] = 0x02;
    const error = await errorOf((await Tpm.open(new FakeTpm(() => wrong))).run(GetRandom, { bytesRequested: 1 }));
    expect(isKeyprovError(error, 'tpm-session')).toBe(true);
  });

  it('without sessions to a command with some is refused', async () => {
    const tpm = await Tpm.open(new FakeTpm(() => answer(0)));
    const args = { authHandle: TPM_RH.OWNER, newAuth: new Uint8Array(0) };
    expect(isKeyprovError(await errorOf(tpm.run(HierarchyChangeAuth, args)), 'tpm-session')).toBe(true);
  });

  it.each([
    ['a byte too much', random(7, 8).fill(1, 11, 12)],
    ['a byte too few', random(7).fill(2, 11, 12)],
    ['nothing in it', answer(0)],
  ])('with %s is refused', async (_, bytes) => {
    const error = await errorOf((await Tpm.open(new FakeTpm(() => bytes))).run(GetRandom, { bytesRequested: 1 }));
    expect(isKeyprovError(error, 'codec')).toBe(true);
    expect(String(error)).toContain('TPM2_GetRandom');
  });

  it('belongs to its command: every failure leaves the next command its own answer', async () => {
    const fake = new FakeTpm(inTurn(TPM_CC.GetRandom, TPM_RC.FAILURE, answer(0), random(9)));
    const tpm = await Tpm.open(fake);
    const results = await Promise.allSettled([1, 2, 3].map((n) => tpm.run(GetRandom, { bytesRequested: n })));
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    expect(results[2]).toMatchObject({ value: { randomBytes: new Uint8Array([9]) } });
  });
});

describe('the memory of a command', () => {
  const secret = {
    authHandle: { handle: TPM_RH.OWNER, auth: new Uint8Array([0xaa]) },
    newAuth: new Uint8Array([0xbb]),
  };
  const withAnswer = (reply: () => Reply) => async () => {
    const fake = new FakeTpm(reply);
    await Promise.allSettled([(await Tpm.open(fake)).run(HierarchyChangeAuth, secret)]);
    return fake;
  };
  const success = concat(answer(0), new Uint8Array([0, 0, 0, 0, 0, 0, 1, 0, 0]));
  success.set([0x80, 2, 0, 0, 0, success.length]);

  it.each([
    ['an answer', withAnswer(() => success)],
    ['a refusal', withAnswer(() => TPM_RC.BAD_AUTH)],
    ['an answer that is none', withAnswer(() => answer(0, new Uint8Array(3)))],
    [
      'a failure of the transport',
      withAnswer(() => {
        throw new KeyprovError('transport-lost', 'gone');
      }),
    ],
  ])('contains no secret after %s', async (_, run) => {
    const fake = await run();
    expect(fake.sent.map(toHex)).toEqual([
      '80020000001f0000012940000001000000 0a4000000900000100 01aa0001bb'.replaceAll(' ', ''),
    ]);
    expect(fake.memory.map((bytes) => bytes.every((byte) => byte === 0))).toEqual([true]);
  });

  it('leaves the caller its own bytes', async () => {
    await withAnswer(() => success)();
    expect([...secret.authHandle.auth, ...secret.newAuth]).toEqual([0xaa, 0xbb]);
  });
});

describe('commands that overlap', () => {
  it('are sent one at a time, in the order of the calls', async () => {
    let running = 0;
    const fake = new FakeTpm(async (code, command) => {
      expect(++running).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return code === TPM_CC.GetRandom ? random(command[11] as number) : undefined;
    });
    const tpm = await Tpm.open(fake);
    const numbers = Array.from({ length: 50 }, (_, i) => i);
    const results = await Promise.all(numbers.map((n) => tpm.run(GetRandom, { bytesRequested: n })));
    expect(results.map(({ randomBytes }) => randomBytes[0])).toEqual(numbers);
    expect(fake.sent.map((command) => command[11])).toEqual(numbers);
  });
});

describe('an abort', () => {
  it('before the turn of a command means that it is never sent', async () => {
    const { open, opened } = gate();
    const fake = new FakeTpm(async (code) => {
      if (code === TPM_CC.SelfTest) await opened;
      return code === TPM_CC.GetRandom ? random(1) : undefined;
    });
    const tpm = await Tpm.open(fake);
    const controller = new AbortController();
    const first = tpm.run(SelfTest, { fullTest: 0 });
    const second = tpm.run(StirRandom, { inData: new Uint8Array(0) }, { signal: controller.signal });
    const third = tpm.run(GetRandom, { bytesRequested: 1 });
    controller.abort(new Error('changed my mind'));
    expect(await errorOf(second)).toEqual(new Error('changed my mind'));
    open();
    await Promise.all([first, third]);
    expect(fake.codes).toEqual([TPM_CC.SelfTest, TPM_CC.GetRandom]);
  });

  it('before the call means the same', async () => {
    const fake = new FakeTpm();
    const signal = AbortSignal.abort(new Error('too late'));
    expect(await errorOf((await Tpm.open(fake)).run(SelfTest, { fullTest: 0 }, { signal }))).toEqual(
      new Error('too late'),
    );
    expect(fake.sent).toEqual([]);
  });

  it('after sending throws its reason at once; what the command loads is flushed before the next one', async () => {
    const { open, opened } = gate();
    const { open: tellSent, opened: sent } = gate();
    const fake = new FakeTpm(async (code) => {
      if (code !== TPM_CC.LoadExternal) return code === TPM_CC.GetRandom ? random(5) : undefined;
      tellSent();
      await opened;
      return undefined;
    });
    const tpm = await Tpm.open(fake);
    const controller = new AbortController();
    const args = { inPrivate: null, inPublic: akTemplate('p-256'), hierarchy: TPM_RH.NULL };
    const loading = tpm.run(LoadExternal, args, { signal: controller.signal });
    const next = tpm.run(GetRandom, { bytesRequested: 1 });
    await sent;
    controller.abort(new Error('enough'));
    expect(await errorOf(loading)).toEqual(new Error('enough'));
    expect(fake.codes).toEqual([TPM_CC.LoadExternal]);
    open();
    expect(await next).toEqual({ randomBytes: new Uint8Array([5]) });
    expect(fake.codes).toEqual([TPM_CC.LoadExternal, TPM_CC.FlushContext, TPM_CC.GetRandom]);
    expect(fake.slots).toEqual([undefined, undefined, undefined]);
  });

  it('while the TPM asks for the command again ends the asking', async () => {
    const controller = new AbortController();
    const fake = new FakeTpm((code) => {
      if (code !== TPM_CC.GetRandom) return undefined;
      controller.abort(new Error('enough'));
      return TPM_RC.RETRY;
    });
    const tpm = await Tpm.open(fake);
    const run = tpm.run(GetRandom, { bytesRequested: 1 }, { signal: controller.signal });
    expect(await errorOf(run)).toEqual(new Error('enough'));
    await tpm.run(SelfTest, { fullTest: 0 });
    expect(fake.codes).toEqual([TPM_CC.GetRandom, TPM_CC.SelfTest]);
  });
});

describe('a TPM without room for another object', () => {
  it('gets room by swapping out the least recently used one, which is swapped in when it is needed', async () => {
    const fake = new FakeTpm();
    const tpm = await Tpm.open(fake);
    const [a, b, c] = [await load(tpm), await load(tpm), await load(tpm)];
    await tpm.run(SelfTest, { fullTest: 0 });
    await errorOf(tpm.run(ReadPublic, { objectHandle: a as TpmObject }));
    fake.sent.length = 0;
    const d = await load(tpm);
    expect(fake.codes).toEqual([TPM_CC.LoadExternal, TPM_CC.ContextSave, TPM_CC.FlushContext, TPM_CC.LoadExternal]);
    // a was used after b, so b had to go.
    expect(fake.slots).toEqual([a, d, c].map((object) => object?.name.at(-1)));
    expect([a?.handle, b?.handle]).toEqual([0x80000000, undefined]);
    fake.sent.length = 0;
    await errorOf(tpm.run(ReadPublic, { objectHandle: b as TpmObject }));
    const { ContextLoad: Load, ContextSave, FlushContext, ReadPublic: Read } = TPM_CC;
    expect(fake.codes).toEqual([Load, ContextSave, FlushContext, Load, Read]);
    expect(fake.slots).toEqual([a, d, b].map((object) => object?.name.at(-1)));
    expect(toHex(fake.sent.at(-1) as Bytes)).toBe('80010000000e0000017380000002');
    await tpm.close();
    expect(fake.slots).toEqual([undefined, undefined, undefined]);
  });

  it('is an error that names the owners of the slots if none of them is ours', async () => {
    const fake = new FakeTpm(undefined, { slots: 2 });
    fake.slots.fill(99);
    const error = await errorOf(load(await Tpm.open(fake)));
    expect(isKeyprovError(error, 'tpm-out-of-memory')).toBe(true);
    expect(String(error)).toContain("; the slots hold 0x80000000 (another program's), 0x80000001 (another program's)");
  });

  it('is an error when one command needs more objects than there are slots, and the command is not sent', async () => {
    const fake = new FakeTpm(undefined, { slots: 2 });
    const tpm = await Tpm.open(fake);
    const a = await load(tpm);
    const b = await load(tpm);
    const c = await load(tpm);
    // c has replaced a, and someone else now replaces c.
    await c.flush();
    fake.slots[fake.slots.indexOf(undefined)] = 99;
    fake.sent.length = 0;
    const args = {
      objectHandle: a,
      signHandle: b,
      qualifyingData: new Uint8Array(0),
      inScheme: { scheme: TPM_ALG.NULL },
    };
    const error = await errorOf(tpm.run(Certify, args));
    expect(fake.codes).not.toContain(TPM_CC.Certify);
    expect(isKeyprovError(error, 'tpm-out-of-memory')).toBe(true);
  });

  it('does not swap out objects of the very command that needs another one', async () => {
    const fake = new FakeTpm();
    const tpm = await Tpm.open(fake);
    const objects = [await load(tpm), await load(tpm), await load(tpm), await load(tpm)] as const;
    for (const a of objects) {
      for (const b of objects) {
        if (a === b) continue;
        const args = {
          objectHandle: a,
          signHandle: b,
          qualifyingData: new Uint8Array(0),
          inScheme: { scheme: TPM_ALG.NULL },
        };
        await errorOf(tpm.run(Certify, args));
        const command = fake.sent.at(-1) as Bytes;
        const used = [10, 14].map((at) => fake.slots[uint32At(command, at) - 0x80000000]);
        expect(used).toEqual([a.name.at(-1), b.name.at(-1)]);
      }
    }
  });
});

describe('an object', () => {
  it('that was flushed is refused before anything is sent', async () => {
    const fake = new FakeTpm();
    const tpm = await Tpm.open(fake);
    const object = await load(tpm);
    await object.flush();
    await object.flush();
    const sent = fake.sent.length;
    expect(isKeyprovError(await errorOf(tpm.run(ReadPublic, { objectHandle: object })), 'key-invalid')).toBe(true);
    expect(fake.sent.length).toBe(sent);
  });

  it('that the TPM has already lost is not an error when it is flushed', async () => {
    const fake = new FakeTpm();
    const object = await load(await Tpm.open(fake));
    fake.slots.fill(undefined);
    await object.flush();
    // The second query is for an object that is not where the TPM said.
    expect(fake.codes.slice(1)).toEqual([TPM_CC.FlushContext, TPM_CC.GetCapability]);
  });

  it('loaded as a raw handle is left to the caller', async () => {
    const fake = new FakeTpm();
    const tpm = await Tpm.open(fake);
    const context = { sequence: 0n, savedHandle: 0x80000000, hierarchy: 1, contextBlob: new Uint8Array([42]) };
    expect(await tpm.run(ContextLoad, { context })).toEqual({ loadedHandle: 0x80000000 });
    await tpm.close();
    expect(fake.slots).toEqual([42, undefined, undefined]);
  });
});

describe('a wrong argument', () => {
  it.each([
    ['no handle', { objectHandle: 'x' }, TypeError],
    ['a handle that is missing', {}, TypeError],
    ['authorization where none is taken', { objectHandle: { handle: 1, auth: new Uint8Array(1) } }, TypeError],
  ])('is refused before anything is sent: %s', async (_, args, type) => {
    const fake = new FakeTpm();
    expect(await errorOf((await Tpm.open(fake)).run(ReadPublic, args as never))).toBeInstanceOf(type);
    expect(fake.sent).toEqual([]);
  });

  it('of a parameter is a codec error with the path from the command on', async () => {
    const fake = new FakeTpm();
    const error = await errorOf((await Tpm.open(fake)).run(GetRandom, { bytesRequested: 70000 }));
    expect(error).toMatchObject({ code: 'codec', path: 'TPM2_GetRandom.bytesRequested.UINT16' });
    expect(fake.sent).toEqual([]);
  });
});

describe('a transport that fails', () => {
  it('fails every running command with its own error', async () => {
    const fake = new FakeTpm(() => {
      throw new KeyprovError('transport-lost', 'gone');
    });
    const tpm = await Tpm.open(fake);
    const results = await Promise.allSettled([1, 2].map((n) => tpm.run(GetRandom, { bytesRequested: n })));
    expect(results.map((result) => 'reason' in result && isKeyprovError(result.reason, 'transport-lost'))).toEqual([
      true,
      true,
    ]);
    await tpm.close();
    expect(fake.closed).toBe(true);
  });
});
