import { describe, expect, it } from 'vitest';
import {
  layerFromEnvironment,
  layerOf,
  type MergedPolicy,
  mergePolicy,
  type PolicyDocuments,
  PolicyError,
  type PolicyReading,
  parseLayer,
  WINDOWS_SETTING_NAMES,
  WINDOWS_SETTINGS,
  type WindowsSettingName,
} from '../../../src/policy/index.ts';
import { fromDeviceLock, SOURCES, type Source, settingFrom } from './settings-from.ts';

/** The registry key of all settings that users may have. */
const GPO_KEY = 'SOFTWARE\\Policies\\Microsoft\\PassportForWork';

type Value = boolean | number | string;

/** All values of a setting; of a number those at its ends, around its default, and two beyond its range. */
function valuesOf(name: WindowsSettingName): readonly Value[] {
  const { kind } = WINDOWS_SETTINGS[name];
  if (kind === 'boolean') return [false, true];
  if (kind === 'use') return [0, 1, 2];
  if (kind === 'text') return ['', '{D6886603-9D2F-4EB2-B667-1971041FA96B}'];
  if (name === 'PINComplexity/History') return [0, 1, 24, 50];
  if (name === 'PINComplexity/Expiration') return [0, 1, 365, 730];
  return [3, 4, 5, 6, 7, 16, 126, 127, 128];
}

/** Lengths that do not go together with the default of the other one. */
const FALLING_BACK: Readonly<Record<PolicyDocuments, Partial<Record<WindowsSettingName, readonly Value[]>>>> = {
  current: {
    'PINComplexity/MinimumPINLength': [3, 127, 128],
    'PINComplexity/MaximumPINLength': [3, 4, 5, 6, 128],
  },
  '2016': { 'PINComplexity/MinimumPINLength': [3, 127, 128], 'PINComplexity/MaximumPINLength': [3, 4, 128] },
};

/** The part of the policy that matches a Windows setting; none for others. */
const POLICY_OF: Partial<Record<WindowsSettingName, string>> = {
  RequireSecurityDevice: 'hardware',
  'PINComplexity/MinimumPINLength': 'pin.minLength',
  'PINComplexity/MaximumPINLength': 'pin.maxLength',
  'PINComplexity/UppercaseLetters': 'pin.uppercase',
  'PINComplexity/LowercaseLetters': 'pin.lowercase',
  'PINComplexity/SpecialCharacters': 'pin.special',
  'PINComplexity/Digits': 'pin.digits',
  'PINComplexity/History': 'pin.history',
  'PINComplexity/Expiration': 'pin.expirationDays',
};

/** The settings of Windows that differ, and the parts of the policy. */
function differences(a: MergedPolicy, b: MergedPolicy): { windows: WindowsSettingName[]; policy: string[] } {
  const flat = ({ policy: { pin, ...own } }: MergedPolicy) => [
    ...Object.entries(own).map(([name, value]) => [name, String(value)] as const),
    ...Object.entries(pin).map(([name, value]) => [`pin.${name}`, String(value)] as const),
  ];
  const before = new Map(flat(a));
  return {
    windows: WINDOWS_SETTING_NAMES.filter((name) => a.windows[name] !== b.windows[name]),
    policy: flat(b).flatMap(([name, value]) => (before.get(name) === value ? [] : [name])),
  };
}

const setBy = ({ explanation }: MergedPolicy) =>
  explanation.filter(({ winner, overridden }) => winner !== undefined || overridden.length > 0);

/** `c.GPO` for computer GPO, `d.CSP reg` for device CSP (registry). */
const shortName = (source: Source): string =>
  source
    .replace(/^(\w)\w+ (?=GPO|CSP)/, '$1.')
    .replace('(registry)', 'reg')
    .replace('environment', 'env');

/** Lines with cells of equal width. */
function table(rows: readonly (readonly string[])[]): string {
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(width(column)))
        .join(' | ')
        .trimEnd(),
    )
    .join('\n');
}

