import { checkList } from '../bytes.ts';
import { PolicyError, type PolicyProblem } from '../errors/policy-error.ts';
import { checkMembers } from '../known-members.ts';
import { completePolicy, type Policy, type ReadSettings } from './define-policy.ts';
import {
  characterUse,
  PIN_CHARACTER_USES,
  PIN_CLASSES,
  PIN_NUMBERS,
  PIN_SETTING_NAMES,
  type PinPolicy,
  type PinSettings,
} from './pin-policy.ts';
import { type PolicyLayer, settingValue } from './policy-layer.ts';
import { byRank, type SettledValue, settle } from './precedence.ts';
import {
  type PolicyDocuments,
  WINDOWS_SETTING_NAMES,
  WINDOWS_SETTINGS,
  type WindowsSettingName,
  type WindowsSettings,
} from './windows-settings.ts';

/** Options of {@link mergePolicy}. */
export interface MergeOptions {
  /** The Microsoft documents whose defaults apply. Default `current`. */
  readonly documents?: PolicyDocuments | undefined;
  /**
   * How to combine the PIN rules of PassportForWork with those of Exchange ActiveSync and DeviceLock. `strictest`: the
   * stricter value of each rule. `passport`: PassportForWork's rules. Default `strictest`; `passport` with the
   * documents of 2016.
   */
  readonly pinConflict?: 'strictest' | 'passport' | undefined;
}

/** The members of {@link MergeOptions}, for `checkMembers`. */
export const MERGE_MEMBERS = 'documents:=2016|current? pinConflict:=strictest|passport?';

/** Why a setting, of Windows or of this library, has its value. */
export interface SettingExplanation extends SettledValue {
  readonly setting: WindowsSettingName | Exclude<keyof Policy, 'pin'> | 'numericOnlyStrict';
}

/** The result of merging layers. */
export interface MergedPolicy {
  readonly policy: Policy;
  /** True if a source sets a PIN rule; otherwise the policy has the default rules. */
  readonly setsPinRules: boolean;
  /** Every setting of Windows with its effective value. */
  readonly windows: WindowsSettings;
  /** Every setting with its reason: those of Windows in the order of the table, then this library's own. */
  readonly explanation: readonly SettingExplanation[];
}

/**
 * Merges layers as Windows does, setting by setting: Group Policy (user before computer), the CSP (user before device),
 * Exchange ActiveSync, then this library's environment variables, command line, files and objects. If layers have the
 * same rank, the first one wins. `hardware` and `RequireSecurityDevice` are one setting.
 *
 * @throws PolicyError if effective settings contradict each other; TypeError for a layer with an invalid value.
 */
export function mergePolicy(layers: readonly PolicyLayer[], options: MergeOptions = {}): MergedPolicy {
  checkList(layers, 'the layers');
  options = checkMembers('mergePolicy', options, MERGE_MEMBERS);
  const { documents = 'current', pinConflict = documents === '2016' ? 'passport' : 'strictest' } = options;
  const ranked = byRank(layers);
  const reason = `nothing sets it: the ${documents} default`;
  const strict = settle(ranked, 'numericOnlyStrict', { value: documents === '2016', reason });
  const isStrict = strict.value === true;
  const hardware = settle(ranked, 'hardware', { value: 'preferred', reason });

  const settled = new Map<WindowsSettingName, SettledValue>();
  for (const name of WINDOWS_SETTING_NAMES) {
    const { kind, defaults } = WINDOWS_SETTINGS[name];
    const isUse = kind === 'use';
    const fallback = {
      value: defaults[isUse ? (isStrict ? '2016' : 'current') : documents],
      reason: isUse && isStrict ? 'nothing sets it: a PIN is numeric by default' : reason,
    };
    settled.set(name, settle(ranked, name, fallback, pinConflict));
  }
  settled.set('RequireSecurityDevice', { ...hardware, value: hardware.value === 'required' });
  if (documents === '2016' && !ranked.some(({ source }) => source === 'csp')) defaultTo2016(settled);
  fallBackToDefaultLengths(settled, documents);

  const problems: PolicyProblem[] = [];
  const own: ReadSettings = { pin: pinOf(settled, isStrict) };
  for (const { values } of ranked.toReversed()) {
    for (const name of ['virtualTpm', 'algorithm', 'allowedAlgorithms', 'attestation'] as const) {
      if (values[name] !== undefined) Object.assign(own, { [name]: values[name] });
    }
  }
  if (hardware.value === 'required' || hardware.value === 'discouraged') own.hardware = hardware.value;
  const policy = completePolicy(own, documents, problems);
  explainDefaultComplexity(settled, policy.pin);
  if (problems.length > 0) throw new PolicyError(problems);
  const windows: object = Object.fromEntries([...settled].map(([name, { value }]) => [name, value]));
  if (!isWindowsSettings(windows))
    throw new TypeError('a policy layer has an invalid value: use layers that a keyprov function returned');

  const explanation: SettingExplanation[] = [...settled].map(([setting, why]) => ({ setting, ...why }));
  explanation.push({ setting: 'hardware', ...hardware });
  for (const setting of ['virtualTpm', 'algorithm', 'allowedAlgorithms', 'attestation'] as const) {
    explanation.push({ setting, ...settle(ranked, setting, { value: policy[setting], reason }) });
  }
  explanation.push({ setting: 'numericOnlyStrict', ...strict });
  const setsPinRules = explanation.some(({ setting, winner }) => isPinRule(setting) && winner !== undefined);
  return { policy, setsPinRules, windows: Object.freeze(windows), explanation };
}

