import { describe, expect, it } from 'vitest';
import { isJsonObject, JsonMembers, type JsonRefusal, MAX_JSON_DEPTH, parseJson, showJson } from '../../src/json.ts';
import { codeOf, filesIn } from './source-files.ts';

const refused = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof TypeError) return error.message;
    throw error;
  }
  throw new Error('nothing was refused');
};

describe('parseJson', () => {
  it.each(['null', '0', '-1.5e3', '"a\\u0062\\"{}[],:"', '[]', '{}', ' {"a":[{"a":1},{"a":2}],"b":{"a":"a"}} '])(
    'reads %s as JSON.parse does',
    (text) => {
      expect(parseJson('it', text)).toEqual(JSON.parse(text));
      expect(parseJson('it', new TextEncoder().encode(text))).toEqual(JSON.parse(text));
    },
  );

  it.each([
    ['{"a":1,"a":1}', '"a"'],
    ['{"a":1,"b":2,"a":3}', '"a"'],
    ['{"a":1,"\\u0061":2}', '"a"'],
    ['[0,{"b":{"":1,"x":[{}],"":2}}]', '""'],
    ['{"a":{"b":1} , "a" :2}', '"a"'],
    ['{"__proto__":1,"__proto__":2}', '"__proto__"'],
    ['{"a\\"":1,"a\\"":2}', '"a\\""'],
  ])('refuses %s, in which a member appears twice', (text, name) => {
    expect(refused(() => parseJson('it', text))).toBe(`it: the member ${name} appears twice`);
  });

  it('accepts the same text as a value twice, and as name and value', () => {
    expect(parseJson('it', '{"a":"b","b":"b","c":["b","b","a"]}')).toEqual({ a: 'b', b: 'b', c: ['b', 'b', 'a'] });
  });

  it('makes of __proto__ a member like others', () => {
    const value = parseJson('it', '{"__proto__":{"admin":true},"a":1}');
    expect(isJsonObject(value) && Object.keys(value)).toEqual(['__proto__', 'a']);
    expect(Reflect.get(Object(value), 'admin')).toBe(undefined);
    const members = JsonMembers.parse('it', '{"__proto__":{"admin":true}}');
    expect(members.value('admin')).toBe(undefined);
    expect(members.value('toString')).toBe(undefined);
    expect(Object.getPrototypeOf(members.all())).toBe(null);
    expect(Object.keys(members.all())).toEqual(['__proto__']);
  });

  it('accepts nested lists and objects up to the limit, and refuses one more', () => {
    const nested = (depth: number) => `${'[{"a":'.repeat(depth / 2)}1${'}]'.repeat(depth / 2)}`;
    expect(parseJson('it', nested(MAX_JSON_DEPTH))).toEqual(JSON.parse(nested(MAX_JSON_DEPTH)));
    expect(refused(() => parseJson('it', `[${nested(MAX_JSON_DEPTH)}]`))).toBe('it: nested deeper than 64');
  });

  it.each([
    ['[', ']'],
    ['{"a":', '}'],
    ['[', ''],
  ])('refuses 100,000 times %s, with the error of the caller', (open, close) => {
    const text = `${open.repeat(100_000)}${close === '' ? '' : `1${close.repeat(100_000)}`}`;
    expect(refused(() => parseJson('it', text))).toMatch(/^it: (?:nested deeper than 64|not JSON: .*)$/);
  });

  it('looks at each character a few times only, however many members there are', () => {
    const text = `{${Array.from({ length: 30_000 }, (_, i) => `"m${i}":"${'x'.repeat(20)}"`).join(',')}}`;
    expect(Object.keys(Object(parseJson('it', text)))).toHaveLength(30_000);
  });

  it.each([
    ['{"token":"secret",}', /^it: not JSON: [^"]*$/],
    ['{"token":secret}', /^it: not JSON: Unexpected token 's'$/],
    ['secret', /^it: not JSON: Unexpected token 's'$/],
    ['"secret', /^it: not JSON: [^"]*$/],
    ['undefined', /^it: not JSON$/],
    ['', /^it: not JSON: Unexpected end of JSON input$/],
  ])('does not quote %s', (text, said) => {
    const message = refused(() => parseJson('it', text));
    expect(message).toMatch(said);
    expect(message).not.toMatch(/secret|undefined/);
  });

  it('refuses bytes that are not UTF-8, and a byte order mark', () => {
    expect(refused(() => parseJson('it', Uint8Array.of(0x22, 0xff, 0x22)))).toBe('it: not UTF-8');
    expect(refused(() => parseJson('it', Uint8Array.of(0xef, 0xbb, 0xbf, 0x30)))).toMatch(/^it: not JSON/);
  });

  it('throws the error that the caller makes', () => {
    const refuse: JsonRefusal = (where, problem) => new RangeError(`${where} | ${problem}`);
    expect(() => parseJson('it', '{"a":1,"a":2}', refuse)).toThrow(new RangeError('it | the member "a" appears twice'));
    expect(() => parseJson('it', '{', refuse)).toThrow(RangeError);
    expect(() => parseJson('it', Uint8Array.of(0xff), refuse)).toThrow(new RangeError('it | not UTF-8'));
  });
});

/** Unexpected values that a peer may send. */
const HOSTILE: readonly unknown[] = [
  null,
  true,
  -1,
  1.5,
  'not what is wanted',
  [],
  [[]],
  {},
  { toString: 1 },
  { toString: 1, valueOf: 2, toJSON: 3, length: 1, __proto__: null },
  [{ toString: 1 }],
];

describe('JsonMembers', () => {
  const members = (value: unknown) => new JsonMembers('it', { m: value });

  it.each([
    ['text', 'x', 'it: m: not a string'],
    ['integer', 7, 'it: m: not a whole number'],
    ['boolean', false, 'it: m: not true or false'],
    ['list', [1], 'it: m: not an array'],
    ['object', { a: 1 }, 'it: m: not an object'],
  ] as const)('reads %s and nothing else', (kind, good, said) => {
    expect(members(good)[kind]('m')).toEqual(good);
    expect(refused(() => members(good)[kind]('toString'))).toBe('it: toString: missing');
    const others = HOSTILE.filter((value) => {
      if (kind === 'list') return !Array.isArray(value);
      return kind === 'object' ? !isJsonObject(value) : typeof value !== typeof good || typeof value === 'number';
    });
    for (const value of others) expect(refused(() => members(value)[kind]('m'))).toBe(said);
  });

  it('reads bytes in hexadecimal, base64 and base64url', () => {
    expect(members('fbff').hex('m')).toEqual(Uint8Array.of(0xfb, 0xff));
    expect(members('+/8=').base64('m')).toEqual(Uint8Array.of(0xfb, 0xff));
    expect(members('-_8').base64Url('m')).toEqual(Uint8Array.of(0xfb, 0xff));
    expect(members(['+/8=', '']).base64List('m')).toEqual([Uint8Array.of(0xfb, 0xff), Uint8Array.of()]);
    expect(refused(() => members('-_8').base64('m'))).toBe('it: m: not canonical padded base64');
    expect(refused(() => members(['', '-_8']).base64List('m'))).toBe('it: m[1]: not canonical padded base64');
    for (const value of HOSTILE) {
      for (const read of ['hex', 'base64', 'base64Url'] as const) refused(() => members(value)[read]('m'));
    }
    expect(refused(() => members([{ toString: 1 }]).base64List('m'))).toBe('it: m[0]: not a string');
  });

  it('reads one of some texts', () => {
    expect(members('b').oneOf('m', ['a', 'b'])).toBe('b');
    for (const value of HOSTILE)
      expect(refused(() => members(value).oneOf('m', ['a', 'b']))).toMatch(/not one of a, b$/);
  });

  it('reads the members of a member, under its name, and hands on how to refuse', () => {
    const refuse: JsonRefusal = (where, problem) => new RangeError(`${where} | ${problem}`);
    const outer = new JsonMembers('it', { m: { n: 1 } }, refuse);
    expect(outer.members('m').integer('n')).toBe(1);
    expect(() => outer.members('m').text('n')).toThrow(new RangeError('it: m: n | not a string'));
    expect(() => outer.members('m', ['o'])).toThrow(new RangeError('it: m | unknown member "n"'));
    expect(() => outer.members('x')).toThrow(new RangeError('it: x | missing'));
  });

  it('accepts only known members if they are listed', () => {
    expect(new JsonMembers('it', { a: 1 }, undefined, ['a', 'b']).has('a')).toBe(true);
    expect(refused(() => new JsonMembers('it', { a: 1, c: 2 }, undefined, ['a', 'b']))).toBe('it: unknown member "c"');
  });

  it.each([[null], [undefined], [[]], ['x'], [1]])('is not made of %j', (value) => {
    expect(refused(() => new JsonMembers('it', value))).toBe('it: not a JSON object');
  });
});

describe('showJson', () => {
  it('shows every value and calls nothing of it', () => {
    const shown = HOSTILE.map(showJson);
    expect(shown.slice(0, 5)).toEqual(['null', 'true', '-1', '1.5', '"not what is wanted"']);
    expect(shown.slice(5)).toEqual(['an array', 'an array', 'an object', 'an object', 'an object', 'an array']);
    expect([undefined, 5n, Symbol('s')].map(showJson)).toEqual(['undefined', '5', 'Symbol(s)']);
    expect(showJson('x'.repeat(50))).toBe(`"${'x'.repeat(40)}…"`);
  });
});

describe('the sources', () => {
  it('read JSON in one place', () => {
    const others = filesIn(['src', 'native'], '.ts').filter((path) => /\bJSON\s*\.\s*parse\b/.test(codeOf(path)));
    expect(others).toEqual(['src/json.ts']);
  });
});
