import type { LayerValues, PolicyLayer } from './policy-layer.ts';
import type { WindowsSettingName } from './windows-settings.ts';

/** A value of a setting of any kind. */
export type PolicyValue = boolean | number | string | readonly string[];

/** The source of a value: a layer without its values. */
export type LayerName = Omit<PolicyLayer, 'values'>;

/** Why a setting has its value. */
export interface SettledValue {
  /** The effective value. */
  readonly value: PolicyValue;
  /** The layer that set it; absent for a default. */
  readonly winner?: LayerName;
  /** The overridden values, and why; the highest in rank first. */
  readonly overridden: readonly OverriddenValue[];
  /** Why this value is effective: a sentence without its period. */
  readonly reason: string;
}

/** A value that was set but has no effect. */
export interface OverriddenValue {
  readonly layer: LayerName;
  readonly value: PolicyValue;
  /** A sentence without its period. */
  readonly reason: string;
}

/** A value that a layer sets. */
interface Candidate {
  readonly layer: LayerName;
  readonly value: PolicyValue;
}

/** The sources by rank, highest first. Of one source, the user's layer is above the machine's. */
const SOURCES = ['gpo', 'csp', 'eas', 'environment', 'command-line', 'file', 'object'];

/** Sorts layers by rank, highest first; those of the same rank keep their order. */
export function byRank(layers: readonly PolicyLayer[]): PolicyLayer[] {
  const rank = ({ scope, source }: PolicyLayer): number => 2 * SOURCES.indexOf(source) + (scope === 'user' ? 0 : 1);
  return [...layers].sort((a, b) => rank(a) - rank(b));
}

/** The name of a layer for people: `user GPO (key)`. */
export function nameLayer({ source, scope, origin }: LayerName): string {
  const whose = scope === 'user' ? 'user' : source === 'gpo' ? 'computer' : source === 'csp' ? 'device' : '';
  const isOurs = source !== 'gpo' && source !== 'csp' && source !== 'eas';
  const what = isOurs ? source.replace('-', ' ') : source.toUpperCase();
  const name = `${whose} ${what}`.trim();
  return origin === name ? name : `${name} (${origin})`;
}

/** Finds the value with the highest rank for this name, with the overridden values and the reasons. */
export function settle(
  ranked: readonly PolicyLayer[],
  name: keyof LayerValues,
  fallback: { readonly value: PolicyValue; readonly reason: string },
  pinConflict: 'strictest' | 'passport' = 'passport',
): SettledValue {
  const candidates = ranked.flatMap(({ values, ...layer }): Candidate[] => {
    const value = name === 'hardware' ? hardwareOf(values) : values[name];
    return value === undefined ? [] : [{ layer, value }];
  });
  const [first] = candidates;
  if (first === undefined) return { value: fallback.value, overridden: [], reason: fallback.reason };
  const eas = candidates.find(({ layer }) => layer.source === 'eas');
  const isEas = pinConflict === 'strictest' && isPassport(first) && eas && isStricter(name, eas.value, first.value);
  const winner = isEas ? eas : first;
  const overridden = candidates
    .filter((other) => other !== winner)
    .map((loser) => ({ ...loser, reason: whyOverridden(winner, loser, pinConflict) }));
  return { value: winner.value, winner: winner.layer, overridden, reason: `set by ${nameLayer(winner.layer)}` };
}

/** `hardware` and `RequireSecurityDevice` are two names of one setting. */
function hardwareOf({ hardware, RequireSecurityDevice: required }: LayerValues): PolicyValue | undefined {
  if (hardware !== undefined || required === undefined) return hardware;
  return required ? 'required' : 'preferred';
}

function isPassport({ layer: { source } }: Candidate): boolean {
  return source === 'gpo' || source === 'csp';
}

/** Tells whether a rule of the PIN is stricter than another. `required` and `not allowed` are equally strict. */
function isStricter(name: string, value: PolicyValue, than: PolicyValue): boolean {
  const rule: Partial<Record<string, boolean>> = {
    'PINComplexity/MinimumPINLength': value > than,
    'PINComplexity/History': value > than,
    'PINComplexity/MaximumPINLength': value < than,
    'PINComplexity/Expiration': value !== 0 && (than === 0 || value < than),
  } satisfies Partial<Record<WindowsSettingName, boolean>>;
  return rule[name] ?? (name.startsWith('PINComplexity/') && than === 0 && value !== 0);
}

function whyOverridden(winner: Candidate, loser: Candidate, pinConflict: 'strictest' | 'passport'): string {
  const [by, over] = [winner.layer, loser.layer];
  if (by.source === over.source && by.scope === over.scope) return 'a layer of the same rank comes first';
  if (by.source === over.source) return 'the user setting replaces the machine setting';
  if (by.source === 'gpo' && over.source === 'csp') {
    return 'Group Policy takes precedence over the CSP; to use the value of the CSP, clear the setting in Group Policy';
  }
  if (by.source === 'eas') return isPassport(loser) ? 'the EAS rule is stricter' : 'EAS takes precedence';
  if (over.source === 'eas') {
    return pinConflict === 'strictest'
      ? 'the EAS rule is not stricter'
      : 'PassportForWork has taken precedence over EAS since Windows 10 1607';
  }
  return `${nameLayer(by)} takes precedence`;
}
