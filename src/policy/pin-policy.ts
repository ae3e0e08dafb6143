import { PolicyError, type PolicyProblem } from '../errors/policy-error.ts';
import { isJsonObject } from '../json.ts';

import {
  type CharacterUse,
  type PolicyDocuments,
  WINDOWS_SETTINGS,
  type WindowsSettingName,
} from './windows-settings.ts';

import { anyOf, didYouMean, settingsOf, show } from './wording.ts';

/** Whether a PIN may, must or must not use a set of characters. */
export type PinCharacterUse = 'allowed' | 'required' | 'not-allowed';

/** The uses by their number in the registry and in the CSP. */
export const PIN_CHARACTER_USES: readonly PinCharacterUse[] = Object.freeze<PinCharacterUse[]>([
  'allowed',
  'required',
  'not-allowed',
]);

/** The special characters that a PIN may have: all printable ASCII characters except letters, digits and space. */
export const PIN_SPECIAL_CHARACTERS = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~';

/** The rules for a PIN. Frozen. {@link definePinPolicy} makes it. */
export interface PinPolicy {
  /** Minimum length, 4 to 127 characters. */
  readonly minLength: number;
  /** Maximum length, more than `minLength` and up to 127 characters. */
  readonly maxLength: number;
  readonly uppercase: PinCharacterUse;
  readonly lowercase: PinCharacterUse;
  readonly special: PinCharacterUse;
  readonly digits: PinCharacterUse;
  /** How many PINs, including the current one, a new one must differ from, 0 to 50. */
  readonly history: number;
  /** Days after which the PIN must be changed, 0 to 730; 0 for never. */
  readonly expirationDays: number;
}

/** The settings of a {@link PinPolicy} that differ from the defaults. */
export interface PinSettings {
  /** In characters. Default 6; 4 with the documents of 2016. */
  readonly minLength?: number | undefined;
  /** In characters. Default 127. */
  readonly maxLength?: number | undefined;
  /** Default `allowed`; `not-allowed` if `numericOnlyStrict` is true. */
  readonly uppercase?: PinCharacterUse | undefined;
  /** Default `allowed`; `not-allowed` if `numericOnlyStrict` is true. */
  readonly lowercase?: PinCharacterUse | undefined;
  /** Default `allowed`; `not-allowed` if `numericOnlyStrict` is true. */
  readonly special?: PinCharacterUse | undefined;
  /** Default `allowed`; `required` if `numericOnlyStrict` is true. */
  readonly digits?: PinCharacterUse | undefined;
  /** Default 0. */
  readonly history?: number | undefined;
  /** Default 0. */
  readonly expirationDays?: number | undefined;
  /**
   * Whether a PIN is numeric by default. If true, the defaults are `not-allowed` for letters and special characters and
   * `required` for digits; setting all four to `allowed` means the same. Default false; true with the documents of
   * 2016.
   */
  readonly numericOnlyStrict?: boolean | undefined;
}

/** The numeric settings of the PIN. */
type PinNumber = 'minLength' | 'maxLength' | 'history' | 'expirationDays';
/** The settings of the PIN for the use of a set of characters. */
export type PinClass = 'uppercase' | 'lowercase' | 'special' | 'digits';

export const PIN_NUMBERS: readonly PinNumber[] = Object.freeze<PinNumber[]>([
  'minLength',
  'maxLength',
  'history',
  'expirationDays',
]);
export const PIN_CLASSES: readonly PinClass[] = Object.freeze<PinClass[]>([
  'uppercase',
  'lowercase',
  'special',
  'digits',
]);

/** The Windows setting behind each setting of the PIN. */
export const PIN_SETTING_NAMES: Readonly<Record<keyof PinPolicy, WindowsSettingName & `PINComplexity/${string}`>> =
  Object.freeze({
    minLength: 'PINComplexity/MinimumPINLength',
    maxLength: 'PINComplexity/MaximumPINLength',
    uppercase: 'PINComplexity/UppercaseLetters',
    lowercase: 'PINComplexity/LowercaseLetters',
    special: 'PINComplexity/SpecialCharacters',
    digits: 'PINComplexity/Digits',
    history: 'PINComplexity/History',
    expirationDays: 'PINComplexity/Expiration',
  });

const PIN_SETTINGS: readonly string[] = [...PIN_NUMBERS, ...PIN_CLASSES, 'numericOnlyStrict'];

/** The number of a use in the registry and in the CSP. */
export function characterUse(use: PinCharacterUse): CharacterUse {
  return use === 'allowed' ? 0 : use === 'required' ? 1 : 2;
}

/**
 * Completes `settings` with the defaults of these documents.
 * @throws PolicyError that lists every wrong setting.
 */