/** The changes that each setting causes when set alone; see LEGEND. */
const MATRIX: Readonly<Record<PolicyDocuments, string>> = {
  current: `
current                                          | u.GPO | c.GPO | u.CSP | u.CSP reg | d.CSP | d.CSP reg | EAS        | env  | file | object
UsePassportForWork                               | x     | x     | x     | x         | x     | x         | -          | x    | x    | x
DisablePostLogonProvisioning                     | .     | x     | .     | .         | x     | x         | -          | x    | x    | x
RequireSecurityDevice                            | .     | x+hw  | x+hw  | x+hw      | x+hw  | x+hw      | -          | x+hw | x+hw | x+hw
ExcludeSecurityDevices/TPM12                     | .     | x     | .     | .         | x     | x         | -          | x    | x    | x
EnablePinRecovery                                | .     | x     | x     | x         | x     | x         | -          | x    | x    | x
UseCertificateForOnPremAuth                      | x     | x     | .     | .         | x     | x         | -          | x    | x    | x
UseCloudTrustForOnPremAuth                       | .     | x     | .     | .         | x     | x         | -          | x    | x    | x
UseHelloCertificatesAsSmartCardCertificates      | .     | x     | .     | .         | x     | x         | -          | x    | x    | x
EnableWindowsHelloProvisioningForSecurityKeys    | -     | -     | .     | .         | x     | x         | -          | x    | x    | x
DisablePostLogonCredentialCaching                | -     | -     | .     | .         | x     | x         | -          | x    | x    | x
Remote/UseRemotePassport                         | -     | -     | .     | .         | x     | x         | -          | x    | x    | x
PINComplexity/MinimumPINLength                   | xd    | xd    | xd    | xd        | xd    | xd        | x          | xd   | xd   | xd
PINComplexity/MaximumPINLength                   | xd    | xd    | xd    | xd        | xd    | xd        | -          | xd   | xd   | xd
PINComplexity/UppercaseLetters                   | x     | x     | x     | x         | x     | x         | x+lo+di    | x    | x    | x
PINComplexity/LowercaseLetters                   | x     | x     | x     | x         | x     | x         | x+di       | x    | x    | x
PINComplexity/SpecialCharacters                  | x     | x     | x     | x         | x     | x         | x+up+lo+di | x    | x    | x
PINComplexity/Digits                             | x     | x     | x     | x         | x     | x         | x          | x    | x    | x
PINComplexity/History                            | x     | x     | x     | x         | x     | x         | x          | x    | x    | x
PINComplexity/Expiration                         | x     | x     | x     | x         | x     | x         | x          | x    | x    | x
Biometrics/UseBiometrics                         | -     | x     | .     | -         | x     | x         | -          | x    | x    | x
Biometrics/FacialFeaturesUseEnhancedAntiSpoofing | -     | x     | .     | -         | x     | x         | -          | x    | x    | x
SecurityKey/UseSecurityKeyForSignin              | -     | x     | .     | -         | x     | x         | -          | x    | x    | x
DynamicLock/DynamicLock                          | .     | x     | .     | -         | x     | x         | -          | x    | x    | x
DynamicLock/Plugins                              | .     | x     | .     | -         | x     | x         | -          | x    | x    | x
DeviceUnlock/GroupA                              | .     | x     | .     | -         | x     | x         | -          | x    | x    | x
DeviceUnlock/GroupB                              | .     | x     | .     | -         | x     | x         | -          | x    | x    | x
DeviceUnlock/Plugins                             | .     | x     | .     | -         | x     | x         | -          | x    | x    | x
DisableSmartCardNode                             | .     | x     | -     | -         | -     | -         | -          | x    | x    | x
AllowAllUserAccessToSmartCardNode                | .     | x     | -     | -         | -     | -         | -          | x    | x    | x
`,
  '2016': `
2016                                             | u.GPO | c.GPO | u.CSP    | u.CSP reg | d.CSP    | d.CSP reg | EAS     | env  | file | object
UsePassportForWork                               | x     | x     | x        | x         | x        | x         | -       | x    | x    | x
DisablePostLogonProvisioning                     | .     | x     | .        | .         | x+use    | x+use     | -       | x    | x    | x
RequireSecurityDevice                            | .     | x+hw  | x+use+hw | x+use+hw  | x+use+hw | x+use+hw  | -       | x+hw | x+hw | x+hw
ExcludeSecurityDevices/TPM12                     | .     | x     | .        | .         | x+use    | x+use     | -       | x    | x    | x
EnablePinRecovery                                | .     | x     | x+use    | x+use     | x+use    | x+use     | -       | x    | x    | x
UseCertificateForOnPremAuth                      | x     | x     | .        | .         | x+use    | x+use     | -       | x    | x    | x
UseCloudTrustForOnPremAuth                       | .     | x     | .        | .         | x+use    | x+use     | -       | x    | x    | x
UseHelloCertificatesAsSmartCardCertificates      | .     | x     | .        | .         | x+use    | x+use     | -       | x    | x    | x
EnableWindowsHelloProvisioningForSecurityKeys    | -     | -     | .        | .         | x+use    | x+use     | -       | x    | x    | x
DisablePostLogonCredentialCaching                | -     | -     | .        | .         | x+use    | x+use     | -       | x    | x    | x
Remote/UseRemotePassport                         | -     | -     | .        | .         | x+use    | x+use     | -       | x    | x    | x
PINComplexity/MinimumPINLength                   | xd    | xd    | xd+use   | xd+use    | xd+use   | xd+use    | x       | xd   | xd   | xd
PINComplexity/MaximumPINLength                   | xd    | xd    | xd+use   | xd+use    | xd+use   | xd+use    | -       | xd   | xd   | xd
PINComplexity/UppercaseLetters                   | x     | x     | x+use    | x+use     | x+use    | x+use     | x+lo    | x    | x    | x
PINComplexity/LowercaseLetters                   | x     | x     | x+use    | x+use     | x+use    | x+use     | x       | x    | x    | x
PINComplexity/SpecialCharacters                  | x     | x     | x+use    | x+use     | x+use    | x+use     | x+up+lo | x    | x    | x
PINComplexity/Digits                             | x     | x     | x+use    | x+use     | x+use    | x+use     | x       | x    | x    | x
PINComplexity/History                            | x     | x     | x+use    | x+use     | x+use    | x+use     | x       | x    | x    | x
PINComplexity/Expiration                         | x     | x     | x+use    | x+use     | x+use    | x+use     | x       | x    | x    | x
Biometrics/UseBiometrics                         | -     | x     | .        | -         | x+use    | x+use     | -       | x    | x    | x
Biometrics/FacialFeaturesUseEnhancedAntiSpoofing | -     | x     | .        | -         | x+use    | x+use     | -       | x    | x    | x
SecurityKey/UseSecurityKeyForSignin              | -     | x     | .        | -         | x+use    | x+use     | -       | x    | x    | x
DynamicLock/DynamicLock                          | .     | x     | .        | -         | x+use    | x+use     | -       | x    | x    | x
DynamicLock/Plugins                              | .     | x     | .        | -         | x+use    | x+use     | -       | x    | x    | x
DeviceUnlock/GroupA                              | .     | x     | .        | -         | x+use    | x+use     | -       | x    | x    | x
DeviceUnlock/GroupB                              | .     | x     | .        | -         | x+use    | x+use     | -       | x    | x    | x
DeviceUnlock/Plugins                             | .     | x     | .        | -         | x+use    | x+use     | -       | x    | x    | x
DisableSmartCardNode                             | .     | x     | -        | -         | -        | -         | -       | x    | x    | x
AllowAllUserAccessToSmartCardNode                | .     | x     | -        | -         | -        | -         | -       | x    | x    | x
`,
};

