import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { GetRandom } from '../../../src/tpm/commands/random.ts';
import { PolicyRestart, StartAuthSession } from '../../../src/tpm/commands/session.ts';
import { TPM_ALG, TPM_CC, TPM_HT, TPM_RH, TPM_SE } from '../../../src/tpm/constants.ts';
import type { Session } from '../../../src/tpm/session.ts';
import { startSession } from '../../../src/tpm/start-session.ts';
import { Tpm } from '../../../src/tpm/tpm.ts';
import { TPM_RC } from '../../../src/tpm/tpm-rc.ts';
import { asyncRefusal } from '../../refusal.ts';
import { answersWith, arrivesWith, doesAndRefuses, NO_SUCH_HANDLE, refuses, SessionTpm } from './session-tpm.ts';

const marksDirectory = mkdtempSync(join(tmpdir(), 'keyprov-sessions-'));
afterAll(() => rmSync(marksDirectory, { recursive: true }));

const { FlushContext, StartAuthSession: Start } = TPM_CC;
const open = async (options: ConstructorParameters<typeof SessionTpm>[0] = {}) => {
  const inside = new SessionTpm(options);
  return { inside, tpm: await Tpm.open(inside.wire) };
};
const start = (tpm: Tpm, type: 'hmac' | 'policy' | 'trial' = 'hmac') =>
  startSession(tpm, { type, use: { audit: true } });
const use = (tpm: Tpm, ...sessions: Session[]) => tpm.run(GetRandom, { bytesRequested: 1 }, { sessions });
/** The commands that the TPM receives while `work` runs. */
const commandsOf = async (inside: SessionTpm, work: () => Promise<unknown>): Promise<string[]> => {
  const before = inside.commands.length;
  await work();
  return inside.commands.slice(before);
};
const { NV_UNAVAILABLE } = TPM_RC;

