import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../../src/bytes.ts';
import { LineEditor, type Typed } from '../../../../src/cli/terminal/line-editor.ts';

/** Types all bytes. Returns the last byte's effect, and the line. */
function typed(text: string): { readonly last: Typed | undefined; readonly line: string } {
  const editor = new LineEditor();
  const outcomes = [...utf8(text)].map((byte) => editor.type(byte));
  expect(outcomes.slice(0, -1).every((outcome) => outcome === 'more')).toBe(true);
  return { last: outcomes.at(-1), line: new TextDecoder().decode(editor.line()) };
}

describe('a line that is typed unseen', () => {
  it.each<[what: string, text: string, last: Typed, line: string]>([
    ['ends with Enter', '271828\r', 'line', '271828'],
    ['ends with a line feed', '271828\n', 'line', '271828'],
    ['may have any characters', 'pä ß€𝄞\r', 'line', 'pä ß€𝄞'],
    ['is shortened by backspace, a character at a time', 'aä€𝄞\x7f\x08\x7fb\r', 'line', 'ab'],
    ['begins again after Ctrl-U', 'wrong\x15right\r', 'line', 'right'],
    ['stays empty with backspace at its beginning', '\x7f\x7f\r', 'line', ''],
    ['knows nothing of arrows and function keys', 'a\x1b[Db\x1b[1;5Cc\x1bOPd\x1b[15~\r', 'line', 'abcd'],
    ['goes on after the escape key', 'a\x1b\r', 'line', 'a'],
    ['has no other control characters', 'a\x01\x1a\x00b\r', 'line', 'ab'],
    ['is interrupted by Ctrl-C', 'abc\x03', 'interrupt', 'abc'],
    ['ends the input with Ctrl-D where it is empty', '\x04', 'end', ''],
    ['ignores Ctrl-D where it is not', 'ab\x04', 'more', 'ab'],
  ])('%s', (_, text, last, line) => {
    expect(typed(text)).toEqual({ last, line });
  });

  it('has 1024 bytes at most, and forgets them when told to', () => {
    const editor = new LineEditor();
    for (let count = 0; count < 1100; count++) editor.type(0x61);
    expect(editor.line()).toHaveLength(1024);
    editor.wipe();
    expect(editor.line()).toHaveLength(0);
  });
});
