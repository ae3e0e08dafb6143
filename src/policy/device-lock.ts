import type { PolicyProblem } from '../errors/policy-error.ts';
import type { FoundSetting } from './policy-layer.ts';
import type { WindowsSettingName } from './windows-settings.ts';
import { show } from './wording.ts';

/** The DeviceLock settings about passwords that also apply to PINs, with their smallest and largest value. */
const RANGES = {
  DevicePasswordEnabled: [0, 1],
  MinDevicePasswordLength: [4, 16],
  DevicePasswordHistory: [0, 50],
  DevicePasswordExpiration: [0, 730],
  MinDevicePasswordComplexCharacters: [1, 4],
  AlphanumericDevicePasswordRequired: [0, 2],
} as const satisfies Record<string, readonly [number, number]>;

/** The sets of characters in the order in which MinDevicePasswordComplexCharacters requires them. */
const SETS = ['Digits', 'LowercaseLetters', 'UppercaseLetters', 'SpecialCharacters'] as const;

/** One value of the DeviceLock CSP or of Exchange ActiveSync. */
export interface DeviceLockValue {
  readonly name: string;
  readonly value: unknown;
  readonly origin: string;
}

/**
 * Converts DeviceLock values to PIN settings: none if `DevicePasswordEnabled` is 1, which switches them off. Sets of
 * characters are required only if `AlphanumericDevicePasswordRequired` is 0, as its page says. Skips names that are not
 * about the PIN.
 */
export function fromDeviceLock(given: readonly DeviceLockValue[], problems: PolicyProblem[]): FoundSetting[] {
  const numbers = new Map<keyof typeof RANGES, number>();
  let origin = '';
  for (const value of given) {
    const name = Object.keys(RANGES)
      .filter(isKnown)
      .find((known) => known.toLowerCase() === value.name.toLowerCase());
    if (name === undefined) continue;
    const [smallest, largest] = RANGES[name];
    origin ||= value.origin;
    if (typeof value.value === 'number' && value.value >= smallest && value.value <= largest) {
      numbers.set(name, value.value);
    } else {
      const setting = `${value.origin}: ${name}`;
      const problem = `is ${show(value.value)}`;
      problems.push({ setting, problem, expected: `an integer from ${smallest} to ${largest}` });
    }
  }
  const found: FoundSetting[] = [];
  if (numbers.get('DevicePasswordEnabled') === 1) return found;
  const add = (name: WindowsSettingName, value: number | undefined): void => {
    if (value !== undefined) found.push({ source: 'eas', scope: 'machine', name, value, origin });
  };
  add('PINComplexity/MinimumPINLength', numbers.get('MinDevicePasswordLength'));
  add('PINComplexity/History', numbers.get('DevicePasswordHistory'));
  add('PINComplexity/Expiration', numbers.get('DevicePasswordExpiration'));
  if (numbers.get('AlphanumericDevicePasswordRequired') === 0) {
    const sets = SETS.slice(0, numbers.get('MinDevicePasswordComplexCharacters') ?? 1);
    for (const set of sets) add(`PINComplexity/${set}`, 1);
  }
  return found;
}

function isKnown(name: string): name is keyof typeof RANGES {
  return Object.hasOwn(RANGES, name);
}
