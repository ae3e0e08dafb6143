import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes.ts';
import {
  addToPinHistory,
  checkNewPin,
  checkPin,
  definePinPolicy,
  describePinRules,
  layerOf,
  mergePolicy,
  PIN_SPECIAL_CHARACTERS,
  type PinPolicy,
  type PolicyDocuments,
} from '../../../src/policy/index.ts';

interface Vectors {
  readonly simplePin: { readonly examples: readonly { readonly pin: string; readonly rejected: boolean }[] };
  readonly specialCharacters: readonly string[];
  readonly pinCases: readonly {
    readonly policy: Readonly<Record<string, number>>;
    readonly pin: string;
    readonly history?: readonly string[];
    readonly valid: boolean | 'ambiguous';
    readonly why: string;
  }[];
}
const vectors: Vectors = JSON.parse(readFileSync('test/vectors/policy.json', 'utf8'));

const anyPin = definePinPolicy({ minLength: 4 });
const codes = (pin: string, policy: PinPolicy = anyPin): string[] =>
  checkPin(utf8(pin), policy).map(({ code }) => code);

describe('the vectors of policy.json', () => {
  it.each(vectors.simplePin.examples)('pattern of $pin refused: $rejected', ({ pin, rejected }) => {
    expect(codes(pin)).toEqual(rejected ? ['common-pattern'] : []);
  });

  it('have exactly the special characters that are allowed', () => {
    expect([...PIN_SPECIAL_CHARACTERS]).toEqual(vectors.specialCharacters);
    expect(PIN_SPECIAL_CHARACTERS).toHaveLength(32);
  });

  const generations: PolicyDocuments[] = ['2016', 'current'];
  it.each(generations.flatMap((documents) => vectors.pinCases.map((vector) => ({ documents, ...vector }))))(
    '$documents: $why ($pin)',
    async ({ documents, policy: settings, pin, history = [], valid }) => {
      const named = Object.entries(settings).map(([name, value]) => [`PINComplexity/${name}`, value]);
      const layer = layerOf({ windows: Object.fromEntries(named) }, { source: 'gpo' });
      const { policy } = mergePolicy([layer], { documents });
      let past = { entries: [] as const } as Parameters<typeof addToPinHistory>[0];
      for (const old of history) past = await addToPinHistory(past, utf8(old), { keep: 50, cost: 16 });
      const problems = await checkNewPin(utf8(pin), policy.pin, { history: past });
      expect(problems.length === 0).toBe(valid === 'ambiguous' ? documents === '2016' : valid);
    },
  );
});

