import { describe, expect, it } from 'vitest';
import {
  definePinPolicy,
  explainPolicy,
  type LayerValues,
  layerOf,
  type MergedPolicy,
  type MergeOptions,
  mergePolicy,
  type PolicyLayer,
  type PolicyScope,
  type PolicySource,
  WINDOWS_SETTING_NAMES,
  WINDOWS_SETTINGS,
  type WindowsSettingName,
} from '../../../src/policy/index.ts';
import { problemsOf } from './problems-of.ts';

const layer = (source: PolicySource, scope: PolicyScope, values: LayerValues): PolicyLayer => ({
  source,
  scope,
  origin: 'test',
  values,
});
const explain = ({ explanation }: MergedPolicy, name: string) => explanation.find(({ setting }) => setting === name);

/** The ranks in their order. */
const ORDER: readonly (readonly [PolicySource, PolicyScope])[] = [
  ['gpo', 'user'],
  ['gpo', 'machine'],
  ['csp', 'user'],
  ['csp', 'machine'],
  ['eas', 'machine'],
  ['environment', 'machine'],
  ['file', 'machine'],
  ['object', 'machine'],
];

describe('mergePolicy', () => {
  it('has the defaults of both generations if nothing is set', () => {
    const current = mergePolicy([]);
    expect(current.policy).toEqual({
      hardware: 'preferred',
      virtualTpm: 'allow',
      algorithm: 'rsa-2048',
      allowedAlgorithms: ['rsa-2048', 'rsa-3072', 'p-256', 'p-384'],
      attestation: 'preferred',
      pin: definePinPolicy(),
    });
    const old = mergePolicy([], { documents: '2016' });
    expect(old.policy).toEqual({ ...current.policy, pin: definePinPolicy({}, '2016') });
    for (const name of WINDOWS_SETTING_NAMES) {
      expect([name, current.windows[name]]).toEqual([name, WINDOWS_SETTINGS[name].defaults.current]);
      if (name === 'UsePassportForWork') continue;
      expect([name, old.windows[name]]).toEqual([name, WINDOWS_SETTINGS[name].defaults['2016']]);
    }
    expect(Object.isFrozen(current.policy) && Object.isFrozen(current.windows)).toBe(true);
  });

  it('provisions without being configured, after the texts of 2016 only under device management', () => {
    const enabled = (layers: PolicyLayer[], options: MergeOptions): boolean =>
      mergePolicy(layers, options).windows.UsePassportForWork;
    const csp = layer('csp', 'machine', { EnablePinRecovery: true });
    expect(enabled([], {})).toBe(true);
    expect(enabled([], { documents: '2016' })).toBe(false);
    expect(enabled([csp], { documents: '2016' })).toBe(true);
    expect(enabled([layer('gpo', 'machine', { UsePassportForWork: true })], { documents: '2016' })).toBe(true);
  });

  describe('asks in the order user GPO, computer GPO, user CSP, device CSP, EAS, environment, file, object', () => {
    const pairs = ORDER.flatMap((first, index) => ORDER.slice(index + 1).map((second) => ({ first, second })));
    it.each(pairs)('$first before $second', ({ first, second }) => {
      const values = (days: number): LayerValues => ({ 'PINComplexity/Expiration': days });
      const high = layer(...first, values(100));
      const low = layer(...second, values(200));
      for (const layers of [
        [high, low],
        [low, high],
      ]) {
        const merged = mergePolicy(layers, { pinConflict: 'passport' });
        expect(merged.windows['PINComplexity/Expiration']).toBe(100);
        expect(merged.policy.pin.expirationDays).toBe(100);
        expect(explain(merged, 'PINComplexity/Expiration')).toMatchObject({
          winner: { source: first[0], scope: first[1] },
          overridden: [{ layer: { source: second[0], scope: second[1] }, value: 200 }],
        });
      }
    });

    it('and the first of the same rank wins', () => {
      const merged = mergePolicy([
        layer('gpo', 'machine', { EnablePinRecovery: true }),
        layer('gpo', 'machine', { EnablePinRecovery: false }),
      ]);
      expect(merged.windows.EnablePinRecovery).toBe(true);
    });

    it('for each setting separately', () => {
      const { windows } = mergePolicy([
        layer('csp', 'machine', { EnablePinRecovery: true, UsePassportForWork: true, 'PINComplexity/History': 5 }),
        layer('gpo', 'machine', { UsePassportForWork: false, 'PINComplexity/Expiration': 30 }),
        layer('gpo', 'user', { 'PINComplexity/Expiration': 60 }),
      ]);
      expect(windows).toMatchObject({
        EnablePinRecovery: true,
        UsePassportForWork: false,
        'PINComplexity/History': 5,
        'PINComplexity/Expiration': 60,
      });
    });
  });

  it('treats hardware and RequireSecurityDevice as one setting', () => {
    const hardwareOf = (...layers: PolicyLayer[]) => {
      const { policy, windows } = mergePolicy(layers);
      return [policy.hardware, windows.RequireSecurityDevice];
    };
    const file = layer('file', 'machine', { hardware: 'discouraged' });
    expect(hardwareOf(file)).toEqual(['discouraged', false]);
    expect(hardwareOf(file, layer('csp', 'machine', { RequireSecurityDevice: true }))).toEqual(['required', true]);
    expect(hardwareOf(file, layer('csp', 'machine', { RequireSecurityDevice: false }))).toEqual(['preferred', false]);
    expect(hardwareOf(layer('object', 'machine', { RequireSecurityDevice: true }), file)).toEqual([
      'discouraged',
      false,
    ]);
  });

  describe('between PassportForWork and EAS', () => {
    const cases: [WindowsSettingName, number, number, number][] = [
      ['PINComplexity/MinimumPINLength', 8, 10, 10],
      ['PINComplexity/MinimumPINLength', 10, 8, 10],
      ['PINComplexity/MaximumPINLength', 20, 10, 10],
      ['PINComplexity/MaximumPINLength', 10, 20, 10],
      ['PINComplexity/History', 5, 24, 24],
      ['PINComplexity/History', 24, 5, 24],
      ['PINComplexity/Expiration', 0, 42, 42],
      ['PINComplexity/Expiration', 42, 0, 42],
      ['PINComplexity/Expiration', 90, 42, 42],
      ['PINComplexity/Digits', 0, 1, 1],
      ['PINComplexity/Digits', 1, 0, 1],
      ['PINComplexity/UppercaseLetters', 2, 1, 2],
      ['PINComplexity/UppercaseLetters', 1, 2, 1],
    ];
    it.each(cases)('the stricter %s of %i and %i applies: %i', (name, passport, eas, strictest) => {
      for (const source of ['gpo', 'csp'] as const) {
        const layers = [layer(source, 'machine', { [name]: passport }), layer('eas', 'machine', { [name]: eas })];
        expect(mergePolicy(layers).windows[name]).toBe(strictest);
        expect(mergePolicy(layers, { pinConflict: 'passport' }).windows[name]).toBe(passport);
        expect(mergePolicy(layers, { documents: '2016' }).windows[name]).toBe(passport);
      }
    });

    it('strictness concerns the PIN only, and EAS applies if PassportForWork sets nothing', () => {
      const layers = [
        layer('gpo', 'machine', { EnablePinRecovery: false }),
        layer('eas', 'machine', { EnablePinRecovery: true, 'PINComplexity/MinimumPINLength': 4 }),
      ];
      expect(mergePolicy(layers).windows).toMatchObject({
        EnablePinRecovery: false,
        'PINComplexity/MinimumPINLength': 4,
      });
    });
  });

  describe('uses the defaults of both lengths', () => {
    it.each([
      [8, 8],
      [10, 9],
      [3, 20, 'minimum 3 is outside 4 to 127'],
      [8, 128, 'maximum 128 is outside 4 to 127'],
      [0, 0, 'minimum 0 is outside 4 to 127'],
      [127, undefined],
      [undefined, 4],
    ])('for minimum %s and maximum %s', (minLength, maxLength, outside?: string) => {
      const set = (name: string, value: number | undefined) => (value === undefined ? {} : { [name]: value });
      const layers = [
        layer('gpo', 'user', set('PINComplexity/MinimumPINLength', minLength)),
        layer('csp', 'machine', set('PINComplexity/MaximumPINLength', maxLength)),
      ];
      for (const [documents, least] of [
        ['2016', 4],
        ['current', 6],
      ] as const) {
        if (documents === '2016' && maxLength === undefined && minLength === undefined) continue;
        const merged = mergePolicy(layers, { documents });
        expect([merged.policy.pin.minLength, merged.policy.pin.maxLength]).toEqual([least, 127]);
        const setting = minLength === undefined ? 'PINComplexity/MaximumPINLength' : 'PINComplexity/MinimumPINLength';
        const why = explain(merged, setting);
        const contradiction = `minimum ${minLength ?? least} is not below maximum ${maxLength ?? 127}`;
        expect(why?.reason).toBe(`${outside ?? contradiction}, so both defaults apply`);
        expect(why?.winner).toBeUndefined();
        expect(why?.overridden).toHaveLength(1);
      }
    });

    it('but not for lengths that go together', () => {
      const windows = { 'PINComplexity/MinimumPINLength': 126, 'PINComplexity/MaximumPINLength': 127 };
      expect(mergePolicy([layerOf({ windows })]).policy.pin).toMatchObject({ minLength: 126, maxLength: 127 });
    });
  });

  describe('numericOnlyStrict', () => {
    const sets = (...uses: readonly [number, number, number, number]) => {
      const names = ['UppercaseLetters', 'LowercaseLetters', 'SpecialCharacters', 'Digits'];
      const given = names.map((name, index) => [`PINComplexity/${name}`, uses[index]]).filter(([, use]) => use !== -1);
      return layerOf({ windows: Object.fromEntries(given) }, { source: 'gpo' });
    };
    const usesOf = ({ windows }: MergedPolicy) => [
      windows['PINComplexity/UppercaseLetters'],
      windows['PINComplexity/LowercaseLetters'],
      windows['PINComplexity/SpecialCharacters'],
      windows['PINComplexity/Digits'],
    ];
    const strict = layerOf({ pin: { numericOnlyStrict: true } });

    it('decides what sets of characters that are not configured may do', () => {
      expect(usesOf(mergePolicy([]))).toEqual([0, 0, 0, 0]);
      expect(usesOf(mergePolicy([strict]))).toEqual([2, 2, 2, 1]);
      expect(usesOf(mergePolicy([], { documents: '2016' }))).toEqual([2, 2, 2, 1]);
      expect(usesOf(mergePolicy([sets(0, -1, -1, -1), strict]))).toEqual([0, 2, 2, 1]);
      const loose = layerOf({ pin: { numericOnlyStrict: false } });
      expect(usesOf(mergePolicy([loose], { documents: '2016' }))).toEqual([0, 0, 0, 0]);
    });

    it('makes the PIN numeric if all sets are allowed and none is required', () => {
      const merged = mergePolicy([sets(0, 0, 0, 0), strict]);
      expect(usesOf(merged)).toEqual([2, 2, 2, 1]);
      expect(merged.policy.pin).toEqual(definePinPolicy({ numericOnlyStrict: true }));
      expect(explain(merged, 'PINComplexity/Digits')).toMatchObject({
        reason: 'all four sets of characters were set to allowed, which means a numeric PIN',
        overridden: [{ value: 0, layer: { source: 'gpo' } }],
      });
      expect(usesOf(mergePolicy([sets(0, 0, 0, 0)]))).toEqual([0, 0, 0, 0]);
      expect(usesOf(mergePolicy([sets(0, 1, 0, 0), strict]))).toEqual([0, 1, 0, 0]);
    });
  });

  it('keeps the own settings of the highest rank, and refuses those that contradict each other', () => {
    const file = layer('file', 'machine', { algorithm: 'p-256', attestation: 'required' });
    const object = layer('object', 'machine', { allowedAlgorithms: ['p-256', 'p-384'], attestation: 'none' });
    expect(mergePolicy([object, file]).policy).toMatchObject({
      algorithm: 'p-256',
      allowedAlgorithms: ['p-256', 'p-384'],
      attestation: 'required',
    });
    const rsa = layer('environment', 'machine', { algorithm: 'rsa-2048', hardware: 'discouraged' });
    expect(problemsOf(() => mergePolicy([object, file, rsa])).map(({ setting }) => setting)).toEqual([
      'algorithm',
      'attestation',
    ]);
    const nothing = layer('gpo', 'machine', { 'PINComplexity/Digits': 2 });
    expect(problemsOf(() => mergePolicy([nothing], { documents: '2016' }))).toMatchObject([
      { setting: 'pin', problem: 'allows no characters' },
    ]);
  });
});

