import { readFile } from 'node:fs/promises';
import type { Option } from 'commander';
import type { KeyRecord } from '../../keys/key-record.ts';
import {
  layerOf,
  type MergedPolicy,
  mergePolicy,
  type PinPolicy,
  PolicyError,
  type PolicyLayer,
  type PolicyProblem,
  readPolicyFile,
  type SettingExplanation,
} from '../../policy/index.ts';
import { readPinState } from '../../provisioning/pin-state.ts';
import type { Report } from '../terminal/report.ts';
import { type Arguments, valueOption } from './arguments.ts';

/** The settings that have an option of their own. */
const OPTIONS = {
  hardware: 'hardware',
  virtualTpm: 'virtual-tpm',
  algorithm: 'algorithm',
  attestation: 'attestation',
} as const;

const isOptionSetting = (setting: string): setting is keyof typeof OPTIONS => Object.hasOwn(OPTIONS, setting);

/** The options that name files with settings. Any of them takes a file of any kind. */
const FILE_OPTIONS = ['policy', 'policy-reg', 'policy-syncml'] as const;

/** The options of everything that makes a key, besides those that name files. */
export function policyOptions(): Option[] {
  return [
    valueOption('--hardware <need>', 'required, preferred or discouraged (default: preferred)'),
    valueOption('--virtual-tpm <rule>', 'allow or refuse (default: allow)'),
    valueOption('--algorithm <name>', 'rsa-2048, rsa-3072, p-256 or p-384 (default: rsa-2048)'),
    valueOption('--attestation <need>', 'required, preferred or none (default: preferred)'),
    ...policyFileOptions(),
  ];
}

/** The options that name files with settings, and whose settings in them count. */
export function policyFileOptions(): Option[] {
  return [
    valueOption('--policy <file>', 'JSON file with settings, rules for the PIN among them; options override it'),
    valueOption('--policy-reg <file>', 'registry export with the Windows settings: Group Policy goes before options'),
    valueOption('--policy-syncml <file>', 'SyncML with settings of a device management, which go before options too'),
    valueOption('--user-sid <sid>', 'whose settings in a registry export of several users count'),
    valueOption('--policy-tenant <guid>', 'the tenant whose settings count where there are several'),
  ];
}

/**
 * What all sources of settings come to: files of Windows, the file of `--policy`, and options, which take the place of
 * that file's settings. What an option overrides, and what overrides an option, is warned of. Every wrong setting is a
 * problem of `given`, with where it comes from; then it is undefined.
 */
export async function readPolicy(given: Arguments, report: Report): Promise<MergedPolicy | undefined> {
  const before = given.problems.length;
  const wanted = optionSettings(given);
  const layers: PolicyLayer[] = [];
  for (const option of FILE_OPTIONS) {
    const path = given.text(option);
    if (path !== undefined) layers.push(...(await readLayers(path, `--${option}`, given, report)));
  }
  const options = layerOfOptions(wanted, given);
  for (const [index, layer] of layers.entries()) layers[index] = giveWay(layer, options, report);
  if (given.problems.length > before) return undefined;
  try {
    const merged = mergePolicy([...layers, options]);
    for (const why of merged.explanation) warnOfOverridden(why, options, report);
    return merged;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    given.problems.push(...error.problems.map((problem) => describe(problem, originsOf([options, ...layers]))));
    return undefined;
  }
}

/** The layers of a file of any kind; none, with the problems noted, where the file cannot be read or is wrong. */
export async function readLayers(
  path: string,
  option: string,
  given: Arguments,
  report: Report,
): Promise<readonly PolicyLayer[]> {
  const [userSid, tenantId] = [given.text('user-sid'), given.text('policy-tenant')];
  let file: Uint8Array;
  try {
    file = await readFile(path);
  } catch (error) {
    given.problems.push(`${option}: ${error instanceof Error ? error.message : String(error)}`);
    return [];
  }
  try {
    const { layers, ignored } = readPolicyFile(file, {
      origin: path,
      ...(userSid !== undefined && { userSid }),
      ...(tenantId !== undefined && { tenantId }),
    });
    for (const { setting, problem } of ignored) report.warn(`${path}: ${setting} ${problem}, and does not count`);
    return layers;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    given.problems.push(...error.problems.map((problem) => describe(problem, () => path)));
    return [];
  }
}