describe('more sessions than slots', () => {
  it('are swapped out if they are the least recently used, and swapped in when they are used', async () => {
    const { inside, tpm } = await open({ slots: 2 });
    const a = await start(tpm);
    const b = await start(tpm);
    await use(tpm, a);
    const c = await start(tpm);
    expect(inside.holds).toEqual(['02000000', '(02000001)', '02000002']);
    expect(await commandsOf(inside, () => use(tpm, b))).toEqual([
      ...['ContextLoad 02000001', 'ContextSave 02000000', 'ContextLoad 02000001', 'GetRandom'],
    ]);
    expect(inside.holds).toEqual(['(02000000)', '02000001', '02000002']);
    expect(await commandsOf(inside, () => use(tpm, c, b))).toEqual(['GetRandom']);
    await use(tpm, a);
    expect(inside.holds).toEqual(['02000000', '02000001', '(02000002)']);
    await tpm.close();
    expect(inside.holds).toEqual([]);
  });

  it('are all there for a command that uses as many as there are slots', async () => {
    const { inside, tpm } = await open({ slots: 3 });
    const sessions: Session[] = [];
    for (let i = 0; i < 6; i++) sessions.push(await start(tpm));
    for (const [i, j, k] of [
      [0, 1, 2],
      [5, 0, 3],
      [1, 5, 0],
      [2, 1, 4],
    ] as const) {
      const [a, b, c] = [sessions[i], sessions[j], sessions[k]];
      if (a !== undefined && b !== undefined && c !== undefined) await use(tpm, a, b, c);
    }
    expect(inside.commands.filter((command) => command === 'GetRandom')).toHaveLength(4);
  });

  it('are refused a command that uses more of them than there are slots, which is not sent', async () => {
    const { inside, tpm } = await open({ slots: 2 });
    const [a, b, c] = [await start(tpm), await start(tpm), await start(tpm)];
    expect(await asyncRefusal(() => use(tpm, a, b, c))).toContain('TPM_RC_SESSION_MEMORY');
    expect(inside.commands).not.toContain('GetRandom');
    await use(tpm, a, b);
  });

  it('come back for a command that has only the handle of one', async () => {
    const { inside, tpm } = await open({ slots: 1 });
    const { sessionHandle } = await start(tpm, 'policy');
    await start(tpm);
    await tpm.run(PolicyRestart, { sessionHandle });
    expect(inside.holds).toEqual(['03000000', '(02000001)']);
    // It is not saved for another session of the same command.
    expect(await asyncRefusal(() => tpm.run(PolicyRestart, { sessionHandle: 0x03000007 }))).toContain('REFERENCE_H0');
  });

  it('that are saved end without being loaded, and do not come back', async () => {
    const { inside, tpm } = await open({ slots: 1 });
    const a = await start(tpm);
    const b = await start(tpm);
    expect(await commandsOf(inside, () => a.close())).toEqual(['FlushContext 02000000']);
    expect(await commandsOf(inside, () => use(tpm, b))).toEqual(['GetRandom']);
    expect(await asyncRefusal(() => use(tpm, a))).toContain('TPM_RC_REFERENCE_S0');
    expect(inside.holds).toEqual(['02000001']);
    const c = await start(tpm);
    for (const session of [b, c, b, c]) await use(tpm, session);
    expect(inside.holds).toEqual(['02000000', '(02000001)']);
  });

  it('leave slots to each other when one has ended with its last use', async () => {
    const { inside, tpm } = await open({ slots: 1 });
    const last = await startSession(tpm, { use: { audit: true, continueSession: false } });
    await use(tpm, last);
    expect(await commandsOf(inside, () => start(tpm))).toEqual(['StartAuthSession']);
    expect(await commandsOf(inside, () => last.close())).toEqual([]);
  });

  it('are not saved if another program has the slots, or the TPM is full for another reason', async () => {
    const { inside, tpm } = await open({ slots: 1 });
    inside.startAnother();
    expect(await asyncRefusal(() => start(tpm))).toContain('TPM_RC_SESSION_MEMORY');
    expect(inside.commands).toEqual(['StartAuthSession']);
  });

  it('of another connection are used, and neither saved nor ended', async () => {
    const { inside, tpm } = await open({ slots: 2 });
    const other = await Tpm.open(inside.wire);
    const foreign = await start(other);
    await use(tpm, foreign);
    const [a, b] = [await start(tpm), await start(tpm)];
    await use(tpm, a);
    await use(tpm, b);
    expect(inside.holds).toEqual(['02000000', '(02000001)', '02000002']);
    await tpm.close();
    expect(inside.holds).toEqual(['02000000']);
  });

  it('are counted in the error of a TPM that has no more handles', async () => {
    const { tpm } = await open({ slots: 2, handles: 3 });
    for (let i = 0; i < 3; i++) await start(tpm);
    expect(await asyncRefusal(() => start(tpm))).toContain('; open sessions of this process: 3');
  });

  it('are gone when the TPM has lost its power', async () => {
    const { inside, tpm } = await open({ slots: 1 });
    const [a, b] = [await start(tpm), await start(tpm)];
    await tpm.startup();
    expect([a.ended, b.ended]).toEqual([true, true]);
    expect(await commandsOf(inside, () => tpm.close())).toEqual([]);
  });
});

describe('a TPM that counts saved contexts, and has no number left', () => {
  it('has the oldest one loaded and saved again, as often as is needed', async () => {
    const { inside, tpm } = await open({ slots: 2, gap: 3 });
    const [a, b, c, d] = [await start(tpm), await start(tpm), await start(tpm), await start(tpm)];
    for (let i = 0; i < 8; i++) for (const session of [c, d, b]) await use(tpm, session);
    const renewals = inside.commands.filter((command) => command === 'ContextLoad 02000000');
    expect(renewals.length).toBeGreaterThan(3);
    expect(inside.commands.filter((command) => command === 'GetRandom')).toHaveLength(24);
    await use(tpm, a);
    await tpm.close();
    expect(inside.holds).toEqual([]);
  });

  it('is an error if the oldest one belongs to another program', async () => {
    const { inside, tpm } = await open();
    inside.meet(Start, refuses(TPM_RC.CONTEXT_GAP));
    expect(await asyncRefusal(() => start(tpm))).toContain('TPM_RC_CONTEXT_GAP');
    expect(inside.commands).toEqual(['StartAuthSession']);
  });
});

