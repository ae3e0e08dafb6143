import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkPin } from '../../src/policy/check-pin.ts';
import { definePinPolicy, PIN_CHARACTER_USES } from '../../src/policy/pin-policy.ts';

const { judgePin } = await import(pathToFileURL(join(process.cwd(), 'web/pin-rules.js')).href);
const { TEXTS, fill, preferredLanguage } = await import(pathToFileURL(join(process.cwd(), 'web/texts.js')).href);

const use = fc.constantFrom(...PIN_CHARACTER_USES);
const policies = fc
  .record({
    minLength: fc.integer({ min: 4, max: 8 }),
    maxLength: fc.integer({ min: 9, max: 14 }),
    uppercase: use,
    lowercase: use,
    special: use,
    digits: use,
  })
  .filter(({ uppercase, lowercase, special, digits }) =>
    [uppercase, lowercase, special, digits].some((one) => one !== 'not-allowed'),
  )
  .map((settings) => definePinPolicy(settings));
const pins = fc.oneof(
  fc.string({ maxLength: 16, unit: fc.constantFrom(...'09aZ!~ äé€😀') }),
  fc.stringMatching(/^[0-9]{0,12}$/),
  fc
    .tuple(fc.nat(9), fc.nat(9), fc.nat(12))
    .map(([first, step, length]) => Array.from({ length }, (_, at) => (first + at * step) % 10).join('')),
);

describe('the hints of the window', () => {
  it("match the library's reasons against a PIN, rule by rule", () => {
    fc.assert(
      fc.property(policies, pins, (policy, pin) => {
        const broken = Array.from(judgePin(pin, policy), Object)
          .filter(({ holds }) => holds === false)
          .map(({ code }) => code);
        const codes: string[] = checkPin(new TextEncoder().encode(pin), policy).map(({ code }) => code);
        // While nothing is typed no rule is met that something has to be typed for.
        expect(broken.filter((code) => pin !== '' || code !== 'common-pattern').sort()).toEqual(codes.sort());
      }),
      { numRuns: 2000 },
    );
  });

  it('leave to the library what only it can check', () => {
    expect(judgePin('2718', definePinPolicy({ minLength: 4, history: 3 }))).toContainEqual({
      code: 'in-history',
      holds: undefined,
    });
  });
});

describe('the texts', () => {
  /** Each text with its path, to find texts that are missing in one language. */
  const flat = (table: object, path = ''): [string, string][] =>
    Object.entries(table).flatMap(([name, value]) =>
      typeof value === 'string' ? [[`${path}${name}`, value] as [string, string]] : flat(value, `${path}${name}.`),
    );
  const placeholders = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();

  it.each(Object.keys(TEXTS))('of %s are all there, with the same values in them', (language) => {
    const [own, english] = [flat(TEXTS[language]), flat(TEXTS.en)];
    expect(own.map(([name, text]) => [name, placeholders(text)])).toEqual(
      english.map(([name, text]) => [name, placeholders(text)]),
    );
    expect(own.filter(([, text]) => text.trim() === '')).toEqual([]);
  });

  it('are all shown somewhere', () => {
    const code = readFileSync('web/provision.js', 'utf8');
    expect(Object.keys(TEXTS.en).filter((name) => !code.includes(`'${name}'`) && !code.includes(`.${name}`))).toEqual(
      [],
    );
  });

  it('are chosen by the languages of the browser', () => {
    expect(preferredLanguage(['de-AT', 'en'])).toBe('de');
    expect(preferredLanguage(['fr-FR', 'en-GB'])).toBe('en');
    expect(preferredLanguage(['__proto__', 'fr'])).toBe('en');
    expect(fill('{min} of {user}', { min: 6, user: '$&' })).toBe('6 of $&');
  });
});
