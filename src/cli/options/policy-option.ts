import type { Option } from 'commander';
import type { SelectionOptions } from '../../keys/select-provider.ts';
import { ATTESTATION, HARDWARE, VIRTUAL_TPM } from '../../policy/define-policy.ts';
import {
  KEY_ALGORITHMS,
  PolicyError,
  type PolicyInForce,
  type PolicyInForceOptions,
  type PolicyProblem,
  type PolicyReading,
  type PolicyWarning,
  policyInForce,
  type ReadWindowsRegistryOptions,
} from '../../policy/index.ts';
import type { Context } from '../command.ts';
import type { Arguments } from './arguments.ts';
import { GUID } from './service-option.ts';
import { repeatableOption, valueOption } from './value-option.ts';

const FALL_BACK = ['absent', 'any'] as const;

/** The settings that have their own option. */
const OPTIONS = {
  hardware: 'hardware',
  virtualTpm: 'virtual-tpm',
  algorithm: 'algorithm',
  attestation: 'attestation',
} as const;

const isOptionSetting = (setting: string): setting is keyof typeof OPTIONS => Object.hasOwn(OPTIONS, setting);

/** The policy options of commands that make a key. */
export function policyOptions(): Option[] {
  return [
    valueOption('--hardware <need>', 'TPM: required, preferred (default), discouraged', HARDWARE),
    valueOption('--virtual-tpm <rule>', 'allow (default) or refuse', VIRTUAL_TPM),
    valueOption('--algorithm <name>', 'rsa-2048 (default), rsa-3072, p-256 or p-384', KEY_ALGORITHMS),
    valueOption('--attestation <need>', 'required, preferred (default) or none', ATTESTATION),
    valueOption('--fall-back <when>', 'when to use software: absent (default) or any', FALL_BACK),
    ...policyFileOptions(),
  ];
}

/** When software replaces a TPM, according to `--fall-back`. */
export function readFallBack(given: Arguments): SelectionOptions['fallBack'] {
  return given.choice('fall-back', FALL_BACK);
}

/** The options that name files with settings, and the users and tenants whose settings apply. */
export function policyFileOptions(): Option[] {
  return [
    repeatableOption('--policy <file>', 'JSON, registry export or SyncML (repeatable)'),
    repeatableOption('--policy-for <id>', 'user (SID) or tenant whose settings apply'),
  ];
}

/**
 * The policy in force, from Windows settings, environment, options, and the files of `--policy`. Warns if an option
 * overrides a setting, if a setting overrides an option, and if a setting is ignored. Each wrong setting becomes a problem
 * of `given`, with its origin. In that case the result is the default policy: the check of the arguments prevents its use.
 */
export async function readPolicy(given: Arguments, context: Context): Promise<PolicyInForce> {
  return await findPolicy({ files: given.texts('policy'), commandLine: optionSettings(given) }, given, context);
}

/** Calls {@link policyInForce} for the users and tenants of `--policy-for`. Shows warnings, and notes problems in `given`. */
export async function findPolicy(
  options: PolicyInForceOptions,
  given: Arguments,
  { report, environment, signal }: Context,
): Promise<PolicyInForce> {
  const owners = given.texts('policy-for');
  const userSid = owners.find(isSid);
  const tenantId = owners.find((owner) => GUID.test(owner));
  for (const owner of owners) {
    if (!isSid(owner) && !GUID.test(owner)) given.problems.push(`--policy-for '${owner}' is neither a SID nor a GUID`);
  }
  try {
    const registry = process.platform === 'win32' ? await readRegistry({ userSid, tenantId, signal }) : undefined;
    for (const { setting, problem } of registry?.ignored ?? []) {
      report.warn(inOwners(`the registry: ${setting} ${problem}, and is ignored`));
    }
    const layers = registry?.layers;
    const inForce = await policyInForce({ ...options, layers, environment, userSid, tenantId, signal });
    for (const warning of inForce.warnings) {
      // A JSON file without settings may be meant.
      if (warning.kind === 'nothing-known' && warning.form !== 'json') given.problems.push(describeWarning(warning));
      else report.warn(inOwners(describeWarning(warning)));
    }
    return inForce;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    given.problems.push(...error.problems.map(describeProblem));
    return await policyInForce({ environment: {} });
  }
}

async function readRegistry(options: ReadWindowsRegistryOptions): Promise<PolicyReading> {
  const { readWindowsRegistry } = await import('../../policy/read-windows-registry.ts');
  return await readWindowsRegistry(options);
}

const isSid = (text: string): boolean => /^S-1-/i.test(text);

function optionSettings(given: Arguments): Readonly<Record<string, string>> {
  const settings: Record<string, string> = {};
  for (const [setting, option] of Object.entries(OPTIONS)) {
    const value = given.text(option);
    if (value !== undefined) settings[setting] = value;
  }
  return settings;
}

/** Names `--policy-for` for the members that it sets, and writes SIDs as Windows does. */
const inOwners = (text: string): string =>
  OWNERS.reduce((said, member) => said.replaceAll(member, '--policy-for'), text).replaceAll('s-1-', 'S-1-');

const optionOf = (setting: string): string => (isOptionSetting(setting) ? `--${OPTIONS[setting]}` : setting);

function describeWarning(warning: PolicyWarning): string {
  if (warning.kind === 'nothing-known')
    return `${warning.origin}: contains no setting that keyprov knows (expected: ${warning.expected})`;
  const { kind, setting } = warning;
  if (kind === 'ignored') return `${warning.origin}: ${setting} ${warning.problem}, and is ignored`;
  if (kind === 'contradictory')
    return `${warning.origin}: ${setting} ${warning.value} has no effect: ${warning.reason}`;
  const typed = `${optionOf(setting)} ${warning.value}`;
  return kind === 'overrides'
    ? `${typed} overrides ${setting} '${warning.overridden}' from ${warning.origin}`
    : `${typed} has no effect: ${setting} is ${warning.reason}`;
}

/** The members that `--policy-for` sets. */
const OWNERS: readonly string[] = ['userSid', 'tenantId'];

/** Describes a problem of a policy, with the origin of each setting that it names. */
export function describeProblem({ setting, problem, expected, from = [] }: PolicyProblem): string {
  const origins = new Set(
    from.map(({ setting: name, source, origin }) => (source === 'command-line' ? optionOf(name) : origin)),
  );
  const where = [...origins].join(' and ');
  const subject = where === '' || where === setting ? setting : where.startsWith('--') ? where : `${where}: ${setting}`;
  const text = `${subject}: ${problem} (expected: ${expected})`;
  return OWNERS.includes(setting) ? inOwners(text) : text;
}