describe('the end of a session', () => {
  it('is one command', async () => {
    const { inside, tpm } = await open();
    const used = await start(tpm);
    await use(tpm, used);
    expect(await commandsOf(inside, () => used.close())).toEqual(['FlushContext 02000000']);
    const unused = await start(tpm);
    expect(await commandsOf(inside, () => unused.close())).toEqual(['FlushContext 02000000']);
  });

  it("leaves other programs' sessions alone if the session existed and is gone, the first time and later", async () => {
    const { inside, tpm } = await open();
    inside.startAnother();
    for (let i = 0; i < 2; i++) {
      const [first, session] = [await start(tpm), await start(tpm)];
      await use(tpm, first, session);
      inside.meet(FlushContext, doesAndRefuses(NO_SUCH_HANDLE)); // another program was first
      expect(await commandsOf(inside, () => session.close())).toEqual(['FlushContext 02000002', 'GetCapability']);
      await first.close();
      expect(inside.holds).toEqual(['02000000']);
    }
  });

  it('does nothing if a session is gone before it was used, and there is no other one', async () => {
    const { inside, tpm } = await open();
    const session = await start(tpm);
    inside.meet(FlushContext, doesAndRefuses(NO_SUCH_HANDLE));
    expect(await asyncRefusal(() => session.close())).toBe('nothing thrown');
    expect(inside.holds).toEqual([]);
  });

  it('is retried if the TPM denies a session that exists', async () => {
    const { inside, tpm } = await open();
    const session = await start(tpm);
    inside.startAnother();
    inside.meet(FlushContext, refuses(NO_SUCH_HANDLE));
    await session.close();
    expect(inside.holds).toEqual(['02000001']);
  });

  it.each([
    ['an error', refuses(NV_UNAVAILABLE)],
    ['an error although it was done', doesAndRefuses(NV_UNAVAILABLE)],
  ])('is retried when the TPM is closed, if it was %s', async (_, fault) => {
    const { inside, tpm } = await open();
    const session = await start(tpm);
    inside.meet(FlushContext, fault);
    expect(await asyncRefusal(() => session.close())).toContain('TPM_RC_NV_UNAVAILABLE');
    expect(await commandsOf(inside, () => tpm.close())).toEqual(['FlushContext 02000000']);
    expect(inside.holds).toEqual([]);
  });

  it('is not retried if the handle now belongs to another session of ours', async () => {
    const { inside, tpm } = await open({ slots: 1 });
    const first = await start(tpm);
    inside.meet(FlushContext, doesAndRefuses(NV_UNAVAILABLE));
    expect(await asyncRefusal(() => first.close())).toContain('TPM_RC_NV_UNAVAILABLE');
    const second = await start(tpm);
    const third = await start(tpm); // overdue clean-up runs before room is made
    expect([second, third].map(({ sessionHandle }) => sessionHandle)).toEqual([0x02000000, 0x02000001]);
    await use(tpm, second);
  });
});