describe('each setting', () => {
  /** The part of the policy that a setting changes, if any. */
  const CHANGES: Partial<Record<WindowsSettingName, object>> = {
    RequireSecurityDevice: { hardware: 'required' },
    'PINComplexity/MinimumPINLength': { pin: { minLength: 9 } },
    'PINComplexity/MaximumPINLength': { pin: { maxLength: 20 } },
    'PINComplexity/UppercaseLetters': { pin: { uppercase: 'required' } },
    'PINComplexity/LowercaseLetters': { pin: { lowercase: 'required' } },
    'PINComplexity/SpecialCharacters': { pin: { special: 'required' } },
    'PINComplexity/Digits': { pin: { digits: 'required' } },
    'PINComplexity/History': { pin: { history: 1 } },
    'PINComplexity/Expiration': { pin: { expirationDays: 1 } },
  };
  const other = (name: WindowsSettingName): boolean | number | string => {
    const { kind, defaults } = WINDOWS_SETTINGS[name];
    if (name === 'PINComplexity/MinimumPINLength') return 9;
    if (name === 'PINComplexity/MaximumPINLength') return 20;
    return kind === 'boolean' ? !defaults.current : kind === 'text' ? 'x' : 1;
  };
  const plain = mergePolicy([]);

  it.each(WINDOWS_SETTING_NAMES.flatMap((name) => ORDER.map(([source, scope]) => ({ name, source, scope }))))(
    '$name of $scope $source changes itself and nothing else',
    ({ name, source, scope }) => {
      const merged = mergePolicy([layer(source, scope, { [name]: other(name) })]);
      expect(merged.windows).toEqual({ ...plain.windows, [name]: other(name) });
      const { pin = {}, ...rest }: { pin?: object } = CHANGES[name] ?? {};
      expect(merged.policy).toEqual({ ...plain.policy, ...rest, pin: { ...plain.policy.pin, ...pin } });
      const changed = merged.explanation.filter(({ winner }) => winner !== undefined).map(({ setting }) => setting);
      expect(changed).toEqual(name === 'RequireSecurityDevice' ? [name, 'hardware'] : [name]);
    },
  );
});