export function definePinPolicy(settings: PinSettings = {}, documents: PolicyDocuments = 'current'): PinPolicy {
  const problems: PolicyProblem[] = [];
  const policy = completePin(readPinSettings(settings, problems), documents, problems);
  if (problems.length > 0) throw new PolicyError(problems);
  return policy;
}

/**
 * Checks the rules for a PIN: a rule that is missing would not be applied, and a record with wrong ones cannot be read.
 * @throws TypeError if one is missing, as when a complete `Policy` is passed; PolicyError if one is wrong.
 */
export function checkPinRules(rules: unknown): asserts rules is PinPolicy {
  const missing = isJsonObject(rules) ? [...PIN_NUMBERS, ...PIN_CLASSES].find((name) => rules[name] === undefined) : '';
  if (missing !== undefined) {
    const which = missing === '' ? '' : `; '${missing}' is missing`;
    throw new TypeError(`the rules for a PIN must be a PinPolicy, such as a Policy's member 'pin'${which}`);
  }
  definePinPolicy(rules as PinPolicy); // which checks each
}

/** Returns the valid ones of the given settings; adds what is wrong to `problems`, under names like `pin.history`. */
export function readPinSettings(value: unknown, problems: PolicyProblem[]): PinSettings {
  if (!isJsonObject(value)) {
    problems.push({ setting: 'pin', problem: `is ${show(value)}`, expected: 'an object of settings' });
    return {};
  }
  const given = settingsOf(value, PIN_SETTINGS);
  for (const name of given.keys()) {
    if (PIN_SETTINGS.includes(name)) continue;
    const problem = `unknown setting${didYouMean(name, PIN_SETTINGS)}`;
    problems.push({ setting: `pin.${name}`, problem, expected: anyOf(PIN_SETTINGS) });
  }
  const settings: { -readonly [Name in keyof PinSettings]: PinSettings[Name] } = {};
  const wrong = (name: string, expected: string): void => {
    problems.push({ setting: `pin.${name}`, problem: `is ${show(given.get(name))}`, expected });
  };
  for (const name of PIN_NUMBERS) {
    const number = given.get(name);
    const [smallest, largest] = WINDOWS_SETTINGS[PIN_SETTING_NAMES[name]].range ?? [0, 0];
    if (number === undefined) continue;
    if (typeof number === 'number' && Number.isInteger(number) && number >= smallest && number <= largest) {
      settings[name] = number;
    } else wrong(name, `an integer from ${smallest} to ${largest}`);
  }
  for (const name of PIN_CLASSES) {
    const use = given.get(name);
    const found = PIN_CHARACTER_USES.find((choice) => choice === use);
    if (found !== undefined) settings[name] = found;
    else if (use !== undefined) wrong(name, anyOf(PIN_CHARACTER_USES));
  }
  const strict = given.get('numericOnlyStrict');
  if (typeof strict === 'boolean') settings.numericOnlyStrict = strict;
  else if (strict !== undefined) wrong('numericOnlyStrict', 'true or false');
  return settings;
}

/** Makes a PIN policy from these settings; adds contradictions between them to `problems`. */
export function completePin(settings: PinSettings, documents: PolicyDocuments, problems: PolicyProblem[]): PinPolicy {
  const number = (name: PinNumber): number =>
    settings[name] ?? Number(WINDOWS_SETTINGS[PIN_SETTING_NAMES[name]].defaults[documents]);
  const [minLength, maxLength] = [number('minLength'), number('maxLength')];
  if (minLength >= maxLength) {
    const problem = `is ${minLength}, not below maxLength ${maxLength}`;
    problems.push({
      setting: 'pin.minLength',
      problem,
      expected: 'less than maxLength',
      contradicts: ['pin.maxLength'],
    });
  }
  const classes = completeClasses(settings, settings.numericOnlyStrict ?? documents === '2016');
  if (PIN_CLASSES.every((name) => classes[name] === 'not-allowed')) {
    problems.push({ setting: 'pin', problem: 'allows no characters', expected: 'at least one set of characters' });
  }
  return Object.freeze({
    minLength,
    maxLength,
    ...classes,
    history: number('history'),
    expirationDays: number('expirationDays'),
  });
}

type Classes = Pick<PinPolicy, PinClass>;

/** The default complexity: digits only. */
const NUMERIC: Classes = {
  uppercase: 'not-allowed',
  lowercase: 'not-allowed',
  special: 'not-allowed',
  digits: 'required',
};

function completeClasses(settings: PinSettings, strict: boolean): Classes {
  const use = (name: PinClass): PinCharacterUse => settings[name] ?? (strict ? NUMERIC[name] : 'allowed');
  const classes = {
    uppercase: use('uppercase'),
    lowercase: use('lowercase'),
    special: use('special'),
    digits: use('digits'),
  };
  return strict && PIN_CLASSES.every((name) => classes[name] === 'allowed') ? NUMERIC : classes;
}
