import { afterEach, describe, expect, it } from 'vitest';
import { shellWord } from '../../../src/storage/shell-word.ts';

const { platform } = process;
afterEach(() => {
  Object.defineProperty(process, 'platform', { value: platform });
});
const on = (value: NodeJS.Platform) => Object.defineProperty(process, 'platform', { value });

describe('shellWord', () => {
  it.each([
    ['key', 'key'],
    ['libtpms:/a/b-c_d.1', 'libtpms:/a/b-c_d.1'],
    ['', "''"],
    ['a b', "'a b'"],
    ["a'b", "'a'\\''b'"],
    ['a"b', `'a"b'`],
    ['$HOME', "'$HOME'"],
    ['~', "'~'"],
    ['a\\b', "'a\\b'"],
  ])('writes %j for a POSIX shell', (text, word) => {
    on('linux');
    expect(shellWord(text)).toBe(word);
  });

  it.each([
    ['C:\\Users\\ada~1', 'C:\\Users\\ada~1'],
    ["C:\\a'b c", '"C:\\a\'b c"'],
  ])('writes %j for Windows', (text, word) => {
    on('win32');
    expect(shellWord(text)).toBe(word);
  });
});
