import { describe, expect, it } from 'vitest';
import { concat, uint32, uint32At } from '../../../src/bytes.ts';
import { SelectionError } from '../../../src/errors/selection-error.ts';
import { TpmError } from '../../../src/errors/tpm-error.ts';
import { KeyprovError } from '../../../src/errors.ts';
import type { KeySources } from '../../../src/keys/key-sources.ts';
import type { KeyProvider } from '../../../src/keys/provider.ts';
import { failed, type Selection, type SelectionOptions, selectKeyProvider } from '../../../src/keys/select-provider.ts';
import { TpmKeyProvider } from '../../../src/keys/tpm-provider.ts';
import { definePolicy, type KeyAlgorithm, type PolicySettings } from '../../../src/policy/index.ts';
import { TPM_CAP, TPM_CC, TPM_PT } from '../../../src/tpm/constants.ts';
import { Tpm } from '../../../src/tpm/tpm.ts';
import { TPM_RC } from '../../../src/tpm/tpm-rc.ts';
import { asyncRefusal } from '../../refusal.ts';
import { answer, FakeTpm } from '../tpm/fake-tpm.ts';

const PERMANENT_IN_LOCKOUT = 0x200;

/** A TPM that only reports its properties. */
function fakeTpm({ manufacturer = 'INTC', permanent = 0, testParms = 0, onCommand = () => {} } = {}): FakeTpm {
  const properties: readonly (readonly [property: number, value: number])[] = [
    [TPM_PT.MANUFACTURER, uint32At(new TextEncoder().encode(manufacturer), 0)],
    [TPM_PT.PERMANENT, permanent],
    [TPM_PT.HR_PERSISTENT, 0],
    [TPM_PT.MAX_AUTH_FAIL, 32],
    [TPM_PT.LOCKOUT_INTERVAL, 600],
  ];
  return new FakeTpm((code, command) => {
    onCommand();
    if (code === TPM_CC.TestParms) return testParms;
    if (code !== TPM_CC.GetCapability || uint32At(command, 10) !== TPM_CAP.TPM_PROPERTIES) return undefined;
    const list = properties.filter(([property]) => property >= uint32At(command, 14));
    const pairs = list.map((pair) => concat(...pair.map(uint32)));
    return answer(0, new Uint8Array(1), uint32(TPM_CAP.TPM_PROPERTIES), uint32(list.length), ...pairs);
  });
}

/** Software that makes P-256 keys. */
const software = ({ onSupports = (_: unknown) => {} } = {}): KeyProvider => ({
  backend: 'software',
  assurance: 'software',
  supports: async (algorithm, options) => {
    onSupports(options?.signal);
    return algorithm === 'p-256';
  },
  create: () => Promise.reject(new Error('nothing is made here')),
  sign: () => Promise.reject(new Error('nothing is made here')),
  changePin: () => Promise.reject(new Error('nothing is made here')),
});
const SOFTWARE = software();

const select = async (
  settings: PolicySettings,
  sources: KeySources,
  options: Partial<SelectionOptions> = {},
): Promise<Selection> => await selectKeyProvider(definePolicy(settings), sources, { algorithm: 'p-256', ...options });
/** A TPM that cannot be opened, and software. */
const without = (error: unknown): KeySources => ({ tpm: () => Promise.reject(error), software: SOFTWARE });

const ABSENT = new KeyprovError('no-tpm', 'no TPM here', { remedy: 'buy one' });
const BUSY = new KeyprovError('transport-busy', 'somebody has it', { remedy: 'wait' });
const LOCKED = new TpmError('tpm-lockout', 'it is locked', { retryAfterSeconds: 60, remedy: 'wait 60 s' });

