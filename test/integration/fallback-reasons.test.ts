import '../cheap-scrypt.mjs';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { concat, fromHex, uint32, utf8 } from '../../src/bytes.ts';
import { type AttemptCode, SelectionError } from '../../src/errors/selection-error.ts';
import { TpmError } from '../../src/errors/tpm-error.ts';
import { KeyprovError, type PlainErrorCode } from '../../src/errors.ts';
import { FALLBACK_REASONS, type FallbackReason, fallbackReasonOf } from '../../src/keys/fallback.ts';
import type { KeySources } from '../../src/keys/key-sources.ts';
import { definePolicy, type PolicySettings } from '../../src/policy/index.ts';
import { makeKey } from '../../src/provisioning/provision-key.ts';
import { type Fault, faultyTransport } from '../../src/testing/faulty-transport.ts';
import { openTpmIn } from '../../src/testing/tpm-conditions.ts';
import { openTestTpm } from '../../src/testing/with-tpm.ts';
import { CreatePrimary, HierarchyChangeAuth } from '../../src/tpm/commands/hierarchy.ts';
import { TPM_CC, TPM_RH } from '../../src/tpm/constants.ts';
import { UNSUPPORTED } from '../../src/tpm/first-supported.ts';
import { openTpm } from '../../src/tpm/open-tpm.ts';
import { srkTemplate } from '../../src/tpm/templates.ts';
import { Tpm } from '../../src/tpm/tpm.ts';
import { TPM_RC } from '../../src/tpm/tpm-rc.ts';
import type { TpmTransport } from '../../src/tpm/transport.ts';
import { openLibtpms } from '../../src/tpm/transports/libtpms.ts';
import { replayTransport } from '../../src/tpm/transports/recorder.ts';
import { decodeRecording, makeRecording } from '../../src/tpm/transports/recording.ts';
import { softwareOnce } from './support/software-once.ts';

const PIN = utf8('735191');
const EMPTY = new Uint8Array(0);
type Opener = () => Promise<Tpm>;

/** A way to cause a reason: by a real fault, or by code that simulates it. */
interface Scenario {
  readonly how: string;
  readonly open: Opener;
  readonly settings?: PolicySettings;
}

let directory = '';
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyprov-reasons-'));
  chmodSync(directory, 0o755);
});
afterAll(() => rmSync(directory, { recursive: true }));

const real = (how: string, open: Opener, settings: PolicySettings = {}): Scenario => ({ how, open, settings });

/** The TPM answers with that response code to one command. */
const answers = (code: number, command: keyof typeof TPM_CC = 'CreatePrimary'): Scenario => ({
  how: `an answer to TPM2_${command}`,
  open: async () => {
    const fault = (sent: number): Fault => (sent === TPM_CC[command] ? code : 'none');
    return (await openTestTpm({ wrap: (inner) => faultyTransport(inner, fault) })).tpm;
  },
});

/** The function that opens the TPM, such as the caller's, fails with that code. */
const opener = (code: PlainErrorCode): Scenario => ({
  how: 'an opener that says so',
  open: () => Promise.reject(new KeyprovError(code, 'as a test wants it')),
});

/** A transport that changes the answer to one command. */
function altering(command: number, change: (answer: Uint8Array) => Uint8Array): Opener {
  const wrap = (inner: TpmTransport): TpmTransport => ({
    ...{ kind: inner.kind, address: inner.address, emulator: inner.emulator, managed: inner.managed },
    send: async (sent, options) => {
      const answer = await inner.send(sent, options);
      const isIt = new DataView(sent.buffer, sent.byteOffset).getUint32(6) === command;
      return Uint8Array.from(isIt ? change(answer) : answer);
    },
    close: () => inner.close(),
  });
  return async () => (await openTestTpm({ wrap })).tpm;
}

async function withLibrary(path: string): Promise<Tpm> {
  vi.stubEnv('KEYPROV_LIBTPMS', path);
  try {
    return await openTpm('libtpms');
  } finally {
    vi.unstubAllEnvs();
  }
}

/** A TPM whose object slots are all used by another program. */
async function openFull(): Promise<Tpm> {
  const { tpm } = await openTestTpm();
  const other = await Tpm.open(tpm.transport);
  for (let slots = 0; slots < 3; slots++) {
    await other.run(CreatePrimary, {
      ...{ primaryHandle: { handle: TPM_RH.OWNER }, inPublic: srkTemplate('p-256', 'empty') },
      ...{ inSensitive: { userAuth: EMPTY, data: EMPTY }, outsideInfo: EMPTY, creationPCR: [] },
    });
  }
  return tpm;
}

async function openWithOwnerPassword(): Promise<Tpm> {
  const { tpm } = await openTestTpm();
  await tpm.run(HierarchyChangeAuth, { authHandle: { handle: TPM_RH.OWNER }, newAuth: utf8('secret') });
  return tpm;
}

