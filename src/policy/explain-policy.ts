import { checkList } from '../bytes.ts';
import { checkMembers } from '../known-members.ts';
import type { SettingExplanation } from './merge-policy.ts';
import { PIN_CHARACTER_USES, PIN_SETTING_NAMES } from './pin-policy.ts';
import { nameLayer } from './precedence.ts';
import { isWindowsSettingName, WINDOWS_SETTINGS } from './windows-settings.ts';

/** Options of {@link explainPolicy}. */
export interface ExplainPolicyOptions {
  /** Leaves out the settings that no source sets. Default false. */
  readonly onlySet?: boolean | undefined;
}

/**
 * Formats an explanation for people: one line for each setting with its value and the reason, followed by one indented
 * line for each value that was overridden.
 * @throws TypeError for a wrong option.
 *
 * @example
 * ```ts
 * import { explainPolicy, layerFromEnvironment, layerOf, mergePolicy } from 'keyprov/policy';
 *
 * const environment = layerFromEnvironment({ KEYPROV_POLICY_HARDWARE: 'required' });
 * const { explanation } = mergePolicy([layerOf({ hardware: 'preferred' }), ...(environment ? [environment] : [])]);
 * console.log(explainPolicy(explanation, { onlySet: true }));
 * ```
 */
export function explainPolicy(explanation: readonly SettingExplanation[], options: ExplainPolicyOptions = {}): string {
  checkList(explanation, 'the explanation');
  const { onlySet = false } = checkMembers('explainPolicy', options, 'onlySet:boolean?');
  const lines: string[] = [];
  const shown = onlySet ? explanation.filter(isSet) : explanation;
  for (const { setting, value, overridden, reason } of shown) {
    lines.push(`${nameOf(setting)} = ${describe(setting, value)}: ${reason}`);
    for (const other of overridden) {
      lines.push(`  not ${describe(setting, other.value)} from ${nameLayer(other.layer)}: ${other.reason}`);
    }
  }
  return lines.join('\n');
}

/** Whether any source sets the setting. */
export function isSet({ winner, overridden }: SettingExplanation): boolean {
  return winner !== undefined || overridden.length > 0;
}

/** A setting's names: a PIN rule has one of Windows and one of keyprov. */
function nameOf(setting: string): string {
  const [own] = Object.entries(PIN_SETTING_NAMES).find(([, windows]) => windows === setting) ?? [];
  return own === undefined ? setting : `${setting} (pin.${own})`;
}

function describe(setting: string, value: SettingExplanation['value']): string {
  const isUse = isWindowsSettingName(setting) && WINDOWS_SETTINGS[setting].kind === 'use';
  if (isUse && typeof value === 'number') return `${value} (${PIN_CHARACTER_USES[value]})`;
  return typeof value === 'object' ? value.join(', ') : value === '' ? "''" : String(value);
}