describe('the choice of a TPM', () => {
  it('belongs to an open TPM, which stays open', async () => {
    const wire = fakeTpm();
    const tpm = await Tpm.open(wire);
    const endorsementAuth = new Uint8Array([1]);
    const { provider, attempts, close } = await select(
      {},
      { tpm, software: SOFTWARE },
      { tpmOptions: { endorsementAuth } },
    );
    expect(provider).toBeInstanceOf(TpmKeyProvider);
    expect(provider).toMatchObject({ tpm, endorsementAuth, assurance: 'hardware' });
    expect(attempts).toEqual([]);
    await close();
    expect(wire.closed).toBe(false);
  });

  it('belongs to a TPM that is opened for it and closed with it', async () => {
    const wire = fakeTpm();
    const { signal } = new AbortController();
    const given: unknown[] = [];
    const tpm = async (options: object) => {
      given.push(options);
      return await Tpm.open(wire);
    };
    const { close } = await select({ hardware: 'required' }, { tpm }, { signal });
    // Its own signal: calls that share the TPM may have others.
    expect(given).toEqual([{ signal: expect.any(AbortSignal) }]);
    expect(wire.closed).toBe(false);
    await close();
    expect(wire.closed).toBe(true);
  });

  it.each<[string, Parameters<typeof fakeTpm>[0], PolicySettings, string, string]>([
    [
      'a virtual one that policy refuses',
      { manufacturer: 'IBM ' },
      { virtualTpm: 'refuse' },
      'virtual-tpm-refused',
      'policy refuses virtual TPMs: its manufacturer is IBM, which libtpms, swtpm and the IBM simulator report; IBM makes no TPM 2.0 chip',
    ],
    [
      'one that does not know the algorithm',
      { testParms: TPM_RC.CURVE + 0x140 },
      {},
      'algorithm-unsupported',
      'the TPM cannot make p-256 keys; choose another algorithm',
    ],
  ])('does not belong to %s, which is closed', async (_, wireOptions, settings, code, reason) => {
    const wire = fakeTpm(wireOptions);
    const { provider, attempts } = await select(settings, { tpm: () => Tpm.open(wire), software: SOFTWARE });
    expect(provider).toBe(SOFTWARE);
    expect(attempts).toEqual([{ backend: 'tpm', outcome: 'failed', code, reason }]);
    expect(wire.closed).toBe(true);
  });

  it("is refused with the TPM's error as its cause if a TPM is required", async () => {
    const sources = { tpm: () => Tpm.open(fakeTpm({ testParms: TPM_RC.CURVE + 0x140 })) };
    const error = await select({ hardware: 'required' }, sources).catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      code: 'hardware-required',
      cause: { code: 'algorithm-unsupported', attempts: [], remedy: 'choose another algorithm' },
    });
  });

  it('joins all signs of a virtual one', async () => {
    const wire = Object.assign(fakeTpm({ manufacturer: 'IBM ' }), { emulator: true });
    const said = await asyncRefusal(() =>
      select({ hardware: 'required', virtualTpm: 'refuse' }, { tpm: () => Tpm.open(wire) }),
    );
    expect(said).toContain('policy refuses virtual TPMs: fake is the address of an emulator; its manufacturer is IBM');
  });

  it('belongs to a virtual TPM that policy allows', async () => {
    const wire = fakeTpm({ manufacturer: 'IBM ' });
    expect((await select({ virtualTpm: 'allow' }, { tpm: () => Tpm.open(wire) })).provider.assurance).toBe('virtual');
  });

  it('waits for a TPM in lockout if the key has a PIN', async () => {
    const wire = fakeTpm({ permanent: PERMANENT_IN_LOCKOUT });
    const sources = { tpm: () => Tpm.open(wire), software: SOFTWARE };
    expect((await select({}, sources)).provider.backend).toBe('tpm');
    const error = await select({}, sources, { hasPin: true }).catch((caught: unknown) => caught);
    expect(error).toMatchObject({
      code: 'tpm-unavailable',
      retryAfterSeconds: 600,
      cause: { code: 'tpm-lockout', retryAfterSeconds: 600 },
      message: 'the TPM cannot be used at present: the TPM is locked after too many failures and refuses PINs',
      remedy:
        "wait up to 600 s, or reset the lockout with the lockout hierarchy's password, " +
        "or allow a software key (fallBack: 'any')",
    });
    expect(wire.closed).toBe(true);
    expect((await select({}, { tpm: () => Tpm.open(fakeTpm()) }, { hasPin: true })).provider.backend).toBe('tpm');
  });

  it.each([false, true])(
    'ends at once when it is aborted, and software does not replace it, with a PIN: %s',
    async (hasPin) => {
      const reason = new Error('enough');
      const whole = fakeTpm();
      await select({}, { tpm: () => Tpm.open(whole) }, { hasPin });
      expect(whole.sent).toHaveLength(3);
      for (let last = 1; last <= whole.sent.length; last++) {
        const controller = new AbortController();
        const wire = fakeTpm({ onCommand: () => wire.sent.length === last && controller.abort(reason) });
        const sources = { tpm: () => Tpm.open(wire), software: SOFTWARE };
        await expect(select({}, sources, { hasPin, signal: controller.signal })).rejects.toBe(reason);
        expect([wire.sent.length, wire.closed]).toEqual([last, true]);
      }
    },
  );

  it('does not begin when it is aborted before', async () => {
    const signal = AbortSignal.abort(new Error('too late'));
    for (const hardware of ['discouraged', 'preferred', 'required'] as const) {
      expect(await asyncRefusal(() => select({ hardware }, without(ABSENT), { signal }))).toBe(
        'foreign: Error: too late',
      );
    }
  });

  it.each([
    ['an address that is not one', new KeyprovError('address-invalid', 'no such address')],
    ['a function that does not work', new TypeError('x is not a function')],
  ])('ends with the mistake of the caller: %s', async (_, error) => {
    await expect(select({}, without(error))).rejects.toBe(error);
  });
});

