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
    ['knows nothing of the function keys of the Linux console', 'a\x1b[[Ab\x1b[[Ec\r', 'line', 'abc'],
    ['knows nothing of Alt with another key', 'a\x1b\x1b[Ab\x1b\x1bOPc\x1bxd\x1b\x7fe\x1bäf\r', 'line', 'abcdef'],
    ['knows nothing of the mouse', 'a\x1b[M !"b\x1b[<0;12;3Mc\r', 'line', 'abc'],
    [
      'knows nothing of late answers',
      'a\x1b]11;rgb:0/0/0\x1b\\b\x1b]0;x\x07c\x1bP1$r0m\x1b\\d\x1b[?1;2ce\r',
      'line',
      'abcde',
    ],
    ['has what follows Alt with P', 'a\x1bP55zc\x7fz\r', 'line', 'a55zz'],
    ['has what is pasted', '\x1b[200~27 1828\x1b[201~\r', 'line', '27 1828'],
    ['ends with Enter in the middle of a sequence', 'a\x1b[1\r', 'line', 'a'],
    ['ends with Enter in the middle of an answer', 'a\x1b]b\r', 'line', 'ab'],
    ['is interrupted in the middle of a sequence', 'a\x1b[1\x03', 'interrupt', 'a'],
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
