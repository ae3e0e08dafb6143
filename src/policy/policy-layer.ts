import type { PolicyProblem, PolicySource } from '../errors/policy-error.ts';
import type { PolicySettings } from './define-policy.ts';
import { WINDOWS_SETTINGS, type WindowsSettingName, type WindowsSettings } from './windows-settings.ts';
import { show } from './wording.ts';

/** Whether a value is for one user or for the machine. */
export type PolicyScope = 'user' | 'machine';

/** The values that a layer can set: the settings of Windows, and this library's own. */
export interface LayerValues extends Partial<WindowsSettings>, Omit<PolicySettings, 'pin'> {
  /** See {@link PinSettings}. */
  readonly numericOnlyStrict?: boolean;
}

/** The settings from one source, each of them valid. Plain data. */
export interface PolicyLayer {
  readonly source: PolicySource;
  readonly scope: PolicyScope;
  /** The place, for people: a file name, a registry key. */
  readonly origin: string;
  readonly values: LayerValues;
}

/** The contents of a Windows policy text. */
export interface PolicyReading {
  /** One layer for each source and scope that sets anything. */
  readonly layers: readonly PolicyLayer[];
  /** What has no effect: unknown names, machine settings for a user, and a `userSid` or `tenantId` without settings. */
  readonly ignored: readonly PolicyProblem[];
  /** What was expected, if a file contains no setting that this library knows. Only from {@link readPolicyFile}. */
  readonly nothingKnown?: NothingKnown;
}

/** The form of a file without a known setting, and where one is expected. */
export interface NothingKnown {
  readonly form: 'json' | 'registry-export' | 'syncml';
  readonly expected: string;
}

/** Expected in place of an unknown name. */
export const KNOWN_NAME = 'a known name';
/** Expected in place of an unknown node. */
export const KNOWN_NODE = 'a known node';

/**
 * How many problems a reader reports before it stops, and how many `ignored` entries it keeps: more than anyone reads.
 */
export const MAX_NOTES = 100;

/** What to report if a user or tenant was chosen, and only others have settings. */
export function unchosen(
  option: 'userSid' | 'tenantId',
  chosen: string | undefined,
  seen: ReadonlySet<string>,
  others: ReadonlySet<string>,
): PolicyProblem[] {
  if (chosen === undefined || seen.size > 0 || others.size === 0) return [];
  const whose = option === 'userSid' ? 'users' : 'tenants';
  const expected = [...others].sort().slice(0, 5).join(', ');
  const problem = `${chosen} is not one of the ${whose} with settings here (${expected})`;
  return [{ setting: option, problem, expected }];
}

/** One setting read from a Windows policy text. */
export interface FoundSetting {
  readonly source: PolicySource;
  readonly scope: PolicyScope;
  readonly name: WindowsSettingName;
  readonly value: boolean | number | string;
  /** The place where it was found. */
  readonly origin: string;
}

/**
 * Gathers settings into one layer for each source and scope; a later setting replaces an earlier one of the same name.
 */
export function toLayers(found: readonly FoundSetting[]): PolicyLayer[] {
  const layers = new Map<string, { readonly first: FoundSetting; readonly values: Record<string, unknown> }>();
  for (const setting of found) {
    const key = `${setting.source}/${setting.scope}`;
    const layer = layers.get(key) ?? { first: setting, values: {} };
    layers.set(key, layer);
    layer.values[setting.name] = setting.value;
  }
  return [...layers.values()].map(({ first: { source, scope, origin }, values }) => ({
    source,
    scope,
    origin,
    values,
  }));
}

/**
 * Converts the value of a Windows setting from a registry, a CSP or an object; for a wrong value says what is expected.
 * Lengths of a PIN may be out of range: Windows then uses both defaults, and so does {@link mergePolicy}.
 */
export function settingValue(
  name: WindowsSettingName,
  raw: unknown,
): { readonly value: boolean | number | string } | { readonly problem: string; readonly expected: string } {
  const { kind, range: [smallest, largest] = [0, 2] } = WINDOWS_SETTINGS[name];
  const wrong = (expected: string) => ({ problem: `is ${show(raw)}`, expected });
  if (kind === 'boolean') return typeof raw === 'boolean' ? { value: raw } : wrong('true or false');
  if (kind === 'text') return typeof raw === 'string' ? { value: raw } : wrong('text');
  const isLength = name === 'PINComplexity/MinimumPINLength' || name === 'PINComplexity/MaximumPINLength';
  if (typeof raw === 'number' && Number.isSafeInteger(raw) && raw >= 0) {
    if (isLength || (raw >= smallest && raw <= largest)) return { value: raw };
  }
  return wrong(
    kind === 'use' ? '0 (allowed), 1 (required) or 2 (not allowed)' : `an integer from ${smallest} to ${largest}`,
  );
}

/** Tells whether a value of this scope has an effect in this place. */
export function countsFor(scope: PolicyScope, place: { readonly scope: 'machine' | 'both' }): boolean {
  return scope === 'machine' || place.scope === 'both';
}
