import type { Completion, DescribedCommand } from './describe-commands.ts';

/** The completion script for fish. */
export function fishCompletion(commands: readonly DescribedCommand[]): string {
  return `# fish completion for keyprov: save it as ~/.config/fish/completions/keyprov.fish.
function __keyprov_stored
  set -l words (commandline -opc)
  set -l at (contains -i -- --store $words)
  and set -l store --store $words[(math $at + 1)]
  keyprov completion --stored $argv[1] $store 2>/dev/null
end
complete -c keyprov -f
complete -c keyprov -n __fish_use_subcommand -l version -d 'show the version'
complete -c keyprov -l help -d 'display help'
${[...commands.map(commandLine), ...optionLines(commands)].join('\n')}
`;
}

function commandLine({ name, summary, operand }: DescribedCommand): string {
  const [first = '', second] = name.split(' ');
  const last = second ?? first;
  const lines = [
    `complete -c keyprov -n __fish_use_subcommand -a ${first} -d ${quote(second ? 'more commands' : summary)}`,
  ];
  if (second !== undefined) {
    const when = `__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${second}`;
    lines.push(`complete -c keyprov -n '${when}' -a ${second} -d ${quote(summary)}`);
  }
  const offer = operand === 'file' ? '-F' : offerOf(operand).slice('-x '.length);
  if (offer !== '') lines.push(`complete -c keyprov -n '__fish_seen_subcommand_from ${last}' ${offer}`);
  return lines.join('\n');
}

/** One line for each option, with all commands that have it. */
function optionLines(commands: readonly DescribedCommand[]): string[] {
  const users = new Map<string, string[]>();
  for (const { name: command, options } of commands) {
    for (const { name, description, value } of options.filter((option) => option.name !== '--help')) {
      const takes = value === undefined ? '' : `${offerOf(value.completion)} `;
      const text = `-l ${name.slice(2)} ${takes}-d ${quote(description)}`;
      users.set(text, [...(users.get(text) ?? []), command.split(' ').at(-1) ?? '']);
    }
  }
  return [...users].map(
    ([text, names]) => `complete -c keyprov -n '__fish_seen_subcommand_from ${names.join(' ')}' ${text}`,
  );
}

const OFFERS = {
  ...{
    file: '-r -F',
    directory: "-x -a '(__fish_complete_directories)'",
    command: "-x -a '(__fish_complete_command)'",
  },
  ...{ keys: "-x -a '(__keyprov_stored keys)'", users: "-x -a '(__keyprov_stored users)'", text: '-x' },
} as const;

function offerOf(completion: Completion): string {
  return typeof completion === 'string' ? OFFERS[completion] : `-x -a ${quote(completion.join(' '))}`;
}

const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
