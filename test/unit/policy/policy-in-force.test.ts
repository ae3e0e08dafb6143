import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { utf8 } from '../../../src/bytes.ts';
import {
  definePinPolicy,
  ENVIRONMENT_VARIABLES,
  layerOf,
  PolicyError,
  type PolicyInForceOptions,
  policyInForce,
} from '../../../src/policy/index.ts';

const file = (settings: object, name = 'policy.json') => ({ name, bytes: utf8(JSON.stringify(settings)) });
const REG = {
  name: 'gpo.reg',
  bytes: utf8(`Windows Registry Editor Version 5.00

[HKEY_LOCAL_MACHINE\\SOFTWARE\\Policies\\Microsoft\\PassportForWork]
"RequireSecurityDevice"=dword:00000001
"NoSuchSetting"=dword:00000001
`),
};

/** The machine's environment variables must have no effect on the tests. */
const find = (options: PolicyInForceOptions) => policyInForce({ environment: {}, ...options });

async function problemsOf(options: PolicyInForceOptions): Promise<string[]> {
  const error: unknown = await find(options).catch((thrown: unknown) => thrown);
  if (!(error instanceof PolicyError)) throw error;
  return error.problems.map(({ setting, from = [] }) => [setting, ...from.map(({ origin }) => origin)].join(' < '));
}

afterEach(() => vi.unstubAllEnvs());

describe('policyInForce', () => {
  test("has the defaults if nothing is set, including the PIN's", async () => {
    const { policy, setsPinRules, warnings } = await find({});
    expect(policy).toMatchObject({ hardware: 'preferred', attestation: 'preferred', pin: definePinPolicy() });
    expect([setsPinRules, warnings]).toEqual([false, []]);
  });

  test('keeps the variables of the process unless it gets others', async () => {
    vi.stubEnv('KEYPROV_POLICY_HARDWARE', 'required');
    vi.stubEnv('KEYPROV_POLICY_PIN_MIN_LENGTH', '8');
    const { policy, setsPinRules } = await policyInForce();
    expect([policy.hardware, policy.pin.minLength, setsPinRules]).toEqual(['required', 8, true]);
    expect((await policyInForce({ environment: {} })).policy.hardware).toBe('preferred');
  });

  test('asks Windows, then the environment, the command line, files, and the program', async () => {
    const sources = {
      files: [file({ hardware: 'preferred', attestation: 'none', virtualTpm: 'refuse', algorithm: 'p-256' })],
      environment: { KEYPROV_POLICY_ATTESTATION: 'required' },
      commandLine: { hardware: 'discouraged', attestation: 'preferred', virtualTpm: 'allow' },
      settings: { algorithm: 'p-384', pin: { minLength: 9 } },
    } as const;
    const { policy } = await find({ ...sources, layers: [layerOf({ hardware: 'required' }, { source: 'gpo' })] });
    expect(policy).toMatchObject({
      hardware: 'required',
      attestation: 'required',
      virtualTpm: 'allow',
      algorithm: 'p-256',
      pin: { minLength: 9 },
    });
  });

  test('warns about settings that the command line overrides, that override it, or that have no effect', async () => {
    const { warnings, policy } = await find({
      files: [REG, file({ attestation: 'none', algorithm: 'p-256', hardware: 'required' })],
      commandLine: { hardware: 'preferred', attestation: 'preferred', algorithm: 'p-256' },
    });
    expect(policy).toMatchObject({ hardware: 'required', attestation: 'preferred', algorithm: 'p-256' });
    expect(warnings).toEqual([
      {
        kind: 'ignored',
        origin: 'gpo.reg',
        setting: expect.stringContaining('NoSuchSetting'),
        problem: expect.any(String),
      },
      { kind: 'overridden', setting: 'hardware', value: 'preferred', reason: expect.stringContaining('computer GPO') },
      { kind: 'overrides', setting: 'attestation', value: 'preferred', origin: 'policy.json', overridden: 'none' },
    ]);
  });

  test('warns of lengths of the PIN that contradict each other, each with its place', async () => {
    const origin = 'policy.json';
    const both = await find({ files: [file({ pin: { minLength: 8, maxLength: 5 } })] });
    expect(both.policy.pin).toMatchObject({ minLength: 6, maxLength: 127 });
    const reason = 'minimum 8 is not below maximum 5, so both defaults apply';
    expect(both.warnings).toEqual([
      { kind: 'contradictory', setting: 'PINComplexity/MinimumPINLength', value: 8, origin, reason },
      { kind: 'contradictory', setting: 'PINComplexity/MaximumPINLength', value: 5, origin, reason },
    ]);
    const one = await find({ files: [file({ pin: { minLength: 127 } })] });
    expect(one.warnings).toMatchObject([
      { kind: 'contradictory', setting: 'PINComplexity/MinimumPINLength', value: 127 },
    ]);
    expect((await find({ files: [file({ pin: { minLength: 8, maxLength: 9 } })] })).warnings).toEqual([]);
  });

  test('reads files by their path', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'keyprov-policy-'));
    try {
      const path = join(directory, 'policy.json');
      writeFileSync(path, '{"virtualTpm": "refuse"}');
      expect((await find({ files: [path] })).policy.virtualTpm).toBe('refuse');
      const none = join(directory, 'none.json');
      expect(await problemsOf({ files: [path, none] })).toEqual([none]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('reports the problems of all sources at once, with their positions', async () => {
    const options = {
      files: [file({ hardwear: 'required' }), { name: 'cut.json', bytes: utf8('{') }, '/nowhere/policy.json'],
      environment: { KEYPROV_POLICY_HARDWEAR: 'required', KEYPROV_POLICY_PIN_HISTORY: 'many' },
      commandLine: { hardware: 'maybe' },
      settings: JSON.parse('{"pin": {"minLength": 3}}'),
    };
    expect(await problemsOf(options)).toEqual([
      'hardwear < policy.json',
      'policy < cut.json',
      '/nowhere/policy.json',
      'KEYPROV_POLICY_HARDWEAR',
      'KEYPROV_POLICY_PIN_HISTORY',
      'hardware < command line',
      "pin.minLength < the caller's settings",
    ]);
  });

  test('says of a missing file only that it does not exist', async () => {
    await expect(find({ files: ['none.json'] })).rejects.toThrow(
      /^the policy is wrong: none\.json: does not exist \(expected: a file with settings\)$/,
    );
  });

  test('names the places of settings that contradict each other', async () => {
    const files = [file({ hardware: 'discouraged', allowedAlgorithms: ['p-256'] })];
    expect(await problemsOf({ files, commandLine: { attestation: 'required', algorithm: 'p-384' } })).toEqual([
      'algorithm < command line < policy.json',
      'attestation < command line < policy.json',
    ]);
    const windows = { 'PINComplexity/Digits': 2, 'PINComplexity/LowercaseLetters': 2 } as const;
    const pin = { uppercase: 'not-allowed', special: 'not-allowed' } as const;
    expect(
      await problemsOf({ layers: [layerOf({ windows }, { source: 'csp', origin: 'intune' })], settings: { pin } }),
    ).toEqual(['pin < intune']);
  });

  test.each(ENVIRONMENT_VARIABLES)('a misspelled %s is an error', async (variable) => {
    const misspelled = `${variable.slice(0, -1)}_`;
    expect(await problemsOf({ environment: { [misspelled]: '1' } })).toEqual([misspelled]);
  });
});
