import '../cheap-scrypt.mjs';
import { cpSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { utf8 } from '../../src/bytes.ts';
import { PinRefusedError } from '../../src/errors/pin-refused-error.ts';
import { isKeyprovError } from '../../src/errors.ts';
import type { KeyRecord } from '../../src/keys/key-record.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { definePolicy, type Policy, type PolicySettings } from '../../src/policy/index.ts';
import { createKeyPool } from '../../src/provisioning/key-pool.ts';
import { openKey } from '../../src/provisioning/open-key.ts';
import { readPinState } from '../../src/provisioning/pin-state.ts';
import { provision } from '../../src/provisioning/provision.ts';
import { makeKey, provisionKey } from '../../src/provisioning/provision-key.ts';
import { openTpmIn } from '../../src/testing/tpm-conditions.ts';
import { passingMfa } from '../fake-mfa.ts';
import { FakeRegistrar } from '../fake-registrar.ts';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { passwordToken } from '../integration/support/service-client.ts';
import { commandLines } from './support/command-lines.ts';
import { ADA, type ServiceWorld, startServiceWorld } from './support/service-world.ts';

const missing = await libtpmsMissing();
/** A user with many keys on one device, none of which is removed. */
const EVE = { upn: 'eve@contoso.test', password: 'wrong horse charger' };
const USER = 'bob@contoso.test';
const DEVICE = '47f577e3-d2d0-4a0a-8aca-e0501098bde4';
const LOCAL = { SSH_CONNECTION: '' };
/** Meets the default rules. */
const OLD = 'Abc-73519';

/** One setting, with evidence that it applies: a PIN that breaks it, or its effect on a key. P-256 keys are made quickly. */
interface Case {
  readonly settings: PolicySettings;
  /** The new PIN. Default one that meets the rules. */
  readonly pin?: string;
  /** Whether there is a TPM. */
  readonly tpm?: true;
  /** The result of every command that makes a key. */
  readonly making: string;
  /** The result of `reset`, which checks before it gives up the old key. */
  readonly resetting?: string;
  /** The same of those that change a PIN, and of `status`. */
  readonly changing: string;
  readonly status: string;
}

const NO_KEY_MADE = '(makes no key)';
const ASKED_LATER = '(what the PIN consists of is told by changing it)';
const pinRule = (settings: NonNullable<PolicySettings['pin']>, pin: string, code: string): Case => ({
  ...{ settings: { algorithm: 'p-256', pin: settings }, pin },
  ...{ making: `refused: ${code}`, changing: `refused: ${code}`, status: `must change: ${Object.keys(settings)[0]}` },
});
const ownSetting = (settings: PolicySettings, making: string, tpm?: true): Case => ({
  ...{ settings, making, changing: NO_KEY_MADE, status: NO_KEY_MADE, ...(tpm && { tpm }) },
});

const CASES: Readonly<Record<string, Case>> = {
  hardware: {
    ...ownSetting({ hardware: 'required' }, 'refused: hardware-required'),
    resetting: 'blocked: hardware-eligible',
  },
  virtualTpm: ownSetting({ virtualTpm: 'refuse', algorithm: 'p-256' }, 'software: virtual-tpm-refused', true),
  algorithm: ownSetting({ algorithm: 'p-384' }, 'p-384'),
  allowedAlgorithms: ownSetting({ allowedAlgorithms: ['p-256'] }, 'p-256'),
  attestation: {
    ...ownSetting({ attestation: 'required' }, 'refused: attestation-unavailable'),
    resetting: 'blocked: hardware-eligible',
  },
  'pin.minLength': pinRule({ minLength: 12 }, 'Abc-7351', 'too-short'),
  'pin.maxLength': pinRule({ maxLength: 8 }, 'Abc-7351911', 'too-long'),
  'pin.uppercase': pinRule({ uppercase: 'required' }, 'abc-73519', 'uppercase-required'),
  'pin.lowercase': pinRule({ lowercase: 'required' }, 'ABC-73519', 'lowercase-required'),
  'pin.special': pinRule({ special: 'not-allowed' }, 'Abc-73519', 'special-not-allowed'),
  'pin.digits': pinRule({ digits: 'not-allowed' }, 'Abc-73519', 'digits-not-allowed'),
  'pin.history': {
    ...{ settings: { algorithm: 'p-256', pin: { history: 3 } }, pin: OLD },
    ...{ making: 'keeps a history', changing: 'refused: in-history', status: ASKED_LATER },
  },
  'pin.expirationDays': {
    ...{ settings: { algorithm: 'p-256', pin: { expirationDays: 30 } }, pin: 'Xyz-73519' },
    ...{ making: 'expires after 30 days', changing: 'expires after 30 days', status: 'must change: expirationDays' },
  },
};

/** The part of a record that shows that a setting was applied. The recorded policy is the applied one. */
function effectOf(name: string, record: KeyRecord, policy: Policy): string {
  expect(record.policy).toEqual(policy);
  return describeRecord(name, record);
}

function describeRecord(name: string, record: KeyRecord): string {
  const state = readPinState(record);
  if (name === 'virtualTpm') return `${record.backend}: ${record.attempts[0]?.code}`;
  if (name === 'pin.history') return state?.history.entries.length === 1 ? 'keeps a history' : 'keeps none';
  if (name === 'pin.expirationDays') return `expires after ${state?.met.expirationDays} days`;
  return record.algorithm;
}

async function cellOf(work: () => Promise<string>): Promise<string> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof PinRefusedError) return `refused: ${error.problems[0]?.code}`;
    if (isKeyprovError(error)) return `refused: ${error.code}`;
    throw error;
  }
}