/** How many settings both sources can set, and how many pairs of values the higher one decided, or a stricter EAS. */
const PRECEDENCE = `
higher \\ lower | u.GPO | c.GPO  | u.CSP  | u.CSP reg | d.CSP  | d.CSP reg | EAS    | env    | file   | object
u.GPO          | =     | 10: 36 | 9: 34  | 9: 34     | 10: 36 | 10: 36    | 7: 7+7 | 10: 36 | 10: 36 | 10: 36
c.GPO          |       | =      | 11: 38 | 11: 38    | 24: 64 | 24: 64    | 7: 7+7 | 26: 68 | 26: 68 | 26: 68
u.CSP          |       |        | =      | same      | 11: 38 | 11: 38    | 7: 7+7 | 11: 38 | 11: 38 | 11: 38
u.CSP reg      |       |        |        | =         | 11: 38 | 11: 38    | 7: 7+7 | 11: 38 | 11: 38 | 11: 38
d.CSP          |       |        |        |           | =      | same      | 7: 7+7 | 27: 70 | 27: 70 | 27: 70
d.CSP reg      |       |        |        |           |        | =         | 7: 7+7 | 27: 70 | 27: 70 | 27: 70
EAS            |       |        |        |           |        |           | =      | 7: 14  | 7: 14  | 7: 14
env            |       |        |        |           |        |           |        | =      | 29: 74 | 29: 74
file           |       |        |        |           |        |           |        |        | =      | 29: 74
object         |       |        |        |           |        |           |        |        |        | =
`;

