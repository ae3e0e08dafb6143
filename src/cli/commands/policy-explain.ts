import type { Command } from 'commander';
import { explainPolicy, layerFromEnvironment, mergePolicy, PolicyError, type PolicyLayer } from '../../policy/index.ts';
import { EXIT } from '../exit-codes.ts';
import { type Arguments, UsageError, valueOption } from '../options/arguments.ts';
import { readLayers } from '../options/policy-option.ts';
import type { Outcome, Report } from '../terminal/report.ts';

/** Describes `keyprov policy explain`. */
export function defineExplain(command: Command): void {
  command
    .description(
      'say which settings hold, and why: of registry exports, SyncML and JSON files, and of the environment variables ' +
        'KEYPROV_POLICY_…',
    )
    .option('--only-set', 'leave out what nobody has set')
    .addOption(valueOption('--documents <which>', 'whose defaults hold: current or 2016 (default: current)'))
    .addOption(valueOption('--user-sid <sid>', 'whose settings in a registry export of several users count'))
    .addOption(valueOption('--policy-tenant <guid>', 'the tenant whose settings count where there are several'))
    .option('--json', 'print one JSON object and nothing else')
    .argument('[files...]', 'the files, those of the same rank in the order in which they count');
}

/** Runs `keyprov policy explain`. */
export async function runExplain(given: Arguments, report: Report): Promise<Outcome> {
  const documents = given.choice('documents', ['current', '2016']) ?? 'current';
  const onlySet = given.has('only-set');
  const layers: PolicyLayer[] = [];
  for (const path of given.operands) layers.push(...(await readLayers(path, path, given, report)));
  try {
    const environment = layerFromEnvironment(process.env);
    if (environment !== undefined) layers.push(environment);
    given.check();
    const { policy, windows, explanation } = mergePolicy(layers, { documents });
    const text = explainPolicy(explanation, { onlySet });
    const shown = explanation.filter(({ winner, overridden }) => !onlySet || winner || overridden.length > 0);
    return {
      exitCode: EXIT.done,
      text: text === '' ? 'nothing is set\n' : `${text}\n`,
      json: { policy, windows, explanation: shown },
    };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const problems = error.problems.map((p) => `${p.setting}: ${p.problem} (expected: ${p.expected})`);
    throw new UsageError([...given.problems, ...problems]);
  }
}