const software = async () => openSoftwareKeyProvider();
const sourcesOf = ({ tpm }: Case) => ({ software, ...(tpm && { tpm: () => openTpmIn('working') }) });
const pinOf = ({ pin = OLD }: Case) => utf8(pin);

type Door = (name: string, one: Case) => Promise<string>;

describe.skipIf(missing)('every setting at every door', () => {
  const commands = commandLines({ cheapScrypt: true });
  let world: ServiceWorld;
  let serial = 0;
  beforeAll(async () => {
    world = await startServiceWorld({ users: [ADA, EVE] });
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
  });

  const fresh = () => mkdtempSync(join(world.path, 'store-'));
  const file = (content: string) => world.file(`file-${serial++}`, content);
  const policyArgs = ({ settings }: Case) => ['--policy', file(JSON.stringify(settings))];
  const tpmArgs = ({ tpm }: Case) => ['--tpm', tpm ? 'libtpms' : 'none'];

  /** A copy of a store with a registered key in software whose PIN is OLD, set two months ago under the default rules. */
  let old: string | undefined;
  async function storeWithKey(): Promise<string> {
    const directory = fresh();
    if (old === undefined) {
      await provision({
        ...{ user: USER, deviceId: DEVICE, store: await openKeyStore(directory), registrar: new FakeRegistrar() },
        ...{ policy: definePolicy({ algorithm: 'p-256' }), sources: { software }, prerequisites: 'skip' },
        ...{ mfa: passingMfa(() => LONG_AGO), pin: utf8(OLD), now: () => LONG_AGO },
      });
      old = directory;
    }
    const copy = fresh();
    cpSync(old, copy, { recursive: true });
    return copy;
  }
  /** The record of a key in software whose PIN is OLD; made once. */
  let made: KeyRecord | undefined;
  async function oldKey(): Promise<KeyRecord> {
    const policy = definePolicy({ algorithm: 'p-256' });
    made ??= (await makeKey({ policy, sources: { software }, pin: utf8(OLD) })).record;
    return made;
  }
  /** A store with a key in software that the service has; made once. */
  let registered: string | undefined;
  async function registeredStore(): Promise<string> {
    if (registered !== undefined) return registered;
    const store = fresh();
    const args = ['provision', ...world.serviceArgs, '--user', ADA.upn, '--store', store, '--skip-prerequisites'];
    const { status } = await commands.json([...args, '--tpm', 'none', '--pin-file', file(OLD)], { env: LOCAL });
    expect(status).toBe(0);
    registered = store;
    return store;
  }
  const LONG_AGO = new Date(Date.now() - 60 * 24 * 60 * 60 * 1000);

  /** A command's result: a refusal, or the properties of the only key in the store. */
  async function command(name: string, one: Case, args: readonly string[], store: string): Promise<string> {
    const { status, json } = await commands.json([...args, ...policyArgs(one)], { env: LOCAL });
    if (status === 11) return blocked(json);
    if (status !== 0) return refused(json);
    const { records } = await (await openKeyStore(store)).list();
    const [record] = records;
    if (record === undefined || records.length > 1) throw new Error(`${records.length} keys`);
    return describeRecord(name, record);
  }

  function refused(json: Record<string, unknown>): string {
    const { code, problems, message, attempts } = Object(json.error);
    if (code !== 'pin-refused') return attempts?.length === 0 ? String(code) : `refused: ${code}`;
    const first: unknown = problems?.[0]?.code;
    return `refused: ${typeof first === 'string' ? first : message}`;
  }

  /** A reset gives up the old key only if a new one can replace it. */
  function blocked(json: Record<string, unknown>): string {
    const { findings } = Object(json.prerequisites);
    const failed = findings.find(({ status }: { status: string }) => status === 'fail');
    return `blocked: ${failed?.id}`;
  }

  const DOORS: Readonly<
    Record<string, { readonly kind: 'making' | 'resetting' | 'changing' | 'status'; readonly run: Door }>
  > = {
    'provision()': {
      kind: 'making',
      run: (name, one) =>
        cellOf(async () => {
          const policy = definePolicy(one.settings);
          const outcome = await provision({
            ...{ user: USER, deviceId: DEVICE, store: await openKeyStore(fresh()), registrar: new FakeRegistrar() },
            ...{ policy, sources: sourcesOf(one), prerequisites: 'skip', mfa: passingMfa(), pin: pinOf(one) },
          });
          if (outcome.status !== 'registered') return outcome.status;
          return effectOf(name, outcome.record, policy);
        }),
    },
    'provisionKey()': {
      kind: 'making',
      run: (name, one) =>
        cellOf(async () => {
          const policy = definePolicy(one.settings);
          const options = { policy, sources: sourcesOf(one), pin: pinOf(one) };
          const { record } = await provisionKey({ ...options, challenge: utf8('nonce') });
          return effectOf(name, record, policy);
        }),
    },
    'makeKey()': {
      kind: 'making',
      run: (name, one) =>
        cellOf(async () => {
          const policy = definePolicy(one.settings);
          const { record } = await makeKey({ policy, sources: sourcesOf(one), pin: pinOf(one) });
          return effectOf(name, record, policy);
        }),
    },
    'pool.take()': {
      kind: 'making',
      run: (name, one) =>
        cellOf(async () => {
          const policy = definePolicy(one.settings);
          await using pool = createKeyPool({ policy, sources: sourcesOf(one) });
          const { record } = await pool.take({ challenge: utf8('nonce'), pin: pinOf(one) });
          return effectOf(name, record, policy);
        }),
    },
    create: {
      kind: 'making',
      run: async (name, one) => {
        const out = join(fresh(), 'out');
        const args = ['create', '--out', out, '--pin-file', file(one.pin ?? OLD), ...tpmArgs(one)];
        return await command(name, one, args, out);
      },
    },
    'provision --service': {
      kind: 'making',
      run: async (name, one) => {
        const store = fresh();
        const args = ['provision', ...world.serviceArgs, '--user', EVE.upn, '--store', store, '--skip-prerequisites'];
        return await command(name, one, [...args, '--pin-file', file(one.pin ?? OLD), ...tpmArgs(one)], store);
      },
    },
    reset: {
      kind: 'resetting',
      run: async (name, one) => {
        const store = fresh();
        cpSync(await registeredStore(), store, { recursive: true });
        const base = [...world.serviceArgs, '--user', ADA.upn, '--store', store];
        const token = file(await passwordToken(world.service, ADA, { resource: 'https://graph.microsoft.com' }));
        const graph = ['--graph-token-command', `cat '${token}'`, '--graph-url', `${world.service.url}/graph/`];
        const args = ['reset', ...base, ...graph, '--yes', '--pin-file', file(one.pin ?? OLD), ...tpmArgs(one)];
        const before = (await (await openKeyStore(store)).list()).records;
        const cell = await command(name, one, args, store);
        // If it is refused or blocked, it keeps the old key.
        const after = (await (await openKeyStore(store)).list()).records;
        expect([cell, after[0]?.id === before[0]?.id]).toEqual([cell, /^(refused|blocked)/.test(cell)]);
        return cell;
      },
    },
    'UserKey.changePin()': {
      kind: 'changing',
      run: (name, one) =>
        cellOf(async () => {
          if (one.changing === NO_KEY_MADE) return NO_KEY_MADE;
          const record = await oldKey();
          await using key = await openKey({ record, sources: { software } });
          const { pin: policy } = definePolicy(one.settings);
          return describeRecord(name, await key.changePin({ pin: utf8(OLD), newPin: pinOf(one), policy }));
        }),
    },
    'change-pin': {
      kind: 'changing',
      run: async (name, one) => {
        if (one.changing === NO_KEY_MADE) return NO_KEY_MADE;
        const store = await storeWithKey();
        const args = ['change-pin', '--store', store, '--user', USER, '--tpm', 'none', '--pin-file', file(OLD)];
        return await command(name, one, [...args, '--new-pin-file', file(one.pin ?? OLD)], store);
      },
    },
    status: {
      kind: 'status',
      run: async (_, one) => {
        if (one.status === NO_KEY_MADE || one.status === ASKED_LATER) return one.status;
        const { status, json } = await commands.json(['status', '--store', await storeWithKey(), ...policyArgs(one)]);
        const [key] = [json.keys].flat();
        const reasons: readonly { setting: string }[] = Object(key).pin?.mustChange ?? [];
        return status === 5 ? `must change: ${reasons.map(({ setting }) => setting).join(', ')}` : `status ${status}`;
      },
    },
  };

  const printed: string[] = [];
  afterAll(() => console.log(printed.join('\n')));

  test.each(Object.keys(DOORS))('%s keeps all of them', async (door) => {
    const chosen = DOORS[door];
    if (chosen === undefined) throw new Error(door);
    const got: Record<string, string> = {};
    const expected: Record<string, string> = {};
    for (const [name, one] of Object.entries(CASES)) {
      got[name] = await chosen.run(name, one);
      expected[name] = chosen.kind === 'resetting' ? (one.resetting ?? one.making) : one[chosen.kind];
    }
    printed.push(door, ...Object.entries(got).map(([name, cell]) => `  ${name.padEnd(20)} ${cell}`));
    expect(got).toEqual(expected);
    expect(Object.values(got)).not.toContain('');
  });
});
