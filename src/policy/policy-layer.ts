import type { PolicyProblem, PolicySource } from '../errors/policy-error.ts';
import type { PolicySettings } from './define-policy.ts';
import { WINDOWS_SETTINGS, type WindowsSettingName, type WindowsSettings } from './windows-settings.ts';
import { show } from './wording.ts';

/** Whether a value is for one user or for the machine. */
export type PolicyScope = 'user' | 'machine';

/** What a layer can set: the settings of Windows, and this library's own. */
export interface LayerValues extends Partial<WindowsSettings>, Omit<PolicySettings, 'pin'> {
  /** As in {@link PinSettings}. */
  readonly numericOnlyStrict?: boolean;
}

/** The settings from one place, each of them valid by itself. Plain data. */
export interface PolicyLayer {
  readonly source: PolicySource;
  readonly scope: PolicyScope;
  /** Where that is, for people: a file name, a registry key. */
  readonly origin: string;
  readonly values: LayerValues;
}

/** What a text of Windows held. */
export interface PolicyReading {
  /** One layer for each source and scope that sets anything. */
  readonly layers: readonly PolicyLayer[];
  /** What stands among the settings but is none that counts there: unknown names, machine settings for a user. */
  readonly ignored: readonly PolicyProblem[];
}

/** After so many problems a reader stops, and it keeps so many entries of `ignored`: more than a person would read. */
export const MAX_NOTES = 100;

/** One setting read from a text of Windows. */
export interface FoundSetting {
  readonly source: PolicySource;
  readonly scope: PolicyScope;
  readonly name: WindowsSettingName;
  readonly value: boolean | number | string;
  /** Where it stood. */
  readonly origin: string;
}

/** Gathers settings into one layer for each source and scope; a later one replaces an earlier one of the same name. */
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
 * The value of a Windows setting, from what stands in a registry, a CSP or an object; or what would be right. Lengths
 * of a PIN may be out of their range: Windows then uses the defaults of both, and so does {@link mergePolicy}.
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

/** `user` and `machine` settings: whether a value for a user counts in this place. */
export function countsFor(scope: PolicyScope, place: { readonly scope: 'machine' | 'both' }): boolean {
  return scope === 'machine' || place.scope === 'both';
}
