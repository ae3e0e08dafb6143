import { readFile } from 'node:fs/promises';
import { type Policy, PolicyError, type PolicyProblem, parsePolicy } from '../policy/index.ts';
import type { Arguments } from './arguments.ts';
import type { Report } from './report.ts';

/** The settings that have an option of their own. */
const OPTIONS = {
  hardware: 'hardware',
  virtualTpm: 'virtual-tpm',
  algorithm: 'algorithm',
  attestation: 'attestation',
} as const;

const isOptionSetting = (setting: string): setting is keyof typeof OPTIONS => Object.hasOwn(OPTIONS, setting);

/**
 * The policy from the file that `--policy` names, with the settings of the options in place of its own; what they
 * override is warned of. Every wrong setting is a problem of `given`, with where it comes from; then it is undefined.
 */
export async function readPolicy(given: Arguments, report: Report): Promise<Policy | undefined> {
  const path = given.text('policy');
  const options: Record<string, string> = {};
  for (const [setting, option] of Object.entries(OPTIONS)) {
    const value = given.text(option);
    if (value !== undefined) options[setting] = value;
  }
  const fromFile = path === undefined ? {} : await readFileSettings(path, given);
  const originOf = (setting: string): string | undefined => {
    if (isOptionSetting(setting) && Object.hasOwn(options, setting)) return `--${OPTIONS[setting]}`;
    return Object.hasOwn(fromFile, setting) ? path : undefined;
  };
  try {
    // As JSON, since the options may hold anything: their words are checked like those of the file.
    const policy = parsePolicy(JSON.stringify({ ...fromFile, ...options }));
    for (const [setting, value] of Object.entries(options)) {
      const old = fromFile[setting];
      if (old === undefined || old === value) continue;
      report.warn(`${originOf(setting)} ${value} overrides ${setting} '${old}' of ${path}`);
    }
    return policy;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    given.problems.push(...error.problems.map((problem) => describe(problem, originOf)));
    return undefined;
  }
}

/** The settings that the file names; none, with the problems noted, where the file cannot be read or one is wrong. */
async function readFileSettings(path: string, given: Arguments): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    given.problems.push(`--policy: ${error instanceof Error ? error.message : String(error)}`);
    return {};
  }
  try {
    const policy = parsePolicy(text);
    const settings = JSON.parse(text.replace(/^\uFEFF/, ''));
    return Object.fromEntries(Object.entries(policy).filter(([setting]) => Object.hasOwn(settings, setting)));
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    given.problems.push(...error.problems.map((problem) => describe(problem, () => path)));
    return {};
  }
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