const LEGEND = `x: itself. +…: what follows from it. d: for some values the defaults of both lengths instead.
.: has a place there, in which it does not count. -: has no place there.
use: UsePassportForWork. hw: hardware, of this library. lo, up, di: lowercase and uppercase letters, digits.`;

/** The consequences of a setting, for the printed matrix. */
const SHORT: Partial<Record<string, string>> = {
  UsePassportForWork: '+use',
  hardware: '+hw',
  'PINComplexity/LowercaseLetters': '+lo',
  'PINComplexity/UppercaseLetters': '+up',
  'PINComplexity/Digits': '+di',
};

/**
 * What one value of a setting, alone, does to a policy in which nothing is set, as LEGEND says; empty where the source
 * has no place for it.
 */
function effectOf(documents: PolicyDocuments, source: Source, name: WindowsSettingName, value: Value): string[] {
  const plain = mergePolicy([], { documents });
  let reading: PolicyReading | undefined;
  try {
    reading = settingFrom(source, name, value);
  } catch (error) {
    // The variables take only lengths that are right.
    if (error instanceof PolicyError && source === 'environment' && (value === 3 || value === 128)) return [];
    throw error;
  }
  if (reading === undefined) return [];
  if (reading.layers.length === 0) {
    expect(mergePolicy(reading.layers, { documents })).toEqual(plain);
    const isForeignKey = WINDOWS_SETTINGS[name].gpo?.key.startsWith(GPO_KEY) === false;
    const isPassedOver = source === 'environment' ? value === '' : source === 'user GPO' && isForeignKey;
    const problems = reading.ignored.map(({ problem }) => problem);
    expect(problems).toEqual(isPassedOver ? [] : ['applies only to the machine']);
    return isPassedOver ? [] : ['.'];
  }
  const allNotAllowed = documents === '2016' && name === 'PINComplexity/Digits' && value === 2;
  if (allNotAllowed) {
    expect(() => mergePolicy(reading.layers, { documents })).toThrow('pin: allows no characters');
    return ['x'];
  }
  const merged = mergePolicy(reading.layers, { documents });
  const fallsBack = FALLING_BACK[documents][name]?.includes(value) === true;
  expect(merged.windows[name]).toBe(fallsBack ? plain.windows[name] : value);
  const { windows, policy } = differences(plain, merged);
  expect(policy.toSorted()).toEqual(windows.flatMap((changed) => POLICY_OF[changed] ?? []).toSorted());
  const others = windows.filter((changed) => changed !== name);
  const set = Object.keys(reading.layers[0]?.values ?? {});
  const explained = name === 'RequireSecurityDevice' ? [...set, 'hardware'] : set;
  expect(
    setBy(merged)
      .map(({ setting }) => setting)
      .toSorted(),
  ).toEqual(explained.toSorted());
  const own = merged.explanation.find(({ setting }) => setting === name);
  expect([own?.winner === undefined, own?.overridden.length]).toEqual([fallsBack, fallsBack ? 1 : 0]);
  const hardware = policy.filter((part) => part === 'hardware');
  return [fallsBack ? 'd' : 'x', ...[...others, ...hardware].map((other) => SHORT[other] ?? other)];
}

