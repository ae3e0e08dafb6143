import { Command } from 'commander';
import type { CliCommand, CommandEntry } from './command.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { Arguments } from './options/arguments.ts';
import { isRequiredOption } from './options/value-option.ts';

/** Commands that only contain other commands. */
const GROUPS: Readonly<Record<string, string>> = { policy: 'show policy settings' };

const EXAMPLES = ['keyprov provision --demo', 'keyprov sim -- keyprov create --out key'];

/** Options of {@link buildProgram}. */
export interface ProgramOptions {
  readonly version: string;
  /** Receives the command that the user names. */
  readonly call: (command: CliCommand, given: Arguments, name: string) => Promise<void>;
  /** Receives the text for standard output: help, and the version. */
  readonly onText: (text: string) => void;
  /** Receives the text for standard error: the help for an incomplete command. */
  readonly onErrorText: (text: string) => void;
  /** Aborts the reading of files that arguments name. */
  readonly signal?: AbortSignal | undefined;
}

/** A command of the table, loaded if it can be called. */
export type LoadedEntry = Pick<CommandEntry, 'name' | 'summary'> & { readonly command?: CliCommand | undefined };

/** Loads only the commands that the words of a command line name. */
export async function loadNamed(
  table: readonly CommandEntry[],
  words: readonly string[],
): Promise<readonly LoadedEntry[]> {
  const named = words.find((word) => !word.startsWith('-'));
  return await Promise.all(
    table.map(async ({ name, summary, load }) => ({
      name,
      summary,
      command: name.split(' ')[0] === named ? await load() : undefined,
    })),
  );
}

/** Builds the program from a table of commands. Its parser throws CommanderError for help, and if parsing fails. */
export function buildProgram(
  table: readonly LoadedEntry[],
  { version, call, onText, onErrorText, signal }: ProgramOptions,
): Command {
  const program = new Command('keyprov')
    .description('Makes keys in a TPM 2.0, attests them, and registers them with a service.')
    .version(version)
    .helpCommand(false)
    .addHelpText('after', `${examplesHelp(EXAMPLES)}\n\nExit codes:\n${EXIT_CODES}`)
    .enablePositionalOptions()
    .showSuggestionAfterError(false)
    .exitOverride()
    .configureHelp({ subcommandTerm: (command) => command.name() })
    // The printer wraps the help.
    .configureOutput({
      writeOut: onText,
      writeErr: onErrorText,
      getOutHelpWidth: unlimited,
      getErrHelpWidth: unlimited,
    });
  const groups = new Map<string, Command>();
  const parentOf = (group: string): Command => {
    const known = groups.get(group);
    if (known !== undefined) return known;
    const made = program
      .command(group)
      .description(GROUPS[group] ?? '')
      .helpCommand(false)
      .exitOverride();
    groups.set(group, made);
    return made;
  };
  for (const entry of table) {
    const words = entry.name.split(' ');
    const name = words.pop() ?? '';
    const parent = words.length === 0 ? program : parentOf(words.join(' '));
    const { command: loaded } = entry;
    const command = parent.command(name).summary(entry.summary).allowUnknownOption().allowExcessArguments();
    if (loaded === undefined) continue;
    describe(command, loaded);
    command.action(() => call(loaded, new Arguments(command, signal), entry.name));
  }
  return program;
}

function describe(command: Command, { define, silent, examples }: CliCommand): void {
  define(command);
  if (!silent) {
    command.option('--json', 'print one JSON object and nothing else');
    command.option('--verbose', "also show Windows' code for an error");
  }
  const required = command.options.filter(isRequiredOption).map(({ flags }) => flags);
  const operands = command.registeredArguments.map((operand) => `[${operand.name()}${operand.variadic ? '...' : ''}]`);
  command.usage([...required, '[options]', ...operands].join(' ')).addHelpText('after', examplesHelp(examples));
}

const unlimited = (): number => Number.POSITIVE_INFINITY;

const examplesHelp = (examples: readonly string[]): string =>
  ['\nExamples:', ...examples.map((line) => `  ${line}`)].join('\n');

/** Turns `help status` into `status --help`. */
export function helpLast(words: readonly string[]): string[] {
  const [first, ...rest] = words;
  return first === 'help' ? [...rest, '--help'] : [...words];
}
