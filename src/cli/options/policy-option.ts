import type { Option } from 'commander';
import {
  PolicyError,
  type PolicyInForce,
  type PolicyInForceOptions,
  type PolicyProblem,
  type PolicyWarning,
  policyInForce,
} from '../../policy/index.ts';
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
 * The policy in force: files of Windows, environment, options, and the file of `--policy`. What an option overrides,
 * what overrides an option, and what does not count is warned of. Every wrong setting is a problem of `given`, with
 * where it comes from; then it is undefined.
 */
export async function readPolicy(given: Arguments, report: Report): Promise<PolicyInForce | undefined> {
  const files = FILE_OPTIONS.flatMap((option) => given.text(option) ?? []);
  return await findPolicy({ files, commandLine: optionSettings(given) }, given, report);
}

/** {@link policyInForce} with the options that say whose settings count; problems and warnings go where people look. */
export async function findPolicy(
  options: PolicyInForceOptions,
  given: Arguments,
  report: Report,
): Promise<PolicyInForce | undefined> {
  const [userSid, tenantId] = [given.text('user-sid'), given.text('policy-tenant')];
  try {
    const inForce = await policyInForce({ ...options, userSid, tenantId });
    for (const warning of inForce.warnings) report.warn(describeWarning(warning));
    return inForce;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    given.problems.push(...error.problems.map(describeProblem));
    return undefined;
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

const optionOf = (setting: string): string => (isOptionSetting(setting) ? `--${OPTIONS[setting]}` : setting);

function describeWarning(warning: PolicyWarning): string {
  const { kind, setting } = warning;
  if (kind === 'ignored') return `${warning.origin}: ${setting} ${warning.problem}, and does not count`;
  const typed = `${optionOf(setting)} ${warning.value}`;
  return kind === 'overrides'
    ? `${typed} overrides ${setting} '${warning.overridden}' of ${warning.origin}`
    : `${typed} does not hold: ${setting} is ${warning.reason}`;
}

/** The problem, and where each setting that it names comes from. */
function describeProblem({ setting, problem, expected, from = [] }: PolicyProblem): string {
  const origins = new Set(
    from.map(({ setting: name, source, origin }) => (source === 'command-line' ? optionOf(name) : origin)),
  );
  const where = [...origins].join(' and ');
  const subject = where === '' ? setting : where.startsWith('--') ? where : `${where}: ${setting}`;
  return `${subject}: ${problem} (expected: ${expected})`;
}
