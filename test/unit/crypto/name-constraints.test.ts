import { describe, expect, it } from 'vitest';
import { concat, fromHex } from '../../../src/bytes.ts';
import type { DistinguishedName } from '../../../src/crypto/distinguished-name.ts';
import type { GeneralName } from '../../../src/crypto/general-name.ts';
import { Comparisons, nameProblem } from '../../../src/crypto/name-constraints.ts';

const dns = (value: string): GeneralName => ({ kind: 'dns', value });
const email = (value: string): GeneralName => ({ kind: 'email', value });
const uri = (value: string): GeneralName => ({ kind: 'uri', value });
const ip = (hex: string): GeneralName => ({ kind: 'ip', value: fromHex(hex) });
const other = (value: number): GeneralName => ({ kind: 'other', value, der: fromHex('8800') });
const directory = (...values: readonly string[]): GeneralName => ({ kind: 'directory', value: nameOf(...values) });
const nameOf = (...values: readonly string[]): DistinguishedName => values.map((value) => [{ type: '2.5.4.3', value }]);

interface Case {
  readonly permitted?: readonly GeneralName[];
  readonly excluded?: readonly GeneralName[];
  readonly subject?: DistinguishedName;
}
const problem = (names: readonly GeneralName[], { permitted = [], excluded = [], subject = [] }: Case) =>
  nameProblem({ subject, subjectAltNames: names }, { nameConstraints: { permitted, excluded } }, new Comparisons());

describe('nameProblem', () => {
  it('is none without constraints', () => {
    const names = { subject: nameOf('x'), subjectAltNames: [dns('*')] };
    expect(nameProblem(names, { nameConstraints: undefined }, new Comparisons())).toBeUndefined();
  });

  it.each<[string, GeneralName, string]>([
    ['a host', dns('x.test'), "'x.test'"],
    ['a mailbox', email('a@x.test'), "'a@x.test'"],
    ['a URI', uri('https://x.test'), "'https://x.test'"],
    ['an address', ip('0a000001'), 'the address 10.0.0.1'],
    ['an address of version 6', ip('20010db8000000000000000000000001'), 'the address 2001:db8::1'],
    ['a directory name', directory('x'), 'CN=x'],
    ['a name of another kind', other(8), 'a name of type 8'],
  ])('names %s that is excluded', (_, name, description) => {
    const base: GeneralName = name.kind === 'ip' ? { ...name, value: concat(name.value, name.value) } : name;
    const wider = name.kind === 'uri' ? uri('x.test') : name.kind === 'email' ? email('x.test') : base;
    expect(problem([name], { excluded: [wider] })).toBe(`${description} is not allowed by the name constraints`);
  });

  it.each<[string, GeneralName, GeneralName]>([
    ['a host', dns('x.test'), dns('y.test')],
    ['a mailbox', email('a@x.test'), email('y.test')],
    ['a URI', uri('https://x.test'), uri('y.test')],
    ['an address', ip('0a000001'), ip('0b000000ff000000')],
    ['a directory name', directory('x'), directory('y')],
  ])('accepts %s that is not excluded and that one of several constraints permits', (_, name, otherBase) => {
    expect(problem([name], { excluded: [otherBase] })).toBeUndefined();
    expect(problem([name], { permitted: [otherBase] })).toContain('is not allowed by the name constraints');
    const base: GeneralName =
      name.kind === 'ip'
        ? ip('0a000000ff000000')
        : name.kind === 'email' || name.kind === 'uri'
          ? { kind: name.kind, value: 'x.test' }
          : name;
    expect(problem([name], { permitted: [otherBase, base] })).toBeUndefined();
    expect(problem([name], { permitted: [base, otherBase] })).toBeUndefined();
  });

  it('does not apply constraints of one name type to another', () => {
    const names = [dns('x.test'), email('a@x.test'), uri('https://x.test'), ip('0a000001'), directory('x'), other(8)];
    const bases = [dns('x.test'), email('x.test'), uri('x.test'), ip('0a000000ff000000'), directory('x'), other(8)];
    for (const [i, name] of names.entries()) {
      const others = bases.filter((_, k) => k !== i);
      expect(problem([name], { excluded: others })).toBeUndefined();
      expect(problem([name], { permitted: others })).toBeUndefined();
    }
    expect(problem([other(8)], { excluded: [other(5)] })).toBeUndefined();
    expect(problem([other(8)], { permitted: [other(5)] })).toBeUndefined();
  });

  it('applies them to the subject, and to its mailboxes if there are no others', () => {
    const mail = (value: string): DistinguishedName => [[{ type: '1.2.840.113549.1.9.1', value }]];
    expect(problem([], { subject: nameOf('x'), excluded: [directory('x')] })).toContain('CN=x is not allowed');
    expect(problem([], { subject: nameOf('x'), excluded: [email('x')] })).toBeUndefined();
    expect(problem([], { subject: mail('a@x.test'), excluded: [email('x.test')] })).toContain("'a@x.test' is not");
    expect(problem([dns('y')], { subject: mail('a@x.test'), excluded: [email('x.test')] })).toContain("'a@x.test'");
    const named = { subject: mail('a@x.test'), excluded: [email('x.test')] };
    expect(problem([email('a@y.test')], named)).toBeUndefined();
    expect(problem([email('a@x.test')], { ...named, subject: [] })).toContain("'a@x.test'");
    // An empty subject is not a name.
    expect(problem([dns('y')], { permitted: [directory('x')] })).toBeUndefined();
  });
});

