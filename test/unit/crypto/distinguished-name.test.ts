import { describe, expect, it } from 'vitest';
import { type DistinguishedName, describeName, isSameName, isWithin } from '../../../src/crypto/distinguished-name.ts';

const [CN, C, O, OU] = ['2.5.4.3', '2.5.4.6', '2.5.4.10', '2.5.4.11'];
/** A name of one attribute for each part. */
const nameOf = (...parts: readonly (readonly [type: string | undefined, value: string])[]): DistinguishedName =>
  parts.map(([type = '', value]) => [{ type, value }]);

describe('describeName', () => {
  it('writes relative names from the root on, with short names where there are some', () => {
    expect(describeName(nameOf([C, 'DE'], [O, 'a'], [OU, 'b'], [CN, 'c'], ['1.2.3', 'd']))).toBe(
      'C=DE, O=a, OU=b, CN=c, 1.2.3=d',
    );
    expect(
      describeName([
        [
          { type: '2.5.4.3', value: 'a' },
          { type: '2.5.4.10', value: 'b' },
        ],
      ]),
    ).toBe('CN=a+O=b');
    expect(describeName([])).toBe('(no name)');
  });
});

describe('isSameName', () => {
  const name = nameOf([O, 'Maker'], [CN, 'TPM 1']);

  it.each([
    ['other case', nameOf([O, 'mAKER'], [CN, 'tpm 1'])],
    ['white space around and within', nameOf([O, '  Maker '], [CN, 'TPM \t\n 1'])],
    ['a soft hyphen', nameOf([O, 'Ma\u00adker'], [CN, 'TPM 1'])],
    ['wide letters', nameOf([O, '\uff2daker'], [CN, 'TPM 1'])],
  ])('takes %s', (_, other) => {
    expect(isSameName(name, other)).toBe(true);
    expect(isSameName(other, name)).toBe(true);
  });

  it.each([
    ['another value', nameOf([O, 'Maker'], [CN, 'TPM 2'])],
    ['no white space', nameOf([O, 'Maker'], [CN, 'TPM1'])],
    ['another type', nameOf([O, 'Maker'], [OU, 'TPM 1'])],
    ['another order', nameOf([CN, 'TPM 1'], [O, 'Maker'])],
    ['a part less', nameOf([O, 'Maker'])],
    ['a part more', nameOf([O, 'Maker'], [CN, 'TPM 1'], [CN, 'x'])],
    ['no parts', []],
  ])('does not take %s', (_, other) => {
    expect(isSameName(name, other)).toBe(false);
    expect(isSameName(other, name)).toBe(false);
  });

  it('does not depend on the order within a relative name', () => {
    const attributes = [
      { type: '2.5.4.3', value: 'a' },
      { type: '2.5.4.10', value: 'b' },
    ];
    expect(isSameName([attributes], [attributes.toReversed()])).toBe(true);
    expect(isSameName([attributes], [attributes.slice(1)])).toBe(false);
  });

  it('folds letters that have several lower-case forms', () => {
    expect(isSameName(nameOf([CN, 'ς']), nameOf([CN, 'σ']))).toBe(true);
    expect(isSameName(nameOf([CN, 'İ']), nameOf([CN, 'i\u0307']))).toBe(true);
    expect(isSameName(nameOf([CN, 'straße']), nameOf([CN, 'STRASSE']))).toBe(true);
  });
});

describe('isWithin', () => {
  it('permits a name and the names below it', () => {
    const base = nameOf([O, 'Maker']);
    expect(isWithin(base, base)).toBe(true);
    expect(isWithin(base, nameOf([O, 'maker'], [CN, 'x']))).toBe(true);
    expect(isWithin([], base)).toBe(true);
    expect(isWithin(base, [])).toBe(false);
    expect(isWithin(nameOf([O, 'Maker'], [CN, 'x']), base)).toBe(false);
  });
});
