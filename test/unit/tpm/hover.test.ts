import { describe, expect, it } from 'vitest';
import { filesIn, textOf } from '../source-files.ts';

const FOLDERS = [
  ['src/tpm/commands', 60],
  ['src/tpm/structures', 95],
] as const;

/** Each exported constant of a file, with the doc comment directly before it on one line; empty if there is none. */
function constantsOf(path: string): { readonly name: string; readonly comment: string }[] {
  const found = textOf(path).matchAll(/(?:^\/\*\*((?:[^*]|\*(?!\/))*)\*\/\n)?^export const (\w+)/gm);
  return [...found].map(([, comment = '', name = '']) => ({
    name,
    comment: comment.replace(/\n \*/g, ' ').replace(/\s+/g, ' ').trim(),
  }));
}

describe.each(FOLDERS)('hovering over a name of %s', (folder, atLeast) => {
  it('shows a sentence, the name in the specification, and the section', () => {
    const constants = filesIn([folder], '.ts')
      .filter((path) => !path.endsWith('/index.ts'))
      .flatMap(constantsOf);
    expect(constants.length).toBeGreaterThan(atLeast);
    const form = /^[A-Z][^@]*[\w)]\. (?:TPM|UINT|BYTE)[\w+ ]*, Part [23], \d+(?:\.\d+)+\.$/;
    expect(constants.filter(({ comment }) => !form.test(comment))).toEqual([]);
  });
});