/** Whether a name is within a base; undefined if that is unknown. */
function within(base: GeneralName, name: GeneralName): boolean | undefined {
  const isPermitted = problem([name], { permitted: [base] }) === undefined;
  const isExcluded = problem([name], { excluded: [base] }) !== undefined;
  if (isPermitted !== isExcluded && !isPermitted) return undefined;
  expect(isExcluded).toBe(isPermitted);
  return isPermitted;
}

const label = 'a'.repeat(63);
const LONGEST = [label, label, label, 'b'.repeat(61)].join('.');

describe('a host', () => {
  it.each<[string, string, boolean | undefined]>([
    ['x.test', 'x.test', true],
    ['x.test', 'a.X.TEST', true],
    ['x.test', 'ax.test', false],
    ['.x.test', 'a.x.test', true],
    ['.x.test', 'x.test', false],
    ['', 'x.test', true],
    ['', 'X.Test', true],
    ['', '*.X.test', true],
    ['', 'x..test', undefined],
    ['', '*.x..test', undefined],
    ['', '', undefined],
    ['', '1.2.3.4', undefined],
    ['', 'x.4', undefined],
    ['', 'x.4a', true],
    ['', '5', undefined],
    ['x_y.test', '_x.x_y.test', true],
    ['x-y.test', 'a-b.x-y.test', true],
    ['x.test', '-a.x.test', undefined],
    ['x.test', 'a-.x.test', undefined],
    ['b..test', 'x.test', undefined],
    ['.b..test', 'x.test', undefined],
    ['..', 'x.test', undefined],
    [LONGEST, LONGEST, true],
    [`${'b'.repeat(61)}`, LONGEST, true],
    ['', LONGEST, true],
    ['', `${LONGEST}b`, undefined],
    ['b', `${LONGEST}b`, undefined],
    ['', `${label}.test`, true],
    ['', `${label}a.test`, undefined],
    ['x.test', '*.x.test', true],
    ['.x.test', '*.x.test', true],
    ['a.x.test', '*.x.test', undefined],
    ['.a.x.test', '*.x.test', undefined],
    ['b.a.x.test', '*.x.test', undefined],
    ['a.y.test', '*.x.test', false],
    ['x.test', '*.a.x.test', true],
    ['x.test', '*..x.test', undefined],
  ])('below %j: %j is %s', (base, name, expected) => {
    expect(within(dns(base), dns(name))).toBe(expected);
  });
});

describe('a mailbox', () => {
  it.each<[string, string, boolean | undefined]>([
    ['x.test', 'a@x.test', true],
    ['x.test', 'a@X.Test', true],
    ['x.test', 'a@b.x.test', false],
    ['.x.test', 'a@b.x.test', true],
    ['.x.test', 'a@x.test', false],
    ['a@x.test', 'a@x.test', true],
    ['a@x.test', 'a@X.TEST', true],
    ['a@x.test', 'A@x.test', false],
    ['a@x.test', 'a@y.test', false],
    ['A@x.test', 'b@y.test', false],
    ['', 'a@x.test', true],
    ['', 'a@X.Test', true],
    ['', 'a@x..test', undefined],
    ['', 'a@', undefined],
    ['', '@x.test', undefined],
    ['', 'a', undefined],
    ['', '', undefined],
    ['', 'a@b@x.test', undefined],
    ['x.test', "a.b+c!#$%&'*-/=?^_`{|}~9@x.test", true],
    ['x.test', 'a b@x.test', undefined],
    ['x.test', ' ab@x.test', undefined],
    ['x.test', 'ab @x.test', undefined],
    ['x.test', '"a"@x.test', undefined],
    ['"a"@x.test', 'a@x.test', undefined],
    ['a@@x.test', 'a@x.test', undefined],
    ['@x.test', 'a@x.test', undefined],
    ['a@', 'a@x.test', undefined],
    ['a@x..test', 'a@x.test', undefined],
    ['x..test', 'a@x.test', undefined],
  ])('at %j: %j is %s', (base, name, expected) => {
    expect(within(email(base), email(name))).toBe(expected);
  });
});

