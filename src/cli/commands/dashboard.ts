import type { Command } from 'commander';
import type { CliCommand } from '../command.ts';
import { policyFileOptions } from '../options/policy-option.ts';
import { storeOption } from '../options/store-option.ts';
import { tpmOption } from '../options/tpm-option.ts';
import { openOption, valueOption } from '../options/value-option.ts';

/** `keyprov dashboard`. */
export const dashboardCommand: CliCommand = {
  examples: ['keyprov dashboard --open', 'keyprov dashboard --user ada@contoso.com --dsregcmd status.txt'],
  define,
  // The page is loaded only if it is shown.
  run: async (given, context) => await (await import('../web/show-dashboard.ts')).showDashboard(given, context),
};

function define(command: Command): void {
  command.description(
    'show a status page for help desks in a browser: TPMs, prerequisites, policy, keys, runs and errors; it changes ' +
      'nothing and asks for no PIN',
  );
  const options = [
    storeOption(),
    valueOption('--user <name>', 'user whose prerequisites are checked'),
    valueOption('--device-id <guid>', 'device of that user'),
    tpmOption(),
    ...policyFileOptions(),
    valueOption('--dsregcmd <file>', 'output of dsregcmd /status, for prerequisites'),
    openOption(),
  ];
  for (const option of options) command.addOption(option);
}