/** Sorts `x` and `d` before the consequences. */
const byKind = (a: string, b: string): number => 'xd+'.indexOf(a.charAt(0)) - 'xd+'.indexOf(b.charAt(0));

function toggleMatrix(documents: PolicyDocuments): string {
  const rows = WINDOWS_SETTING_NAMES.map((name) => [
    name,
    ...SOURCES.map((source) => {
      const effects = new Set(valuesOf(name).flatMap((value) => effectOf(documents, source, name, value)));
      return effects.size === 0 ? '-' : [...effects].sort(byKind).join('');
    }),
  ]);
  return table([[documents, ...SOURCES.map(shortName)], ...rows]);
}

describe('each setting from each source, through its reader', () => {
  it.each(['current', '2016'] as const)('changes itself and what is documented to follow: %s', (documents) => {
    const matrix = toggleMatrix(documents);
    console.log(`What each setting changes, set alone, after the ${documents} documents\n${LEGEND}\n${matrix}\n`);
    expect(matrix).toBe(MATRIX[documents].trim());
  });

  it('an empty variable is not set', () => {
    expect(settingFrom('environment', 'DeviceUnlock/GroupA', '')?.layers).toEqual([]);
  });

  /** Rules of DeviceLock, with the settings that they make. */
  const DEVICE_LOCK: readonly (readonly [Record<string, number>, Partial<Record<string, Value>>])[] = [
    [{ MinDevicePasswordLength: 4 }, { MinimumPINLength: 4 }],
    [{ MinDevicePasswordLength: 16 }, { MinimumPINLength: 16 }],
    [{ DevicePasswordHistory: 50 }, { History: 50 }],
    [{ DevicePasswordExpiration: 730 }, { Expiration: 730 }],
    [{ AlphanumericDevicePasswordRequired: 0 }, { Digits: 1 }],
    [{ AlphanumericDevicePasswordRequired: 1 }, {}],
    [{ AlphanumericDevicePasswordRequired: 2 }, {}],
    [{ MinDevicePasswordComplexCharacters: 4 }, {}],
    [{ MinDevicePasswordComplexCharacters: 4, AlphanumericDevicePasswordRequired: 1 }, {}],
    [{ MinDevicePasswordComplexCharacters: 1, AlphanumericDevicePasswordRequired: 0 }, { Digits: 1 }],
    [
      { MinDevicePasswordComplexCharacters: 2, AlphanumericDevicePasswordRequired: 0 },
      { Digits: 1, LowercaseLetters: 1 },
    ],
    [
      { MinDevicePasswordComplexCharacters: 3, AlphanumericDevicePasswordRequired: 0 },
      { Digits: 1, LowercaseLetters: 1, UppercaseLetters: 1 },
    ],
    [
      { MinDevicePasswordComplexCharacters: 4, AlphanumericDevicePasswordRequired: 0 },
      { Digits: 1, LowercaseLetters: 1, UppercaseLetters: 1, SpecialCharacters: 1 },
    ],
    [{ DevicePasswordEnabled: 0 }, {}],
    [{ DevicePasswordEnabled: 0, MinDevicePasswordLength: 9 }, { MinimumPINLength: 9 }],
    [{ DevicePasswordEnabled: 1, MinDevicePasswordLength: 9, DevicePasswordHistory: 9 }, {}],
  ];
  it.each(DEVICE_LOCK)('the DeviceLock rules %j make %j', (rules, settings) => {
    const plain = mergePolicy([]);
    const { windows } = mergePolicy(fromDeviceLock(rules)?.layers ?? []);
    const named = Object.entries(settings).map(([name, value]) => [`PINComplexity/${name}`, value]);
    expect(windows).toEqual({ ...plain.windows, ...Object.fromEntries(named) });
  });

  /** The own settings, each value of them, with the variable, and all that differs then. */
  const OWN: readonly (readonly [string, string, unknown, string, PolicyDocuments, readonly string[]])[] = [
    ['hardware', 'HARDWARE', 'required', 'required', 'current', ['RequireSecurityDevice', 'hardware']],
    ['hardware', 'HARDWARE', 'preferred', 'preferred', 'current', []],
    ['hardware', 'HARDWARE', 'discouraged', 'discouraged', 'current', ['hardware']],
    ['virtualTpm', 'VIRTUAL_TPM', 'allow', 'allow', 'current', []],
    ['virtualTpm', 'VIRTUAL_TPM', 'refuse', 'refuse', 'current', ['virtualTpm']],
    ['attestation', 'ATTESTATION', 'required', 'required', 'current', ['attestation']],
    ['attestation', 'ATTESTATION', 'preferred', 'preferred', 'current', []],
    ['attestation', 'ATTESTATION', 'none', 'none', 'current', ['attestation']],
    ['algorithm', 'ALGORITHM', 'rsa-2048', 'rsa-2048', 'current', []],
    ['algorithm', 'ALGORITHM', 'rsa-3072', 'rsa-3072', 'current', ['algorithm']],
    ['algorithm', 'ALGORITHM', 'p-256', 'p-256', 'current', ['algorithm']],
    ['algorithm', 'ALGORITHM', 'p-384', 'p-384', 'current', ['algorithm']],
    ['allowedAlgorithms', 'ALLOWED_ALGORITHMS', ['rsa-2048'], 'rsa-2048', 'current', ['allowedAlgorithms']],
    [
      'allowedAlgorithms',
      'ALLOWED_ALGORITHMS',
      ['p-384', 'p-256'],
      'p-384,p-256',
      'current',
      ['algorithm', 'allowedAlgorithms'],
    ],
    ['pin', 'PIN_NUMERIC_ONLY_STRICT', { numericOnlyStrict: false }, 'false', 'current', []],
    ['pin', 'PIN_NUMERIC_ONLY_STRICT', { numericOnlyStrict: true }, 'true', '2016', []],
    ...(['current', '2016'] as const).map(
      (documents) =>
        [
          'pin',
          'PIN_NUMERIC_ONLY_STRICT',
          { numericOnlyStrict: documents === 'current' },
          String(documents === 'current'),
          documents,
          [
            'PINComplexity/UppercaseLetters',
            'PINComplexity/LowercaseLetters',
            'PINComplexity/SpecialCharacters',
            'PINComplexity/Digits',
            'pin.uppercase',
            'pin.lowercase',
            'pin.special',
            'pin.digits',
          ],
        ] as const,
    ),
  ];
  it.each(OWN)(
    '%s (%s) %j: %s after the %s documents changes %j',
    (name, variable, value, text, documents, changed) => {
      const plain = mergePolicy([], { documents });
      const fromEnvironment = layerFromEnvironment({ [`KEYPROV_POLICY_${variable}`]: text });
      for (const layer of [
        fromEnvironment,
        parseLayer(JSON.stringify({ [name]: value })),
        layerOf({ [name]: value }),
      ]) {
        const { windows, policy } = differences(plain, mergePolicy(layer ? [layer] : [], { documents }));
        expect([...windows, ...policy]).toEqual(changed);
      }
    },
  );
});