const isPinRule = (setting: string): boolean => setting.startsWith('PINComplexity/') || setting === 'numericOnlyStrict';

/** The documents of 2016: on a machine without a CSP, not configured means a PIN that only wraps the password. */
function defaultTo2016(settled: Map<WindowsSettingName, SettledValue>): void {
  if (settled.get('UsePassportForWork')?.winner !== undefined) return;
  const reason = 'nothing sets it: by the 2016 default, the PIN of an unmanaged device is not backed by a key';
  settled.set('UsePassportForWork', { value: false, overridden: [], reason });
}

/** If a length is out of range, or the minimum is not below the maximum, both become the defaults. */
function fallBackToDefaultLengths(settled: Map<WindowsSettingName, SettledValue>, documents: PolicyDocuments): void {
  const names = [PIN_SETTING_NAMES.minLength, PIN_SETTING_NAMES.maxLength] as const;
  const [min, max] = names.map((name) => Number(settled.get(name)?.value));
  if (min === undefined || max === undefined || (min >= 4 && min < max && max <= 127)) return;
  const outside = min < 4 || min > 127 ? `minimum ${min}` : max < 4 || max > 127 ? `maximum ${max}` : undefined;
  const problem = outside ? `${outside} is outside 4 to 127` : `minimum ${min} is not below maximum ${max}`;
  const reason = `${problem}, so both defaults apply`;
  for (const name of names) replace(settled, name, Number(WINDOWS_SETTINGS[name].defaults[documents]), reason);
}

/** If all sets of characters are allowed and none is required, that may mean a numeric PIN. */
function explainDefaultComplexity(settled: Map<WindowsSettingName, SettledValue>, pin: PinPolicy): void {
  for (const name of PIN_CLASSES) {
    const value = characterUse(pin[name]);
    if (settled.get(PIN_SETTING_NAMES[name])?.value === value) continue;
    const reason = 'all four sets of characters were set to allowed, which means a numeric PIN';
    replace(settled, PIN_SETTING_NAMES[name], value, reason);
  }
}

/** Replaces a settled value, which is then listed as overridden. */
function replace(
  settled: Map<WindowsSettingName, SettledValue>,
  name: WindowsSettingName,
  value: number,
  reason: string,
): void {
  const { winner, value: before = value, overridden = [] } = settled.get(name) ?? {};
  const lost = winner === undefined ? [] : [{ layer: winner, value: before, reason }];
  settled.set(name, { value, overridden: [...lost, ...overridden], reason });
}

function pinOf(settled: ReadonlyMap<WindowsSettingName, SettledValue>, numericOnlyStrict: boolean): PinSettings {
  const pin: { -readonly [Name in keyof PinSettings]: PinSettings[Name] } = { numericOnlyStrict };
  const numberOf = (name: keyof PinPolicy): number => Number(settled.get(PIN_SETTING_NAMES[name])?.value);
  for (const name of PIN_NUMBERS) pin[name] = numberOf(name);
  for (const name of PIN_CLASSES) pin[name] = PIN_CHARACTER_USES[numberOf(name)];
  return pin;
}

function isWindowsSettings(values: object): values is WindowsSettings {
  const given = new Map<string, unknown>(Object.entries(values));
  return WINDOWS_SETTING_NAMES.every((name) => 'value' in settingValue(name, given.get(name)));
}
