import type { Command } from 'commander';
import { explainPolicy, isSet } from '../../policy/explain-policy.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import type { Arguments } from '../options/arguments.ts';
import { findPolicy, policyFileOptions } from '../options/policy-option.ts';
import { valueOption } from '../options/value-option.ts';
import type { Outcome } from '../terminal/report.ts';

const DOCUMENTS = ['current', '2016'] as const;

/** `keyprov policy explain`. */
export const policyExplainCommand: CliCommand = {
  examples: [
    'keyprov policy explain',
    'keyprov policy explain --all',
    'keyprov policy explain policy.json gpo.reg --json',
  ],
  define,
  run: runExplain,
};

function define(command: Command): void {
  command
    .description(
      'show which settings apply, and why: from registry exports, SyncML and JSON files, the environment variables ' +
        'KEYPROV_POLICY_…, and on Windows the registry',
    )
    .option('--all', 'also show settings that have their defaults')
    .addOption(valueOption('--documents <which>', "Microsoft's defaults: current (default) or 2016", DOCUMENTS))
    .argument('[files...]', 'policy files, with or without --policy; the first of each kind wins');
  for (const option of policyFileOptions()) command.addOption(option);
}

async function runExplain(given: Arguments, context: Context): Promise<Outcome> {
  const documents = given.choice('documents', DOCUMENTS) ?? 'current';
  const all = given.has('all');
  const inForce = await findPolicy({ files: [...given.operands, ...given.texts('policy')], documents }, given, context);
  given.check();
  const { policy, windows, explanation } = inForce;
  const shown = all ? explanation : explanation.filter(isSet);
  const lines = shown.length === 0 ? ['nothing is set'] : explainPolicy(shown).split('\n');
  const others = explanation.length - shown.length;
  if (others > 0) lines.push(`${others} settings have their defaults; --all shows them`);
  return {
    exitCode: EXIT.done,
    lines,
    json: { policy, windows, explanation: shown },
  };
}
