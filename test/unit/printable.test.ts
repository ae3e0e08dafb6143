import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Findings } from '../../src/attestation/findings.ts';
import { Printer } from '../../src/cli/terminal/printer.ts';
import { describeName } from '../../src/crypto/distinguished-name.ts';
import { MfaError } from '../../src/errors/mfa-error.ts';
import { PolicyError } from '../../src/errors/policy-error.ts';
import { KeyprovError, sayError } from '../../src/errors.ts';
import { printable, printableJson } from '../../src/printable.ts';
import { anyText } from '../any-text.ts';

/** Characters with an effect on a terminal, other than line ends. */
const HARMFUL = /[^\P{C}\n]|[\p{Zl}\p{Zp}]/u;
/** Clears the screen, sets the clipboard, turns the direction of text, adds a line, in C0, C1 and beyond. */
const EVIL =
  'a\u001b[2J\u001b]52;c;eA==\u0007\u009b1m\u202eb\r\nkeyprov: all is well\u2028\u2029\u0000\u{e0041}\ud800é😀';

describe('a text about input from outside', () => {
  const cause = new Error(EVIL);
  const findings = new Findings();
  findings.check('structures', () => EVIL);
  findings.check('structures', () => {
    throw cause;
  });
  const policy = new PolicyError([{ setting: 'pin', problem: EVIL, expected: 'another one' }]);
  const mfa = new MfaError('token-invalid', [{ code: 'user-other', message: EVIL }]);

  it.each<[string, string | undefined]>([
    ['the message of an error', new KeyprovError('store-io', EVIL).message],
    ['its remedy', new KeyprovError('store-io', '', { remedy: EVIL }).remedy],
    ['a problem of a policy', policy.problems[0]?.problem],
    ['a problem of an authentication', mfa.problems[0]?.message],
    ['an error in words', sayError(cause)],
    ['something thrown in words', sayError(EVIL)],
    ['the name in a certificate', describeName([[{ type: '2.5.4.3', value: EVIL }]])],
    ...findings.list.map(({ detail }): [string, string] => ['a finding', detail]),
  ])('is printable: %s', (_, text) => {
    expect(text).toContain(printable(EVIL));
    expect(text).not.toMatch(HARMFUL);
  });
});

describe('printable', () => {
  it('escapes unprintable characters, and leaves the rest', () => {
    expect(printable(EVIL)).toBe(
      'a\\u{1b}[2J\\u{1b}]52;c;eA==\\u{7}\\u{9b}1m\\u{202e}b\\u{d}\\u{a}keyprov: all is well' +
        '\\u{2028}\\u{2029}\\u{0}\\u{e0041}\\u{d800}é😀',
    );
    fc.assert(fc.property(anyText, (text) => !HARMFUL.test(printable(text)) && !printable(text).includes('\n')));
  });

  it('makes JSON with the same contents', () => {
    fc.assert(
      fc.property(fc.dictionary(anyText, fc.oneof(fc.jsonValue(), anyText, fc.array(anyText))), (value) => {
        const text = printableJson(value);
        expect(HARMFUL.test(text)).toBe(false);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });
});

describe('an error of this library', () => {
  it('has a message of one printable line, from any source', () => {
    expect(new KeyprovError('store-io', EVIL).message).toBe(printable(EVIL));
  });
});

describe('a Printer', () => {
  it('writes only its own control characters, with every method', () => {
    const ways: Record<string, (printer: Printer) => void> = {
      lines: (printer) => printer.lines(EVIL, EVIL),
      ask: (printer) => printer.ask(EVIL),
      replace: (printer) => printer.replace(EVIL),
      draw: (printer) => printer.draw(EVIL),
      help: (printer) => printer.help(EVIL),
      verbatim: (printer) => printer.verbatim(EVIL, EVIL),
      json: (printer) => printer.json({ [EVIL]: [EVIL] }),
    };
    const methods = Object.getOwnPropertyNames(Printer.prototype).filter((name) => name !== 'constructor');
    expect(Object.keys(ways).sort()).toEqual(methods.sort());
    for (const [name, write] of Object.entries(ways)) {
      let text = '';
      write(new Printer({ columns: 500, write: (part) => (text += part) }));
      expect([name, HARMFUL.test(text.replaceAll('\r\x1b[2K', ''))]).toEqual([name, false]);
    }
  });

  it('begins only a new line', () => {
    let text = '';
    new Printer({ write: (part) => (text += part) }).lines('one\ntwo', '');
    expect(text).toBe('one\\u{a}two\n\n');
  });
});
