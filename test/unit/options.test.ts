import { describe, expect, it } from 'vitest';
import { codeOf, filesIn } from './source-files.ts';

/** The members of a type literal that begins right after `at`, an opening brace. */
function membersFrom(code: string, at: number): string[] {
  const members: string[] = [];
  let depth = 0;
  let start = at;
  for (let i = at; i < code.length; i++) {
    const character = code[i] ?? '';
    if ('{([<'.includes(character)) depth++;
    else if ('})]'.includes(character) || (character === '>' && code[i - 1] !== '=')) depth--;
    if (depth < 0) break;
    if (depth > 0 || character !== ';') continue;
    members.push(code.slice(start, i).trim().replaceAll(/\s+/g, ' '));
    start = i + 1;
  }
  return members;
}

/** `Type.member` for each optional member of a type of options. */
function* optionsIn(path: string): Generator<{ name: string; member: string }> {
  const code = codeOf(path);
  const heads = code.matchAll(/^(?:export )?(?:interface|type) (\w*Options)\b[^;{]*\{/gm);
  for (const head of heads) {
    for (const member of membersFrom(code, head.index + head[0].length)) {
      if (/^(?:readonly )?[\w$]+\?:/.test(member)) yield { name: `${path}: ${head[1]}`, member };
    }
  }
}

describe('options', () => {
  const all = filesIn(['src', 'native'], '.ts').flatMap((path) => [...optionsIn(path)]);

  it('accept undefined if they are optional', () => {
    expect(all.length).toBeGreaterThan(250);
    const wrong = all.filter(({ member }) => !/\| undefined$/.test(member));
    expect(wrong.map(({ name, member }) => `${name}: ${member}`)).toEqual([]);
  });
});
