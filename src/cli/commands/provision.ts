import type { Command } from 'commander';
import type { CliCommand, Context } from '../command.ts';
import type { Arguments } from '../options/arguments.ts';
import { openOption, requiredOption, valueOption } from '../options/value-option.ts';
import { provisionWithService, runOptions } from '../provision-run.ts';
import type { Outcome } from '../terminal/report.ts';
import { DEMO_OPTIONS, runDemo } from './demo/demo.ts';

/** `keyprov provision`. */
export const provisionCommand: CliCommand = {
  examples: [
    'keyprov provision --demo',
    'keyprov provision --service https://adfs.contoso.com --user ada@contoso.com --device-cert d.pem --device-key d.key',
  ],
  define,
  run: runProvision,
};

function define(command: Command): void {
  command.description('check prerequisites, authenticate the user, make a key, and register it');
  for (const option of runOptions(requiredOption('--user <name>', 'user principal name'))) command.addOption(option);
  command
    .option('--web', 'ask the user in a browser page')
    .addOption(openOption())
    .option('--demo', 'simulate a run, with a service in this process')
    .addOption(valueOption('--out <dir>', 'with --demo: directory for the files'))
    .option('--force', 'with --demo: replace an earlier demo');
}

async function runProvision(given: Arguments, context: Context): Promise<Outcome> {
  if (!given.has('web')) given.refuse(['open'], 'works only with --web');
  if (given.has('demo')) {
    given.refuseOthers(DEMO_OPTIONS, 'cannot be used with --demo');
    return await runDemo(given, context);
  }
  given.refuse(['out', 'force'], 'works only with --demo; keyprov create writes a key to files');
  if (given.has('web')) {
    given.refuse(['pin-file', 'no-pin'], 'cannot be used with --web: the page asks for the PIN');
    // The page is loaded only if it is shown.
    return await (await import('../web/provision-in-window.ts')).provisionInWindow(given, context);
  }
  return await provisionWithService(given, context);
}
