import { PolicyError, type PolicyProblem, type PolicySource } from '../errors/policy-error.ts';
import { isJsonObject } from '../json.ts';
import { checkMembers } from '../known-members.ts';
import { type PolicySettings, parseSettings, readSettings } from './define-policy.ts';
import { characterUse, PIN_CLASSES, PIN_NUMBERS, PIN_SETTING_NAMES, type PinSettings } from './pin-policy.ts';
import { countsFor, type LayerValues, type PolicyLayer, type PolicyScope, settingValue } from './policy-layer.ts';

import {
  isWindowsSettingName,
  WINDOWS_SETTING_NAMES,
  WINDOWS_SETTINGS,
  type WindowsSettings,
} from './windows-settings.ts';
import { didYouMean, settingsOf, show } from './wording.ts';

/** The settings in an object or a JSON file. */
export interface LayerSettings extends PolicySettings {
  /** Settings by their Windows names, as in {@link WindowsSettings}. */
  readonly windows?: Partial<WindowsSettings> | undefined;
}

/** Options of {@link layerOf} and {@link parseLayer}. */
export interface LayerOptions {
  /** Default `object`, or `file` for {@link parseLayer}. Another source gives the settings its rank. */
  readonly source?: PolicySource | undefined;
  /** Default `machine`. */
  readonly scope?: PolicyScope | undefined;
  /** Where the settings are, for people. Default `the caller's settings`, or `settings file` for {@link parseLayer}. */
  readonly origin?: string | undefined;
}

const LAYER_MEMBERS = 'source:=gpo|csp|eas|environment|command-line|file|object? scope:=user|machine? origin:text?';

/** Makes a layer from an object. @throws PolicyError that lists every wrong setting. */
export function layerOf(settings: LayerSettings, options: LayerOptions = {}): PolicyLayer {
  options = checkMembers('layerOf', options, LAYER_MEMBERS);
  const { source = 'object', scope = 'machine', origin = "the caller's settings" } = options;
  return readLayer(settings, { source, scope, origin });
}

/** Makes a layer from a JSON text: one object like {@link LayerSettings}. @throws PolicyError like {@link layerOf}. */
export function parseLayer(json: string, options: LayerOptions = {}): PolicyLayer {
  options = checkMembers('parseLayer', options, LAYER_MEMBERS);
  const { source = 'file', scope = 'machine', origin = 'settings file' } = options;
  return readLayer(parseSettings(json), { source, scope, origin });
}

/** Makes a layer from a value like {@link LayerSettings}. @throws PolicyError that lists every wrong setting. */
export function readLayer(given: unknown, from: Omit<PolicyLayer, 'values'>): PolicyLayer {
  const problems: PolicyProblem[] = [];
  const { pin, ...own } = readSettings(given, problems, ['windows']);
  const byWindows = readWindows(given, from, problems);
  const byPin = pin === undefined ? {} : pinValues(pin);
  for (const name of WINDOWS_SETTING_NAMES) {
    const other = Object.hasOwn(byPin, name)
      ? 'pin'
      : name === 'RequireSecurityDevice'
        ? own.hardware && 'hardware'
        : undefined;
    if (other === undefined || !Object.hasOwn(byWindows, name)) continue;
    problems.push({ setting: `windows.${name}`, problem: `is also set in ${other}`, expected: 'one of the two' });
  }
  if (problems.length > 0) throw new PolicyError(problems);
  return { ...from, values: { ...own, ...byWindows, ...byPin } };
}

function readWindows(
  given: unknown,
  { source, scope }: Omit<PolicyLayer, 'values'>,
  problems: PolicyProblem[],
): LayerValues {
  if (!isJsonObject(given) || given.windows === undefined) return {};
  const { windows } = given;
  if (!isJsonObject(windows)) {
    problems.push({ setting: 'windows', problem: `is ${show(windows)}`, expected: 'an object of settings' });
    return {};
  }
  const values: Record<string, unknown> = {};
  for (const [name, raw] of settingsOf(windows, WINDOWS_SETTING_NAMES)) {
    const setting = `windows.${name}`;
    if (!isWindowsSettingName(name)) {
      const problem = `unknown setting${didYouMean(name, WINDOWS_SETTING_NAMES)}`;
      problems.push({ setting, problem, expected: 'the name of a Windows setting' });
      continue;
    }
    const place = WINDOWS_SETTINGS[name][source === 'csp' ? 'csp' : 'gpo'];
    if ((source === 'gpo' || source === 'csp') && (place === undefined || !countsFor(scope, place))) {
      const problem = place === undefined ? `cannot be set by ${source}` : 'applies only to the machine';
      problems.push({ setting, problem, expected: 'another source or scope' });
    }
    const read = settingValue(name, raw);
    if ('value' in read) values[name] = read.value;
    else if (raw !== undefined) problems.push({ setting, ...read });
  }
  return values;
}

/** The settings of a PIN under their Windows names. */
function pinValues(pin: PinSettings): LayerValues {
  const values: Record<string, boolean | number> = {};
  for (const name of PIN_NUMBERS) if (pin[name] !== undefined) values[PIN_SETTING_NAMES[name]] = pin[name];
  for (const name of PIN_CLASSES) {
    if (pin[name] !== undefined) values[PIN_SETTING_NAMES[name]] = characterUse(pin[name]);
  }
  if (pin.numericOnlyStrict !== undefined) values.numericOnlyStrict = pin.numericOnlyStrict;
  return values;
}