/** Opens a file that this user may not open; root switches to another user meanwhile. */
async function openForbidden(): Promise<Tpm> {
  mkdirSync(join(directory, 'closed'), { mode: 0o000, recursive: true });
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    return await openTpm(`device:${join(directory, 'closed', 'tpmrm0')}`);
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

async function openTwice(): Promise<Tpm> {
  const address = `libtpms:${join(directory, 'twice')}`;
  await using _first = await openTpm(address);
  return await Tpm.open(await openLibtpms({ directory: join(directory, 'twice'), lockTimeoutMs: 0 }));
}

async function openDamaged(): Promise<Tpm> {
  const state = join(directory, 'damaged');
  await (await openTpm(`libtpms:${state}`)).close();
  writeFileSync(join(state, 'tpm2.state'), 'damaged');
  return await openTpm(`libtpms:${state}`);
}

async function openClosed(): Promise<Tpm> {
  const { tpm } = await openTestTpm();
  await tpm.close();
  return tpm;
}

const TPM12_ANSWER = fromHex('00c40000000a0000001e');
const device = (send: TpmTransport['send']): TpmTransport => ({
  ...{ kind: 'device', address: 'a device of a test', emulator: false, managed: false },
  send,
  close: async () => {},
});

const rc = (name: string): number => {
  const code = Object.entries(TPM_RC).find(([known]) => `TPM_RC_${known}` === name)?.[1];
  if (code === undefined) throw new Error(`${name} is not a response code`);
  return code;
};
/** Each response code of a row, at the command that makes the parent of the key. */
const eachOf = ({ responseCodes = [] }: FallbackReason): Scenario[] =>
  responseCodes.map((name) => ({ ...answers(rc(name)), how: `${name} from TPM2_CreatePrimary` }));

const TBS = { TBS_E_TPM_NOT_FOUND: 0x8028400f, TBS_E_SERVICE_DISABLED: 0x80284010 };

/** How each row comes about; of rows with response codes each of them. */
function scenariosOf(row: FallbackReason): readonly Scenario[] {
  if (row.responseCodes?.[0]?.startsWith('TBS_'))
    return Object.entries(TBS).map(([name, code]) => ({ ...answers(code), how: `${name} from TPM2_CreatePrimary` }));
  if (row.responseCodes?.includes('TPM_RC_BAD_TAG')) {
    return [real('a TPM 1.2', () => Tpm.open(device(async () => TPM12_ANSWER)))];
  }
  if (row.code === 'tpm-response' && row.responseCodes === undefined) return [answers(TPM_RC.POLICY), answers(0x5ff)];
  if (row.responseCodes !== undefined) return eachOf(row);
  const found = SCENARIOS[row.code];
  return found === undefined ? [] : [found];
}

const SCENARIOS: Readonly<Partial<Record<AttemptCode, Scenario>>> = {
  'no-tpm': real('no such device', () => openTpm('device:/dev/keyprov-no-such-tpm')),
  'library-missing': real('no libtpms', () => withLibrary('/nowhere/libtpms.so.0')),
  'library-unsuitable': real('another library', () => withLibrary('/lib/x86_64-linux-gnu/libm.so.6')),
  'virtual-tpm-refused': real('an emulator', async () => (await openTestTpm()).tpm, { virtualTpm: 'refuse' }),
  'algorithm-unsupported': answers(TPM_RC.CURVE + 0x240, 'TestParms'),
  'tpm-unsupported': answers(TPM_RC.COMMAND_CODE),
  'tpm-failure-mode': real('failure mode', () => openTpmIn('failing')),
  'tpm-auth-failed': real('a wrong password of the owner', openWithOwnerPassword),
  'tpm-lockout': real('a lockout', () => openTpmIn('locked')),
  'tpm-out-of-memory': real('all slots taken', openFull),
  'tpm-retry-exhausted': answers(TPM_RC.RETRY),
  'tpm-canceled': answers(TPM_RC.CANCELED),
  'tpm-session': real(
    'an answer with a wrong HMAC',
    altering(TPM_CC.Create, (answer) => answer.with(answer.length - 1, (answer.at(-1) ?? 0) ^ 1)),
  ),
  'tpm-command-blocked': real('a kernel that lets no command through', () =>
    Tpm.open(device(() => Promise.reject(new TpmError('tpm-command-blocked', 'no')))),
  ),
  'transport-unreachable': real('nothing listens', () => openTpm(`swtpm:unix:${join(directory, 'none')}`)),
  'transport-permission': real('no rights', openForbidden),
  'transport-busy': opener('transport-busy'),
  'transport-timeout': opener('transport-timeout'),
  'transport-lost': real('a connection that is cut', () => openTpmIn('lost')),
  'transport-protocol': opener('transport-protocol'),
  'transport-closed': real('a TPM that was closed', openClosed),
  'state-in-use': real('two TPMs with one state', openTwice),
  'state-io': real('a file in the place of its directory', async () => {
    writeFileSync(join(directory, 'file'), '');
    return await openTpm(`libtpms:${join(directory, 'file', 'state')}`);
  }),
  'state-invalid': real('a damaged file', openDamaged),
  codec: real(
    'an answer with more in it than there should be',
    altering(TPM_CC.GetCapability, (answer) =>
      concat(answer.subarray(0, 2), uint32(answer.length + 1), answer.subarray(6), new Uint8Array(1)),
    ),
  ),
  'key-invalid': opener('key-invalid'),
  'tpm-identity-changed': opener('tpm-identity-changed'),
  'tpm-cleared': opener('tpm-cleared'),
  'tpm-replaced': opener('tpm-replaced'),
  'tpm-rolled-back': opener('tpm-rolled-back'),
  'replay-mismatch': real('an empty recording', () => {
    const of = { kind: 'libtpms', emulator: true, managed: false } as const;
    return Tpm.open(replayTransport(makeRecording(of, [])));
  }),
  'recording-invalid': real('a recording that is none', async () => Tpm.open(replayTransport(decodeRecording({})))),
};

/** The result: the key's maker or the code of the refusal, and the reason. */
async function outcomeOf(
  hardware: 'required' | 'preferred',
  { open, settings }: Scenario,
  fallBack?: 'any',
): Promise<{ readonly result: string; readonly reason: string | undefined; readonly error?: SelectionError }> {
  let opened: Tpm | undefined;
  const sources: KeySources = {
    tpm: async () => {
      opened = await open();
      return opened;
    },
    software: softwareOnce,
  };
  const policy = definePolicy({ algorithm: 'p-256', hardware, ...settings });
  try {
    const { record } = await makeKey({ policy, sources, pin: PIN, fallBack });
    return { result: record.backend, reason: record.attempts[0]?.code };
  } catch (error) {
    if (!(error instanceof SelectionError)) throw error;
    return { result: error.code, reason: error.attempts[0]?.code, error };
  } finally {
    // Closed already, unless the test is wrong.
    await opened?.close();
  }
}

const CASES = FALLBACK_REASONS.flatMap((row) => scenariosOf(row).map((scenario) => ({ row, scenario })));
const nameOf = ({ code }: FallbackReason) => code;

describe('every reason not to use a TPM', () => {
  const printed: string[] = [];
  afterAll(() => console.log(printed.join('\n')));

  test('is made to happen here', () => {
    const met = new Set(CASES.map(({ row }) => row));
    expect(FALLBACK_REASONS.filter((row) => !met.has(row)).map(nameOf)).toEqual([]);
  });

  test.each(CASES.map((one) => ({ ...one, name: nameOf(one.row), how: one.scenario.how })))(
    '$name: $how',
    async ({ row, scenario, name, how }) => {
      const required = await outcomeOf('required', scenario);
      const preferred = await outcomeOf('preferred', scenario);
      const any = await outcomeOf('preferred', scenario, 'any');
      const expected =
        row.class === 'absent' ? ['hardware-required', 'software'] : ['tpm-unavailable', 'tpm-unavailable'];
      expect([required.result, preferred.result, any.result]).toEqual([
        ...expected,
        row.class === 'password' ? 'tpm-unavailable' : 'software',
      ]);
      expect(fallbackReasonOf(required.error?.cause)).toBe(row);
      expect([preferred.reason, any.reason]).toEqual([row.code, row.code]);
      printed.push(`${name.padEnd(24)} ${row.class.padEnd(8)} preferred: ${preferred.result.padEnd(16)} (${how})`);
    },
  );

  test.each(UNSUPPORTED)('TPM_RC_%s from TPM2_Create means that the TPM cannot make such keys', async (name) => {
    const { result, reason } = await outcomeOf('preferred', answers(TPM_RC[name] + 0x240, 'Create'));
    expect([result, reason]).toEqual(['software', 'algorithm-unsupported']);
  });

  test('a lockout says when to try again', async () => {
    const scenario = SCENARIOS['tpm-lockout'];
    if (scenario === undefined) throw new Error('no scenario');
    const { error } = await outcomeOf('preferred', scenario);
    expect(error?.retryAfterSeconds).toBe(1000);
    expect(error?.remedy).toMatch(/^wait up to 1000 s, or .* password, or allow a software key/);
  });

  test('an error from outside this library is reported with the others, as temporary', async () => {
    const open = () => Promise.reject(new Error('the helper has ended'));
    expect(await outcomeOf('preferred', { how: '', open })).toMatchObject({
      result: 'tpm-unavailable',
      error: { cause: { message: 'the helper has ended' } },
    });
  });
});
