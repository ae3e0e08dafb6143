import { describe, expect, test } from 'vitest';
import { fromHex, utf8 } from '../../../src/bytes.ts';
import {
  addToPinHistory,
  checkPin,
  definePinPolicy,
  judgePin,
  PinRefusedError,
  pinFromFile,
} from '../../../src/policy/index.ts';
import { checkPossiblePin } from '../../../src/policy/judge-pin.ts';

const rules = definePinPolicy({ minLength: 8, digits: 'not-allowed', history: 2 });

/** The codes of the broken rules; 'taken' if there are none. */
async function codesOf(work: () => unknown): Promise<readonly string[] | 'taken'> {
  try {
    await work();
    return 'taken';
  } catch (error) {
    if (!(error instanceof PinRefusedError)) throw error;
    return error.problems.map(({ code }) => code);
  }
}

const hex = (bytes: string) => fromHex(bytes.replaceAll(' ', ''));
const ENCODINGS: readonly (readonly [string, Uint8Array])[] = [
  ['UTF-8 with a byte order mark', hex('efbbbf 37 33 35 31 39 31')],
  ['UTF-16, little endian, with a byte order mark', hex('fffe 3700 3300 3500')],
  ['UTF-16, big endian, with a byte order mark', hex('feff 0037 0033 0035')],
  ['UTF-16 without a byte order mark', hex('3700 3300 3500 3100 3900 3100')],
  ['a zero at the end', hex('37 33 35 31 39 31 00')],
  ['Latin-1', hex('70 e4 73 73 77 6f 72 74')],
  ['a character that is cut off', hex('70 61 73 73 77 6f 72 c3')],
  ['an overlong form', hex('c0 b7 33 35 31 39 31 31')],
  ['half a surrogate pair', hex('ed a0 80 33 35 31 39 31')],
];

describe('judgePin', () => {
  test('names every reason at once, and what the rules are', async () => {
    expect(await codesOf(() => judgePin(utf8('1'), rules))).toEqual([
      'too-short',
      'digits-not-allowed',
      'common-pattern',
    ]);
    const error: unknown = await judgePin(utf8('1'), rules).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'pin-refused',
      message: expect.stringContaining('at least 8 characters long. Your PIN can'),
      remedy: expect.stringContaining("Can't include digits"),
    });
  });

  test('accepts what the rules allow, and refuses it if it is in the history', async () => {
    const pin = utf8('correct-horse');
    expect(await codesOf(() => judgePin(pin, rules))).toBe('taken');
    const history = await addToPinHistory({ entries: [] }, pin, { keep: 2, cost: 16 });
    expect(await codesOf(() => judgePin(pin, rules, { history }))).toEqual(['in-history']);
  });

  test.each(ENCODINGS)('refuses %s, with no other problem', async (_, bytes) => {
    expect(await codesOf(() => judgePin(bytes, rules))).toEqual(['encoding-invalid']);
    expect(checkPin(bytes, definePinPolicy()).map(({ code }) => code)).toEqual(['encoding-invalid']);
    expect(await codesOf(() => pinFromFile(bytes))).toEqual(['encoding-invalid']);
  });
});

describe('pinFromFile', () => {
  test.each([
    ['735191', '735191'],
    ['735191\n', '735191'],
    ['735191\r\n', '735191'],
    ['pässwört\n', 'pässwört'],
    ['two words\n', 'two words'],
  ])('of %j removes one newline and nothing else', (file, pin) => {
    expect(pinFromFile(utf8(file))).toEqual(utf8(pin));
  });

  test.each([
    ['735191\n\n', 'There is more than one line in pin.txt.'],
    ['735191\r', 'There is more than one line in pin.txt.'],
    ['735191\n# the PIN\n', 'There is more than one line in pin.txt.'],
    ['7351\t91', 'There is a control character in pin.txt.'],
    ['735191\u007f', 'There is a control character in pin.txt.'],
    [' 735191\n', 'There is a space at the beginning or end of pin.txt.'],
    ['735191 \n', 'There is a space at the beginning or end of pin.txt.'],
    ['735\u0000191', "Your PIN can't contain a zero byte (NUL)."],
    ['7\u00003\u00005\u0000', 'Your PIN must be text in UTF-8, not in UTF-16.'],
  ])('refuses %j, and says what is wrong', (file, message) => {
    expect(() => pinFromFile(utf8(file), { name: 'pin.txt' })).toThrow(message);
  });

  test('is named if a PIN ends with a newline', () => {
    const problem = 'There is a newline at the end of the PIN.';
    for (const end of ['\n', '\r\n']) expect(() => checkPossiblePin(utf8(`735191${end}`))).toThrow(problem);
    expect(() => checkPossiblePin(utf8('735191\n'))).toThrow(
      expect.objectContaining({ remedy: expect.stringContaining('pinFromFile') }),
    );
    expect(() => checkPossiblePin(utf8('735191\n\n'))).toThrow('There is more than one line in the PIN.');
  });

  test('refuses bytes that are not UTF-8', () => {
    expect(() => pinFromFile(hex('70 e4 73'))).toThrow(
      'Your PIN must be text in UTF-8, but some of its bytes are not.',
    );
  });

  test('returns a copy, so that the file can be wiped', () => {
    const file = utf8('735191');
    const pin = pinFromFile(file);
    file.fill(0);
    expect(pin).toEqual(utf8('735191'));
  });

  test('refuses an empty one and one that is too long, and says which file it is', async () => {
    expect(await codesOf(() => pinFromFile(utf8('\r\n')))).toEqual(['too-short']);
    expect(await codesOf(() => pinFromFile(utf8('')))).toEqual(['too-short']);
    expect(pinFromFile(utf8(`${'1'.repeat(1024)}\n`))).toHaveLength(1024);
    expect(await codesOf(() => pinFromFile(utf8('1'.repeat(1025))))).toEqual(['too-long']);
    expect(() => pinFromFile(utf8(''), { name: 'pin.txt' })).toThrow('There is no PIN in pin.txt.');
  });
});
