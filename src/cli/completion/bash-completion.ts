import type { Completion, DescribedCommand } from './describe-commands.ts';

/** The completion script for bash 3.2 or later. */
export function bashCompletion(commands: readonly DescribedCommand[]): string {
  const groups = [...new Set(commands.filter(({ name }) => name.includes(' ')).map(({ name }) => name.split(' ')[0]))];
  const first = [...new Set(commands.map(({ name }) => name.split(' ')[0]))];
  const inGroup = (group: string | undefined): string[] =>
    commands.filter(({ name }) => name.startsWith(`${group} `)).map(({ name }) => name.slice(`${group} `.length));
  return `# bash completion for keyprov: save it as ~/.local/share/bash-completion/completions/keyprov, or source it.
_keyprov_offer() {
  local word
  while IFS= read -r word; do [[ $word == "$current"* ]] && COMPREPLY+=("$word"); done
}
_keyprov() {
  local IFS=$' \\t\\n' line=\${COMP_LINE:0:COMP_POINT} command='' store='' kind='' list='' current previous part word lead='' i
  local -a words
  COMPREPLY=()
  # Not COMP_WORDS, where a user's name may be three words.
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  local last=$((\${#words[@]} - 1))
  current=\${words[last]} previous=\${words[last - 1]}
  if [[ $current == --*=* ]]; then previous=\${current%%=*} current=\${current#*=}; fi
  for ((i = 1; i < last; i++)); do
    word=\${words[i]}
    case $word in
      --store) store=\${words[i + 1]} ;;
      --store=*) store=\${word#*=} ;;
      -*) ;;
      *) case $command in ${["''", ...groups].join(' | ')}) command=\${command:+$command }$word ;; esac ;;
    esac
  done
  store=\${store/#\\~\\//$HOME/}
  case $command:$previous in
${valueArms(commands)}
    *)
      case $command in
        '') kind=words list='${[...first, '--help', '--version'].join(' ')}' ;;
${groups.map((group) => `        ${group}) kind=words list='${[...inGroup(group), '--help'].join(' ')}' ;;`).join('\n')}
${commands.map(commandArm).join('\n')}
      esac
      [[ $current == -* ]] && kind=words
      ;;
  esac
  case $kind in
    words) _keyprov_offer < <(printf '%s\\n' $list) ;;
    command) _keyprov_offer < <(compgen -c -- "$current") ;;
    file | directory)
      compopt -o filenames 2>/dev/null
      _keyprov_offer < <(compgen "-\${kind:0:1}" -- "$current")
      ;;
    keys | users)
      _keyprov_offer < <("\${COMP_WORDS[0]}" completion --stored "$kind" \${store:+"--store=$store"} 2>/dev/null)
      for i in "\${!COMPREPLY[@]}"; do COMPREPLY[i]=$(printf %q "\${COMPREPLY[i]}"); done
      ;;
  esac
  # bash replaces only what follows the last of these characters.
  part=\${COMP_WORDS[COMP_CWORD]}
  [[ $part == [@:=] ]] && part=''
  [[ $current == *"$part" ]] && lead=\${current%"$part"}
  COMPREPLY=("\${COMPREPLY[@]#"$lead"}")
}
complete -F _keyprov keyprov
`;
}

/** What a value is completed with, by the command and the option before it. */
function valueArms(commands: readonly DescribedCommand[]): string {
  const byOption = new Map<string, { readonly command: string; readonly offer: string }[]>();
  for (const { name: command, options } of commands) {
    for (const { name, value } of options) {
      if (value === undefined) continue;
      byOption.set(name, [...(byOption.get(name) ?? []), { command, offer: offerOf(value.completion) }]);
    }
  }
  const patterns = new Map<string, string[]>();
  for (const [option, uses] of byOption) {
    const isOne = uses.every(({ offer }) => offer === uses[0]?.offer);
    for (const { command, offer } of isOne ? uses.slice(0, 1) : uses) {
      const pattern = isOne ? `*:${option}` : `'${command}':${option}`;
      patterns.set(offer, [...(patterns.get(offer) ?? []), pattern]);
    }
  }
  return [...patterns].map(([offer, all]) => `    ${all.join(' | ')}) ${offer} ;;`).join('\n');
}

function offerOf(completion: Completion): string {
  return typeof completion === 'string' ? `kind=${completion}` : `kind=words list='${completion.join(' ')}'`;
}

/** What follows a command: its operands, or else its options. */
function commandArm({ name, options, operand }: DescribedCommand): string {
  const list = options.map((option) => option.name);
  const isWords = typeof operand !== 'string';
  const kind = isWords || operand === 'text' ? 'words' : operand;
  return `        '${name}') kind=${kind} list='${[...(isWords ? operand : []), ...list].join(' ')}' ;;`;
}