describe('checkPin', () => {
  /** How many PINs that begin with this digit and have so many more are refused, of all there are. */
  const countRefused = (first: number, others: number): number => {
    const pin = new Uint8Array(others + 1).fill(0x30);
    pin[0] = 0x30 + first;
    let refused = 0;
    for (let at = 1; at > 0; ) {
      if (checkPin(pin, anyPin).length > 0) refused++;
      for (at = others; at > 0; at--) {
        const digit = pin[at] ?? 0;
        pin[at] = digit === 0x39 ? 0x30 : digit + 1;
        if (digit !== 0x39) break;
      }
    }
    return refused;
  };
  const digits = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

  it.each([4, 5, 6])('refuses exactly 100 numeric PINs of %i digits as common patterns, of all there are', (length) => {
    expect(digits.map((first) => countRefused(first, length - 1))).toEqual(digits.map(() => 10));
  });

  it('refuses exactly 100 numeric PINs of 7 digits: 10 that begin with 0, and as many for each other digit', () => {
    expect(countRefused(0, 6)).toBe(10);
    // Adding the same number to all digits is one-to-one and does not change which PINs are refused.
    fc.assert(
      fc.property(fc.array(fc.nat(9), { minLength: 7, maxLength: 7 }), fc.nat(9), (pin, more) => {
        const shifted = pin.map((digit) => (digit + more) % 10);
        expect(codes(shifted.join(''))).toEqual(codes(pin.join('')));
      }),
      { numRuns: 500 },
    );
    const patterns = digits.flatMap((first) =>
      digits.map((step) => Array.from({ length: 7 }, (_, index) => (first + index * step) % 10).join('')),
    );
    expect(new Set(patterns).size).toBe(100);
    expect(patterns.every((pin) => codes(pin).join() === 'common-pattern')).toBe(true);
  });

  it('applies the pattern to purely numeric PINs only', () => {
    expect(codes('123456')).toEqual(['common-pattern']);
    expect(codes('12345a')).toEqual([]);
    expect(codes('aaaaaa')).toEqual([]);
    expect(codes('------')).toEqual([]);
  });

  it('counts characters from the minimum to the maximum', () => {
    const policy = definePinPolicy({ minLength: 5, maxLength: 7 });
    const found = ['2580', '25809', '2580963', '25809631'].map((pin) => codes(pin, policy));
    expect(found).toEqual([['too-short'], [], [], ['too-long']]);
    expect(codes('', policy)).toEqual(['too-short']);
  });

  it('reports every problem at once, in the words of Windows', () => {
    const policy = definePinPolicy({
      minLength: 8,
      uppercase: 'required',
      lowercase: 'required',
      special: 'required',
      digits: 'not-allowed',
    });
    expect(checkPin(utf8('1111'), policy)).toEqual([
      { code: 'too-short', message: 'Your PIN must be at least 8 characters long.' },
      { code: 'uppercase-required', message: 'Your PIN must include at least one uppercase letter.' },
      { code: 'lowercase-required', message: 'Your PIN must include at least one lowercase letter.' },
      { code: 'special-required', message: 'Your PIN must include at least one special character.' },
      { code: 'digits-not-allowed', message: "Your PIN can't include digits." },
      { code: 'common-pattern', message: "Your PIN can't be a common number pattern." },
    ]);
  });

  it.each([
    ['uppercase', 'abc123', 'ABC123'],
    ['lowercase', 'ABC123', 'abc123'],
    ['special', 'abc123', '---123'],
    ['digits', 'abcdef', 'abc123'],
  ] as const)('requires, allows or refuses %s', (name, without, having) => {
    const uses = {
      allowed: [[], []],
      required: [[`${name}-required`], []],
      'not-allowed': [[], [`${name}-not-allowed`]],
    };
    for (const use of ['allowed', 'required', 'not-allowed'] as const) {
      const policy = definePinPolicy({ [name]: use });
      expect([codes(without, policy), codes(having, policy)]).toEqual(uses[use]);
    }
  });

  it.each(['12é456', '12 456', '12\t456', '12\u007f456', '１２３４５６', '12\u0001456', '💥💥💥💥💥💥'])(
    'refuses characters outside the four sets: %j',
    (pin) => {
      expect(codes(pin)).toEqual(['character-not-allowed']);
    },
  );

  it('refuses bytes that are not UTF-8', () => {
    for (const bytes of [[0x31, 0x32, 0xff, 0x34], [0xc3], [0xed, 0xa0, 0x80, 0x31], [0xc0, 0xb1, 0x32, 0x33]]) {
      expect(checkPin(new Uint8Array(bytes), anyPin).map(({ code }) => code)).toEqual(['encoding-invalid']);
    }
  });

  it('allows each of the 94 visible characters of ASCII and no other character of one byte', () => {
    const allowed = Array.from({ length: 128 }, (_, code) => code).filter(
      (code) => checkPin(new Uint8Array([0x61, 0x62, 0x63, code]), anyPin).length === 0,
    );
    expect(allowed).toEqual(Array.from({ length: 94 }, (_, index) => index + 0x21));
  });

  it('leaves the PIN as it was, and repeats nothing of it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 3, maxLength: 140 }), (pin) => {
        const before = [...pin];
        const text = JSON.stringify(checkPin(pin, definePinPolicy({ maxLength: 100, uppercase: 'required' })));
        expect([...pin]).toEqual(before);
        const typed = Buffer.from(pin).toString('latin1');
        if (typed.length > 8) expect(text).not.toContain(typed);
      }),
      { numRuns: 200 },
    );
  });
});

describe('describePinRules', () => {
  it('says each rule in a sentence', () => {
    const policy = definePinPolicy({ uppercase: 'required', special: 'not-allowed', history: 3 });
    expect(describePinRules(policy)).toEqual([
      'Must be at least 6 characters long',
      "Can't be longer than 127 characters",
      'Must include at least one uppercase letter',
      'May include lowercase letters',
      "Can't include special characters",
      'May include digits',
      "Can't be a number pattern (such as 123456 or 111111)",
      "Can't be one of your last 3 PINs",
    ]);
  });
});
