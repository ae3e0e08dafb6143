import type { Completion, DescribedCommand, DescribedOption } from './describe-commands.ts';

/** The completion script for zsh. */
export function zshCompletion(commands: readonly DescribedCommand[]): string {
  const groups = new Map<string, DescribedCommand[]>();
  for (const command of commands) {
    const [first = ''] = command.name.split(' ');
    groups.set(first, [...(groups.get(first) ?? []), command]);
  }
  const summaries = [...groups].map(([first, [one]]) =>
    quote(`${first}:${one?.name === first ? one.summary : 'more commands'}`),
  );
  return `#compdef keyprov
# zsh completion for keyprov: save it as _keyprov in a directory of $fpath.
_keyprov_stored() {
  local -a found
  local -i at=\${words[(I)--store]}
  local store=''
  (( at )) && store=\${(Q)words[at + 1]}
  found=(\${(f)"$(keyprov completion --stored $1 \${store:+--store=\${store/#\\~\\//$HOME/}} 2>/dev/null)"})
  compadd -a found
}
_keyprov() {
  local curcontext=$curcontext state line
  local -a commands=(
    ${summaries.join('\n    ')}
  )
  _arguments -C '--help[display help]' '--version[show the version]' '1: :->command' '*:: :->rest'
  case $state in
    command) _describe command commands ;;
    rest)
      case $words[1] in
${[...groups].map(([first, members]) => `        ${first}) _arguments ${specs(first, members)} ;;`).join('\n')}
      esac
      ;;
  esac
}
if [[ $funcstack[1] == _keyprov ]]; then _keyprov "$@"; else compdef _keyprov keyprov; fi
`;
}

/** The arguments of a command, or of the commands of a group. */
function specs(first: string, members: readonly DescribedCommand[]): string {
  const names = members.filter(({ name }) => name !== first).map(({ name }) => name.slice(first.length + 1));
  const operands = members.map(({ operand }) => `*: :${action(operand)}`);
  const all = [
    ...(names.length > 0 ? [`1: :(${names.join(' ')})`] : []),
    ...members.flatMap(({ options }) => options.map(spec)),
    ...operands,
  ];
  return all.map(quote).join(' ');
}

function spec({ name, description, repeatable, value }: DescribedOption): string {
  const text = description.replaceAll('[', '(').replaceAll(']', ')');
  const takes = value === undefined ? '' : `:${value.name}:${action(value.completion)}`;
  return `${repeatable ? '*' : ''}${name}[${text}]${takes}`;
}

// A blank before a function keeps zsh from giving it more arguments.
const ACTIONS = {
  ...{ file: '_files', directory: '_files -/', command: '_command_names -e', text: '' },
  ...{ keys: ' _keyprov_stored keys', users: ' _keyprov_stored users' },
} as const;

function action(completion: Completion): string {
  return typeof completion === 'string' ? ACTIONS[completion] : `(${completion.join(' ')})`;
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