describe('a session whose handle was altered in transit here', () => {
  it.each([
    ['of an object', 0x80000000, 'hmac'],
    ['of a policy session, for an HMAC session', 0x03000000, 'hmac'],
    ['of an HMAC session, for a policy session', 0x02000000, 'policy'],
    ['of an HMAC session, for a trial session', 0x02000000, 'trial'],
  ] as const)('is refused and ended: a handle %s', async (_, told, type) => {
    const { inside, tpm } = await open();
    const kept = await start(tpm);
    inside.meet(Start, answersWith(told));
    expect(await asyncRefusal(() => start(tpm, type))).toMatch(
      `tpm-session: the handle 0x${told.toString(16)} in a response does not belong to a new session`,
    );
    expect(inside.holds).toEqual(['02000000']);
    await use(tpm, kept);
  });

  it('is refused and ended if the handle belongs to another session of ours', async () => {
    const { inside, tpm } = await open({ slots: 2 });
    const [saved, resident, last] = [await start(tpm), await start(tpm), await start(tpm)];
    await last.close();
    for (const { sessionHandle } of [resident, saved]) {
      inside.meet(Start, answersWith(sessionHandle));
      expect(await asyncRefusal(() => start(tpm))).toMatch('does not belong to a new session');
      expect(inside.holds).toEqual(['(02000000)', '02000001']);
    }
  });

  it('is ended later if the TPM refuses at first', async () => {
    const { inside, tpm } = await open();
    inside.meet(Start, answersWith(0x80000000));
    inside.meet(FlushContext, refuses(NV_UNAVAILABLE));
    expect(await asyncRefusal(() => start(tpm))).toMatch('does not belong to a new session');
    expect(inside.holds).toEqual(['02000000']);
    await tpm.close();
    expect(inside.holds).toEqual([]);
  });

  it('is ended at its close if nobody has the handle', async () => {
    const { inside, tpm } = await open();
    inside.meet(Start, answersWith(0x02000005));
    const session = await start(tpm);
    await session.close();
    expect(inside.holds).toEqual([]);
  });

  it('is ended at its close, and no earlier session is', async () => {
    const inside = new SessionTpm();
    inside.startAnother(TPM_HT.POLICY_SESSION);
    const tpm = await Tpm.open(inside.wire, { marksDirectory });
    inside.meet(Start, answersWith(0x02000005));
    const session = await start(tpm);
    expect(inside.holds).toEqual(['03000000', '02000001']);
    await session.close();
    expect(inside.holds).toEqual(['03000000']);
    await tpm.close();
  });

  it("stays if it cannot be distinguished from other programs' sessions", async () => {
    const { inside, tpm } = await open();
    inside.startAnother();
    inside.meet(Start, answersWith(0x02000005));
    const session = await start(tpm);
    await session.close();
    expect(inside.holds).toEqual(['02000000', '02000001']);
  });

  it("is ended if the handle belonged to another program's session, which had to end for it", async () => {
    const { inside, tpm } = await open();
    inside.meet(Start, answersWith(0x02000001));
    const first = await start(tpm);
    inside.startAnother();
    // This ends the other program's session.
    await first.close();
    expect(inside.holds).toEqual(['02000000']);
    const second = await start(tpm);
    await use(tpm, second);
    inside.meet(FlushContext, doesAndRefuses(NO_SUCH_HANDLE));
    await second.close();
    expect(inside.holds).toEqual([]);
  });
});

describe('the end of a session that ended another one, since its handle was altered in transit there', () => {
  it('is compensated by the end of the other one', async () => {
    const { inside, tpm } = await open();
    const [first, second] = [await start(tpm), await start(tpm)];
    await use(tpm, second);
    inside.meet(FlushContext, arrivesWith(0x02000001));
    await first.close();
    expect(inside.holds).toEqual(['02000000']);
    await second.close();
    expect(inside.holds).toEqual([]);
  });
});

describe('a session that TPM2_StartAuthSession gives to nobody', () => {
  it('is ended: the caller has gone away', async () => {
    const { inside, tpm } = await open();
    const controller = new AbortController();
    inside.meet(Start, (command, carryOut) => {
      controller.abort(new Error('enough'));
      return carryOut(command);
    });
    const symmetric = { algorithm: TPM_ALG.NULL } as const;
    const args = { nonceCaller: new Uint8Array(16), encryptedSalt: new Uint8Array(0), sessionType: TPM_SE.HMAC };
    const handles = { tpmKey: TPM_RH.NULL, bind: TPM_RH.NULL };
    const starting = () =>
      tpm.run(
        StartAuthSession,
        { ...args, ...handles, symmetric, authHash: TPM_ALG.SHA256 },
        { signal: controller.signal },
      );
    expect(await asyncRefusal(starting)).toBe('foreign: Error: enough');
    await use(tpm);
    expect(inside.holds).toEqual([]);
  });
});
