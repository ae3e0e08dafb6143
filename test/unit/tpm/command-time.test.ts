import { describe, expect, it } from 'vitest';
import { timeFor } from '../../../src/tpm/command-time.ts';
import { CreatePrimary } from '../../../src/tpm/commands/hierarchy.ts';
import { LoadExternal } from '../../../src/tpm/commands/object.ts';
import { GetRandom } from '../../../src/tpm/commands/random.ts';
import { Hash } from '../../../src/tpm/commands/symmetric.ts';
import { TPM_ALG, TPM_CC, TPM_RH } from '../../../src/tpm/constants.ts';
import { akTemplate, srkTemplate } from '../../../src/tpm/templates.ts';
import { Tpm } from '../../../src/tpm/tpm.ts';
import { FakeTpm, type Reply } from './fake-tpm.ts';

const EMPTY = new Uint8Array(0);
const never = () => new Promise<Reply>(() => {});
const isCommandName = (name: string): name is keyof typeof TPM_CC => name in TPM_CC;
const NAMES = Object.keys(TPM_CC).filter(isCommandName);

/** A TPM that accepts this command and never answers. */
const silentAt = (code: number) => new FakeTpm((sent) => (sent === code ? never() : undefined));

const create = (tpm: Tpm, signal?: AbortSignal) =>
  tpm.run(
    CreatePrimary,
    {
      primaryHandle: TPM_RH.OWNER,
      inPublic: srkTemplate('p-256'),
      inSensitive: { userAuth: EMPTY, data: EMPTY },
      outsideInfo: EMPTY,
      creationPCR: [],
    },
    { signal },
  );

describe('timeFor', () => {
  const own = { managed: false };
  const shared = { managed: true };

  it('gives five minutes to commands that make keys or test the TPM, and 90 seconds to all others', () => {
    const slow = NAMES.filter((name) => timeFor(name, own, {}) === 300_000);
    expect(slow.toSorted()).toEqual([
      ...['ChangeEPS', 'ChangePPS', 'Clear', 'Create', 'CreateLoaded', 'CreatePrimary'],
      ...['IncrementalSelfTest', 'SelfTest'],
    ]);
    const others = NAMES.filter((name) => !slow.includes(name)).map((name) => timeFor(name, own, {}));
    expect([...new Set(others)]).toEqual([90_000]);
  });

  it("adds the time of another client's key generation if others use the TPM too", () => {
    expect(timeFor('GetRandom', shared, {})).toBe(390_000);
    expect(timeFor('Create', shared, {})).toBe(600_000);
    expect(timeFor('Sign', shared, { keyGenerationMs: 10, otherMs: 1 })).toBe(11);
  });

  it("uses the caller's times, and never more than a timer can wait", () => {
    expect(timeFor('Create', own, { keyGenerationMs: 7 })).toBe(7);
    expect(timeFor('Create', own, { otherMs: 7 })).toBe(300_000);
    expect(timeFor('Create', shared, { keyGenerationMs: 2 ** 31 - 1 })).toBe(2 ** 31 - 1);
  });
});

describe('a TPM that does not answer', () => {
  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31])('cannot be given %s milliseconds', async (ms) => {
    const opening = Tpm.open(new FakeTpm(), { commandTimeouts: { otherMs: ms } });
    await expect(opening).rejects.toThrow(RangeError);
  });

  it('loses its transport when the time is up, and never sends queued commands', async () => {
    const transport = silentAt(TPM_CC.CreatePrimary);
    const tpm = await Tpm.open(transport, { commandTimeouts: { keyGenerationMs: 20 } });
    const creating = create(tpm);
    const waiting = tpm.run(GetRandom, { bytesRequested: 8 });
    await expect(creating).rejects.toMatchObject({
      code: 'transport-timeout',
      message:
        'fake: TPM2_CreatePrimary was not answered within 0.04 s; the TPM may or may not have executed the command',
      remedy: expect.stringContaining('commandTimeouts'),
    });
    await expect(waiting).rejects.toMatchObject({ code: 'transport-lost', cause: { code: 'transport-timeout' } });
    await tpm.close();
    expect(transport.codes).toEqual([TPM_CC.CreatePrimary]);
    expect(transport.closed).toBe(true);
  });

  it('is closed all the same, when the callers of its command have gone', async () => {
    const transport = silentAt(TPM_CC.CreatePrimary);
    const tpm = await Tpm.open(transport);
    const caller = new AbortController();
    const creating = create(tpm, caller.signal);
    await new Promise((resolve) => setImmediate(resolve));
    caller.abort(new Error('enough'));
    await expect(creating).rejects.toThrow('enough');
    await tpm.close();
    expect(transport.codes).toEqual([TPM_CC.CreatePrimary]);
    expect(transport.closed).toBe(true);
  });

  it('is still closed if its caller aborts after another one has closed it', async () => {
    const transport = silentAt(TPM_CC.CreatePrimary);
    const tpm = await Tpm.open(transport);
    const caller = new AbortController();
    const creating = create(tpm, caller.signal);
    await new Promise((resolve) => setImmediate(resolve));
    const closing = tpm.close();
    caller.abort(new Error('enough'));
    await expect(creating).rejects.toThrow('enough');
    await closing;
    expect(transport.closed).toBe(true);
  });

  it('does not delay clean-up after an abort', async () => {
    const transport = silentAt(TPM_CC.Hash);
    const tpm = await Tpm.open(transport);
    const { objectHandle } = await tpm.run(LoadExternal, {
      inPrivate: null,
      inPublic: akTemplate('p-256'),
      hierarchy: TPM_RH.NULL,
    });
    const caller = new AbortController();
    const args = { data: EMPTY, hashAlg: TPM_ALG.SHA256, hierarchy: TPM_RH.NULL };
    const hashing = tpm.run(Hash, args, { signal: caller.signal });
    await new Promise((resolve) => setImmediate(resolve));
    caller.abort(new Error('enough'));
    await expect(hashing).rejects.toThrow('enough');
    await objectHandle.flush();
    await tpm.close();
    expect(transport.closed).toBe(true);
  });

  it('may start as late as it likes: an opening that is aborted ends', async () => {
    const transport = new FakeTpm(never, { kind: 'libtpms' });
    const caller = new AbortController();
    const opening = Tpm.open(transport, { signal: caller.signal });
    await new Promise((resolve) => setImmediate(resolve));
    caller.abort(new Error('enough'));
    await expect(opening).rejects.toThrow('enough');
    expect(transport.closed).toBe(true);
  });
});