describe('the choice of software', () => {
  it('is made without asking the TPM if policy discourages hardware', async () => {
    const sources = { tpm: () => Promise.reject(new Error('it was opened')), software: async () => SOFTWARE };
    const { provider, attempts, close } = await select({ hardware: 'discouraged' }, sources);
    expect(provider).toBe(SOFTWARE);
    expect(attempts).toEqual([{ backend: 'tpm', outcome: 'passed-over', reason: 'policy discourages hardware' }]);
    await close();
  });

  it('says why there is no TPM', async () => {
    const attempt = { backend: 'tpm', outcome: 'failed', code: 'no-tpm' };
    const selected = await select({}, { software: SOFTWARE });
    expect(selected.attempts).toEqual([{ ...attempt, outcome: 'passed-over', reason: 'no TPM was given' }]);
    expect((await select({}, without(ABSENT))).attempts).toEqual([{ ...attempt, reason: 'no TPM here; buy one' }]);
    expect(failed('software', new Error('what?'))).toStrictEqual({
      backend: 'software',
      outcome: 'failed',
      reason: 'what?',
    });
  });

  it('asks software with the signal', async () => {
    const { signal } = new AbortController();
    const seen: unknown[] = [];
    await select({}, { software: software({ onSupports: (given) => seen.push(given) }) }, { signal });
    expect(seen).toEqual([signal]);
  });

  /** Rules that refuse or allow it. The first matching rule applies: docs/policy.md. */
  const BUSY_SAID = 'tpm-unavailable: the TPM cannot be used at present: somebody has it; wait';
  const BY_NAME = ", or allow a software key (fallBack: 'any')";
  const NO_TPM = 'no TPM here; buy one';
  const DOWNGRADE = `downgrade-refused: the user's key was made in a TPM, but none is usable now: ${NO_TPM}, or allow the downgrade (allowDowngrade)`;
  const unattested = new SelectionError('attestation-unavailable', 'the key has none', []);
  it.each<[string, PolicySettings, unknown, Partial<SelectionOptions>, string]>([
    ['no TPM', {}, ABSENT, {}, 'software'],
    ['no TPM, for a key with a PIN', {}, ABSENT, { hasPin: true }, 'software'],
    ['a TPM that is busy', {}, BUSY, {}, BUSY_SAID + BY_NAME],
    [
      'a TPM in lockout',
      {},
      LOCKED,
      {},
      `tpm-unavailable: the TPM cannot be used at present: it is locked; wait 60 s${BY_NAME}`,
    ],
    [
      'what nobody knows',
      {},
      new Error('what?'),
      {},
      `tpm-unavailable: the TPM cannot be used at present: what?; fix the cause, then try again${BY_NAME}`,
    ],
    ['a TPM that is busy, where any failure will do', {}, BUSY, { fallBack: 'any' }, 'software'],
    ['a TPM that is busy, by default', {}, BUSY, { fallBack: 'absent' }, BUSY_SAID + BY_NAME],
    ['a TPM that is busy, and is required', { hardware: 'required' }, BUSY, {}, BUSY_SAID],
    ['the same, where any failure will do', { hardware: 'required' }, BUSY, { fallBack: 'any' }, BUSY_SAID],
    ['a TPM that is busy, and must attest', { attestation: 'required' }, BUSY, { fallBack: 'any' }, BUSY_SAID],
    [
      'no TPM, and one is required',
      { hardware: 'required' },
      ABSENT,
      { fallBack: 'any' },
      `hardware-required: policy requires a TPM, but none is usable: ${NO_TPM}, or change the policy`,
    ],
    [
      'no TPM, and attestation is required',
      { attestation: 'required' },
      ABSENT,
      {},
      `attestation-unavailable: policy requires attestation, which needs a TPM: ${NO_TPM}, or change the policy`,
    ],
    [
      'a TPM that does not attest',
      { attestation: 'required' },
      unattested,
      { fallBack: 'any' },
      'attestation-unavailable: policy requires attestation, but the key has none; repair the TPM, or change the policy',
    ],
    ['no TPM, and the last key was in one', {}, ABSENT, { previous: 'tpm' }, DOWNGRADE],
    ['the same, where any failure will do', {}, ABSENT, { previous: 'tpm', fallBack: 'any' }, DOWNGRADE],
    ['the same, where that is allowed', {}, ABSENT, { previous: 'tpm', allowDowngrade: true }, 'software'],
    ['the same, where that is not allowed', {}, ABSENT, { previous: 'tpm', allowDowngrade: false }, DOWNGRADE],
    ['no TPM, and the last key was in software', {}, ABSENT, { previous: 'software' }, 'software'],
    [
      'no TPM, and another algorithm',
      {},
      ABSENT,
      { algorithm: 'rsa-2048' },
      'algorithm-unsupported: the software provider cannot make rsa-2048 keys; choose another algorithm',
    ],
  ])('is allowed or refused after %s', async (_, settings, cause, options, expected) => {
    const run = async () => (await select(settings, without(cause), options)).provider.backend;
    expect(expected === 'software' ? await run() : await asyncRefusal(run)).toBe(expected);
  });

  it.each<[string, Partial<SelectionOptions>, string]>([
    [
      'takes the place of a TPM',
      { previous: 'tpm' },
      "downgrade-refused: the user's key was made in a TPM, but policy discourages hardware; change the policy, or allow the downgrade (allowDowngrade)",
    ],
    [
      'is not offered',
      {},
      'no-key-provider: policy discourages hardware, and the sources have no software provider; change the policy, or add the software provider to the sources',
    ],
  ])('is refused if policy discourages hardware and the key %s', async (_, options, expected) => {
    const sources = expected.startsWith('no-key') ? {} : { software: SOFTWARE };
    expect(await asyncRefusal(() => select({ hardware: 'discouraged' }, sources, options))).toBe(expected);
  });

  it("is refused if there is neither, with the TPM's reason", async () => {
    expect(await asyncRefusal(() => select({}, { tpm: () => Promise.reject(ABSENT) }))).toBe(
      `no-key-provider: no TPM is usable, and the sources have no software provider: ${NO_TPM}, or add the software provider to the sources`,
    );
  });

  it('is refused with all that was tried, the cause, and the time of the next try', async () => {
    const error = await select({}, without(LOCKED)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(SelectionError);
    expect(error).toMatchObject({ code: 'tpm-unavailable', retryAfterSeconds: 60, cause: LOCKED });
    expect(error).toHaveProperty('attempts', [
      { backend: 'tpm', outcome: 'failed', code: 'tpm-lockout', reason: 'it is locked; wait 60 s' },
      {
        backend: 'software',
        outcome: 'passed-over',
        code: 'tpm-unavailable',
        reason: 'the TPM cannot be used at present: it is locked',
      },
    ]);
    const algorithm: KeyAlgorithm = 'rsa-2048';
    expect(await select({}, without(ABSENT), { algorithm }).catch((caught: unknown) => caught)).toMatchObject({
      cause: ABSENT,
      retryAfterSeconds: undefined,
      attempts: [{ code: 'no-tpm' }, { code: 'algorithm-unsupported', outcome: 'passed-over' }],
    });
  });
});
