import type { Command, Option } from 'commander';
import type { CommandEntry } from '../command.ts';
import { ValueOption } from '../options/value-option.ts';
import { buildProgram } from '../program.ts';

/** What completion offers: words, or a kind of thing; `text` is nothing. */
export type Completion = readonly string[] | 'file' | 'directory' | 'command' | 'keys' | 'users' | 'text';

/** An option, as help and completion need it. */
export interface DescribedOption {
  /** Such as `--store`. */
  readonly name: string;
  readonly description: string;
  readonly repeatable: boolean;
  /** The name of its value, such as `file`, and what completion offers for it; absent if it takes none. */
  readonly value?: { readonly name: string; readonly completion: Completion };
}

/** A command, as the manual page and completion need it. */
export interface DescribedCommand {
  /** As typed: `sign`, `policy explain`. */
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  /** What follows the name in the usage line. */
  readonly usage: string;
  readonly options: readonly DescribedOption[];
  /** What completion offers for operands. */
  readonly operand: Completion;
  readonly examples: readonly string[];
}

/** Loads and describes all commands of the table. */
export async function describeCommands(table: readonly CommandEntry[]): Promise<DescribedCommand[]> {
  const loaded = await Promise.all(table.map(async (entry) => ({ ...entry, command: await entry.load() })));
  const program = buildProgram(loaded, { version: '', call: async () => {}, onText: () => {}, onErrorText: () => {} });
  return loaded.map(({ name, summary, command: { examples } }) => {
    const found = name.split(' ').reduce(subcommand, program);
    const [operand] = found.registeredArguments;
    return {
      ...{ name, summary, examples, description: found.description(), usage: found.usage() },
      options: [...found.options.map(describeOption), HELP],
      operand: operand === undefined ? 'text' : (operand.argChoices ?? kindOf(operand.name())),
    };
  });
}

const HELP: DescribedOption = { name: '--help', description: 'display help for the command', repeatable: false };

function subcommand(parent: Command, name: string): Command {
  const found = parent.commands.find((command) => command.name() === name);
  if (found === undefined) throw new Error(`there is no command ${name}`);
  return found;
}

function describeOption(option: Option): DescribedOption {
  const { long, flags, description } = option;
  const described = { name: long ?? flags, description };
  if (!(option instanceof ValueOption)) return { ...described, repeatable: false };
  const { suggestions, isRepeatable: repeatable } = option;
  const name = flags.slice(flags.indexOf('<') + 1, -1);
  const stored = { '--key': 'keys', '--user': 'users' } as const;
  const known = long === '--key' || long === '--user' ? stored[long] : kindOf(name);
  return { ...described, repeatable, value: { name, completion: suggestions.length > 0 ? suggestions : known } };
}

/** What completion offers for a value of this name. */
function kindOf(name: string): Completion {
  if (name === 'file' || name === 'files') return 'file';
  if (name === 'dir') return 'directory';
  return name === 'cmd' || name === 'command' ? 'command' : 'text';
}