describe('of two sources that set a setting', () => {
  /** Two values other than the default; for numbers, the smaller one first. */
  const TWO: Partial<Record<WindowsSettingName, readonly [number, number]>> = {
    'PINComplexity/MinimumPINLength': [8, 10],
    'PINComplexity/MaximumPINLength': [20, 30],
    'PINComplexity/History': [5, 24],
    'PINComplexity/Expiration': [42, 90],
  };
  const pairsOf = (name: WindowsSettingName): readonly (readonly [Value, Value])[] => {
    const { kind } = WINDOWS_SETTINGS[name];
    const values: readonly Value[] =
      TWO[name] ?? (kind === 'boolean' ? [false, true] : kind === 'use' ? [0, 1, 2] : ['a', 'b']);
    return values.flatMap((high) => values.filter((low) => low !== high).map((low) => [high, low] as const));
  };
  const isPassport = (source: Source): boolean => source.includes('GPO') || source.includes('CSP');
  const plainName = (source: Source): string => source.replace(' (registry)', '');

  /** The stricter value of a PIN rule, implemented independently. */
  function strictest(name: WindowsSettingName, passport: Value, eas: Value): Value {
    if (name === 'PINComplexity/Expiration') return Math.min(Number(passport), Number(eas));
    if (WINDOWS_SETTINGS[name].kind === 'use') return passport === 0 ? eas : passport;
    return Math.max(Number(passport), Number(eas));
  }

  function winsOf(high: Source, low: Source): { settings: number; higher: number; stricter: number } {
    const counts = { settings: 0, higher: 0, stricter: 0 };
    for (const name of WINDOWS_SETTING_NAMES) {
      let isShared = false;
      for (const [a, b] of pairsOf(name)) {
        const [above, below] = [settingFrom(high, name, a), settingFrom(low, name, b)];
        if (!above?.layers.length || !below?.layers.length) continue;
        isShared = true;
        const layers = [...above.layers, ...below.layers];
        const wanted = low === 'EAS' && isPassport(high) ? strictest(name, a, b) : a;
        for (const order of [layers, layers.toReversed()]) {
          const merged = mergePolicy(order);
          expect([high, low, name, a, b, merged.windows[name]]).toEqual([high, low, name, a, b, wanted]);
          const why = merged.explanation.find(({ setting }) => setting === name);
          expect([why?.winner?.source, why?.overridden.length]).toEqual([
            (wanted === a ? above : below).layers[0]?.source,
            1,
          ]);
          expect(mergePolicy(order, { pinConflict: 'passport' }).windows[name]).toBe(a);
        }
        if (wanted === a) counts.higher++;
        else counts.stricter++;
      }
      if (isShared) counts.settings++;
    }
    return counts;
  }

  it('the higher one decides, or the stricter rule of EAS', () => {
    const rows = SOURCES.map((high, index) => [
      shortName(high),
      ...SOURCES.map((low, column) => {
        if (column <= index) return column === index ? '=' : '';
        if (plainName(high) === plainName(low)) return 'same'; // two ways to one rank
        const { settings, higher, stricter } = winsOf(high, low);
        return `${settings}: ${higher}${stricter > 0 ? `+${stricter}` : ''}`;
      }),
    ]);
    const matrix = table([['higher \\ lower', ...SOURCES.map(shortName)], ...rows]);
    console.log(
      `Settings that both sources can set: pairs of values that the higher one decided, + those of a stricter EAS\n${matrix}\n`,
    );
    expect(matrix).toBe(PRECEDENCE.trim());
  });
});