describe('explainPolicy', () => {
  const merged = mergePolicy([
    layerOf({ hardware: 'preferred', pin: { minLength: 8 } }, { origin: 'the tool' }),
    layer('gpo', 'user', { UsePassportForWork: true }),
    layer('gpo', 'machine', { UsePassportForWork: false, RequireSecurityDevice: true, 'PINComplexity/Digits': 1 }),
    layer('csp', 'machine', { UsePassportForWork: false, 'PINComplexity/Expiration': 90 }),
    layer('eas', 'machine', { 'PINComplexity/Expiration': 30, 'PINComplexity/Digits': 0 }),
  ]);

  it('reports for each setting what won, what lost, and why', () => {
    expect(explainPolicy(merged.explanation, { onlySet: true }).split('\n')).toEqual([
      'UsePassportForWork = true: set by user GPO (test)',
      '  not false from computer GPO (test): the user setting replaces the machine setting',
      '  not false from device CSP (test): Group Policy takes precedence over the CSP; to use the value of the CSP, clear the setting in Group Policy',
      'RequireSecurityDevice = true: set by computer GPO (test)',
      '  not preferred from object (the tool): computer GPO (test) takes precedence',
      'PINComplexity/MinimumPINLength (pin.minLength) = 8: set by object (the tool)',
      'PINComplexity/Digits (pin.digits) = 1 (required): set by computer GPO (test)',
      '  not 0 (allowed) from EAS (test): the EAS rule is not stricter',
      'PINComplexity/Expiration (pin.expirationDays) = 30: set by EAS (test)',
      '  not 90 from device CSP (test): the EAS rule is stricter',
      'hardware = required: set by computer GPO (test)',
      '  not preferred from object (the tool): computer GPO (test) takes precedence',
    ]);
  });

  it('has every setting, with the default if nothing is set', () => {
    const lines = explainPolicy(merged.explanation)
      .split('\n')
      .filter((line) => !line.startsWith(' '));
    expect(lines).toHaveLength(WINDOWS_SETTING_NAMES.length + 6);
    expect(lines).toContain('PINComplexity/History (pin.history) = 0: nothing sets it: the current default');
    expect(lines).toContain("DeviceUnlock/GroupA = '': nothing sets it: the current default");
    expect(lines.at(-3)).toMatch(/^allowedAlgorithms = rsa-2048, rsa-3072, p-256, p-384: nothing sets it/);
  });
});