function optionSettings(given: Arguments): Readonly<Record<string, string>> {
  const settings: Record<string, string> = {};
  for (const [setting, option] of Object.entries(OPTIONS)) {
    const value = given.text(option);
    if (value !== undefined) settings[setting] = value;
  }
  return settings;
}

/** The layer of the options. A word that is none for its option is a problem of `given`. */
function layerOfOptions(settings: Readonly<Record<string, string>>, given: Arguments): PolicyLayer {
  try {
    return layerOf(settings, { origin: COMMAND_LINE });
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    given.problems.push(
      ...error.problems.map((problem) =>
        describe(problem, (setting) => (isOptionSetting(setting) ? `--${OPTIONS[setting]}` : undefined)),
      ),
    );
    return layerOf({}, { origin: COMMAND_LINE });
  }
}

const COMMAND_LINE = 'options';

/** A file of this library's settings without those that options set, which is warned of. */
function giveWay(layer: PolicyLayer, options: PolicyLayer, report: Report): PolicyLayer {
  if (layer.source !== 'file') return layer;
  const values: Record<string, unknown> = { ...layer.values };
  for (const [setting, value] of Object.entries(options.values)) {
    const names = setting === 'hardware' ? ['hardware', 'RequireSecurityDevice'] : [setting];
    for (const name of names.filter((candidate) => values[candidate] !== undefined)) {
      const old = values[name];
      delete values[name];
      if (old === value || !isOptionSetting(setting)) continue;
      report.warn(`--${OPTIONS[setting]} ${value} overrides ${name} '${old}' of ${layer.origin}`);
    }
  }
  return { ...layer, values };
}

function warnOfOverridden({ setting, overridden, reason }: SettingExplanation, options: PolicyLayer, report: Report) {
  for (const { layer, value } of overridden) {
    if (layer.origin !== options.origin || layer.source !== options.source || !isOptionSetting(setting)) continue;
    report.warn(`--${OPTIONS[setting]} ${value} does not hold: ${setting} is ${reason}`);
  }
}

/** Where a setting comes from: the first layer that sets it. */
function originsOf(layers: readonly PolicyLayer[]): (setting: string) => string | undefined {
  return (setting) => {
    const layer = layers.find(({ values }) => Object.hasOwn(values, setting));
    if (layer === undefined) return undefined;
    return layer.source === 'object' && isOptionSetting(setting) ? `--${OPTIONS[setting]}` : layer.origin;
  };
}

/** The problem, and where each setting that it names comes from. */
function describe(problem: PolicyProblem, originOf: (setting: string) => string | undefined): string {
  const known = new Set(['hardware', 'virtualTpm', 'algorithm', 'allowedAlgorithms', 'attestation', problem.setting]);
  const named = [...known].filter((setting) => setting === problem.setting || problem.problem.includes(setting));
  const origins = new Set(named.flatMap((setting) => originOf(setting) ?? []));
  const from = [...origins].join(' and ');
  const setting = from === '' || from.startsWith('--') ? from : `${from}: ${problem.setting}`;
  return `${setting}: ${problem.problem} (expected: ${problem.expected})`;
}

/** Whether anything sets a rule for the PIN. */
export function setsPinRules({ explanation }: MergedPolicy): boolean {
  return explanation.some(({ setting, winner }) => isPinRule(setting) && winner !== undefined);
}

const isPinRule = (setting: string): boolean => setting.startsWith('PINComplexity/') || setting === 'numericOnlyStrict';

/** The rules for the PIN of a key: where nothing sets any now, those that it was set under. */
export function pinRulesFor(record: KeyRecord, merged: MergedPolicy): PinPolicy {
  const { pin } = merged.policy;
  return setsPinRules(merged) ? pin : (readPinState(record)?.met ?? pin);
}