describe('a URI', () => {
  it.each<[string, string, boolean | undefined]>([
    ['x.test', 'https://x.test', true],
    ['x.test', 'https://x.test/a/b', true],
    ['x.test', 'HTTPS://X.Test?a', true],
    ['x.test', 'a1+.-://x.test#a', true],
    ['x.test', 'https://x.test:443/', true],
    ['x.test', 'https://x.test:/', true],
    ['x.test', 'https://x.test:443a/', undefined],
    ['x.test', 'https://x.test:443:443/', undefined],
    ['x.test', 'https://user:1@x.test/', true],
    ['x.test', 'https://x.test@y.test/', false],
    ['x.test', 'https://a@b@x.test/', undefined],
    ['x.test', 'https://y.test/x.test', false],
    ['x.test', 'https://y.test?@x.test', false],
    ['x.test', 'https://y.test#@x.test', false],
    ['x.test', 'https://a.x.test', false],
    ['.x.test', 'https://a.x.test', true],
    ['x.test', 'https:/x.test', undefined],
    ['x.test', 'https:x.test', undefined],
    ['x.test', 'https:a//x.test', undefined],
    ['x.test', 'https:/b/x.test', undefined],
    ['x.test', '1https://x.test', undefined],
    ['x.test', ' https://x.test', undefined],
    ['x.test', 'ht_tps://x.test', undefined],
    ['x.test', 'https//x.test', undefined],
    ['x.test', 'https:b//x.test', undefined],
    ['x.test', '://x.test', undefined],
    ['x.test', '//x.test', undefined],
    ['x.test', 'https://', undefined],
    ['x.test', 'https://x.test/\u0000', undefined],
    ['x.test', 'https://x.test/\u007f', undefined],
    ['x.test', 'https://x.test/\\', undefined],
    ['x.test', 'https://x.test/!~', true],
    ['x.test', '', undefined],
    ['x..test', 'https://x.test', undefined],
    ['', 'https://x.test', undefined],
  ])('at %j: %j is %s', (base, name, expected) => {
    expect(within(uri(base), uri(name))).toBe(expected);
  });
});

describe('an address', () => {
  const v6 = '20010db8000000000000000000000001';
  it.each<[string, string, boolean | undefined]>([
    ['0a000000ff000000', '0affffff', true],
    ['0a000000ff000000', '0b000000', false],
    ['0a0b0c0dffffffff', '0a0b0c0d', true],
    ['0a0b0c0dffffffff', '0a0b0c0c', false],
    ['0a0b0c0dfffffffe', '0a0b0c0c', true],
    ['0a0b0c0d00000000', 'ff000001', true],
    ['0a000000ff00ff00', '0a000000', undefined],
    ['0a000000fd000000', '0a000000', undefined],
    ['0a00000000ff0000', '0a000000', undefined],
    ['0a0000000f000000', '0a000000', undefined],
    [`${v6}${'ff'.repeat(16)}`, v6, true],
    [`${v6}${'ff'.repeat(15)}00`, v6.replace(/01$/, '02'), true],
    [`${v6}${'ff'.repeat(16)}`, v6.replace(/01$/, '02'), false],
    [`${v6}${'ff'.repeat(16)}`, '0a000000', false],
    ['0a000000ff000000', v6, false],
    ['0a000000', '0a000000', undefined],
    ['0a000000ff0000', '0a000000', undefined],
    ['0a000000ff000000ff', '0a000000', undefined],
    [`0a00000000${'ff'.repeat(5)}`, '0a000000', undefined],
    ['', '0a000000', undefined],
    ['0a000000ff000000', '0a0000', undefined],
    ['0a0000ff0000', '0a0000', undefined],
    ['0a000000ff000000', '', undefined],
  ])('in %s: %s is %s', (base, name, expected) => {
    expect(within(ip(base), ip(name))).toBe(expected);
  });
});

it('a name of a kind that is not read is not known to be within any', () => {
  expect(within(other(8), other(8))).toBeUndefined();
});
