import type { Command } from 'commander';
import { explainPolicy } from '../../policy/index.ts';
import { EXIT } from '../exit-codes.ts';
import { type Arguments, UsageError, valueOption } from '../options/arguments.ts';
import { findPolicy } from '../options/policy-option.ts';
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
  const inForce = await findPolicy({ files: given.operands, documents }, given, report);
  given.check();
  if (inForce === undefined) throw new UsageError(['no policy']);
  const { policy, windows, explanation } = inForce;
  const text = explainPolicy(explanation, { onlySet });
  const shown = explanation.filter(({ winner, overridden }) => !onlySet || winner || overridden.length > 0);
  return {
    exitCode: EXIT.done,
    text: text === '' ? 'nothing is set\n' : `${text}\n`,
    json: { policy, windows, explanation: shown },
  };
}
