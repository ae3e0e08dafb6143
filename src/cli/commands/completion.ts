import type { Command } from 'commander';
import { findKeys } from '../../provisioning/find-key.ts';
import type { CliCommand, Context } from '../command.ts';
import { bashCompletion } from '../completion/bash-completion.ts';
import { describeCommands } from '../completion/describe-commands.ts';
import { fishCompletion } from '../completion/fish-completion.ts';
import { zshCompletion } from '../completion/zsh-completion.ts';
import { EXIT, EXIT_CODES } from '../exit-codes.ts';
import type { Arguments } from '../options/arguments.ts';
import { openExistingStore, storeOption } from '../options/store-option.ts';
import { valueOption } from '../options/value-option.ts';
import type { Outcome } from '../terminal/report.ts';

const SCRIPTS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;
const STORED = ['keys', 'users'] as const;

/** `keyprov completion`. */
export const completionCommand: CliCommand = {
  examples: ['keyprov completion bash', 'keyprov completion fish'],
  define,
  run: runCompletion,
};

function define(command: Command): void {
  command
    .description(
      'print a script that completes commands, options, keys and users in a shell; its first lines say where to save it',
    )
    .argument('[shell]', 'the shell')
    // The scripts call it like this.
    .addOption(valueOption('--stored <what>', 'print what a store has: keys or users', STORED).hideHelp())
    .addOption(storeOption().hideHelp());
  for (const operand of command.registeredArguments) operand.argChoices = Object.keys(SCRIPTS);
}

async function runCompletion(given: Arguments, context: Context): Promise<Outcome> {
  const stored = given.choice('stored', STORED);
  const [shell, ...more] = given.operands;
  const isTable = shell === undefined && given.has('json') && !given.isThere('stored');
  const isShell = shell !== undefined && Object.hasOwn(SCRIPTS, shell);
  if (!isShell && !isTable && !given.isThere('stored')) given.problems.push('name a shell: bash, zsh or fish');
  if (more.length > 0) given.problems.push('name one shell');
  given.check();
  if (stored !== undefined) return await listStored(stored, given, context);
  const commands = await describeCommands(context.commands);
  if (!isShell)
    return {
      exitCode: EXIT.done,
      lines: [],
      json: { commands, exitCodes: EXIT_CODES.split('\n').map((line) => line.trim().split('  ')) },
    };
  const script = SCRIPTS[shell === 'bash' || shell === 'zsh' ? shell : 'fish'](commands);
  return { exitCode: EXIT.done, lines: script.trimEnd().split('\n'), verbatim: true, json: { shell, script } };
}

/** Reads the store only: it opens no TPM, and asks for nothing. */
async function listStored(what: (typeof STORED)[number], given: Arguments, context: Context): Promise<Outcome> {
  const found = await findKeys(await openExistingStore(given, context));
  const all = found.flatMap(({ record, registration }) =>
    what === 'keys' ? record.id : (registration?.user ?? record.user ?? []),
  );
  const lines = [...new Set(all)];
  return { exitCode: EXIT.done, lines, verbatim: true, json: { [what]: lines } };
}
