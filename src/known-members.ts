import { isBytes } from './bytes.ts';
import { nearest } from './nearest.ts';

/** Each of these alone identifies a key. */
const IDENTIFIERS = ['pubArea', 'name', 'spki', 'spkiSha256'] as const;
const IDENTIFIER: string = `${IDENTIFIERS.join(' or ')} (a Uint8Array)`;

function isIdentity(value: unknown): boolean {
  const given = IDENTIFIERS.filter((name) => isObject(value) && name in value);
  return given.length > 0 && given.every((name) => isBytes(Reflect.get(Object(value), name)));
}

/** The tiers that a verifier can give to an attestation key. */
const TRUSTED_TIERS = ['virtual', 'tpm-no-ek-certificate', 'ek-certificate', 'activated'] as const;
type TrustedTier = (typeof TRUSTED_TIERS)[number];

const isTrusted = (one: unknown): boolean =>
  isObject(one) &&
  isIdentity(Reflect.get(one, 'key')) &&
  TRUSTED_TIERS.some((tier) => tier === Reflect.get(one, 'tier'));

/** The kinds of option members that are checked: the words for messages, and the test. */
const KINDS = {
  bytes: { what: 'a Uint8Array', is: isBytes },
  data: {
    what: 'a Uint8Array, or an async iterable of them such as a stream',
    is: (value: unknown) => isBytes(value) || (isObject(value) && Symbol.asyncIterator in value),
  },
  pin: { what: "a Uint8Array or 'none'", is: (value: unknown) => value === 'none' || isBytes(value) },
  text: { what: 'a string', is: (value: unknown) => typeof value === 'string' },
  number: { what: 'a number', is: (value: unknown) => typeof value === 'number' && value >= 0 },
  date: {
    what: 'a valid Date',
    is: (value: unknown) => isObject(value) && 'getTime' in value && !Number.isNaN(Number(value)), // of any realm
  },
  boolean: { what: 'true or false', is: (value: unknown) => typeof value === 'boolean' },
  texts: { what: 'an array of strings', is: (value: unknown) => isListOf(value, KINDS.text.is) },
  certificates: {
    what: 'an array of certificates, each in DER (a Uint8Array) or from parseCertificate',
    is: (value: unknown) => isListOf(value, (one) => isBytes(one) || (isObject(one) && 'isSignedBy' in one)),
  },
  objects: { what: 'an array of objects', is: (value: unknown) => isListOf(value, isObject) },
  list: { what: 'an array', is: Array.isArray },
  function: { what: 'a function', is: (value: unknown) => typeof value === 'function' },
  identity: { what: `an object with ${IDENTIFIER}`, is: isIdentity },
  identities: {
    what: `an array of objects, each with ${IDENTIFIER}`,
    is: (value: unknown) => isListOf(value, isIdentity),
  },
  trusted: {
    what: `an array of objects, each with a tier (${TRUSTED_TIERS.join(', ')}) and a key: an object with ${IDENTIFIER}`,
    is: (value: unknown) => isListOf(value, isTrusted),
  },
} as const;

type Kind = keyof typeof KINDS;

/** The kind for a type; for a union of words, `=` and the words. Other types are checked where they are used. */
type KindOf<Type> = [Type] extends [Uint8Array]
  ? 'bytes'
  : [Type] extends [boolean]
    ? 'boolean'
    : [number, Type] extends [Type, number]
      ? 'number'
      : [Type] extends [Date]
        ? 'date'
        : [Type] extends [(...args: never[]) => unknown]
          ? 'function'
          : [string, Type] extends [Type, string]
            ? 'text'
            : [Type] extends [readonly string[]]
              ? 'texts'
              : [Type] extends [readonly (infer One extends object)[]]
                ? [Uint8Array] extends [One]
                  ? 'certificates'
                  : [One] extends [Readonly<Record<string, Uint8Array>>]
                    ? 'identities'
                    : [One] extends [{ readonly key: Readonly<Record<string, Uint8Array>>; readonly tier: TrustedTier }]
                      ? 'trusted'
                      : 'objects'
                : [Type] extends [readonly unknown[]]
                  ? 'list'
                  : [Type] extends [Readonly<Record<string, Uint8Array>>]
                    ? 'identity'
                    : [Type, Extract<Type, `${string} ${string}`>] extends [string, never]
                      ? `=${Type & string}`
                      : [Type] extends [Uint8Array | 'none']
                        ? 'pin'
                        : [Type] extends [Uint8Array | AsyncIterable<Uint8Array>]
                          ? 'data'
                          : never;

/** A member as {@link checkMembers} wants it: with its kind, and `?` if it may be absent. */
type Marked<Name extends string, Type> = [KindOf<NonNullable<Type>>] extends [never]
  ? Name
  : `${Name}:${KindOf<NonNullable<Type>>}${undefined extends Type ? '?' : ''}`;

/** All members of options with their kinds. */
type MarkedMembers<Options> = { [Name in keyof Options & string]-?: Marked<Name, Options[Name]> }[keyof Options &
  string];

/** The words of a text, one for each alternative of `name:=one|other?`. */
type Words<Text extends string> = Text extends `${infer Word} ${infer Rest}` ? Each<Word> | Words<Rest> : Each<Text>;
type Each<Word extends string> = Word extends `${infer Name}:=${infer Values}?`
  ? `${Name}:=${Alternatives<Values>}?`
  : Word extends `${infer Name}:=${infer Values}`
    ? `${Name}:=${Alternatives<Values>}`
    : Word;
type Alternatives<Values extends string> = Values extends `${infer One}|${infer Rest}`
  ? One | Alternatives<Rest>
  : Values;

/** `string` if `Known` are all members of `Options` and no other, each with its kind, else `never`. */
type IfComplete<Options, Known> = [MarkedMembers<Options>, Known] extends [Known, MarkedMembers<Options>]
  ? string
  : never;

/**
 * Refuses wrong options from callers without types: a forgotten object, a misspelled member, which would have no effect,
 * and a member of another kind, such as a string instead of an array, which would match parts of the string. The result
 * has all members as its own, also those that `options` inherits, which a copy with `...` would lose. Each is read
 * once. `known` has the names of all members with their kinds, such as `origins:texts akNonce:bytes? hash:=sha1|sha256?
 * time`, with spaces in between; the compiler checks that none is missing.
 * @param name of the function that has the options.
 * @throws TypeError that names the member and what it must be, also for a required text that is empty; RangeError for a number below 0 or NaN.
 */
export function checkMembers<Options extends object, Known extends string>(
  name: IfComplete<Options, Words<Known>>,
  options: Options,
  ...known: readonly Known[]
): Options {
  const isList = Array.isArray(options);
  if (isList || !isObject(options)) {
    throw new TypeError(`${name} needs an options object, not ${isList ? 'an array' : sayKind(options)}`);
  }
  const kinds = membersOf(known.join(' '));
  for (const member of Object.keys(options)) {
    if (kinds.has(member)) continue;
    const names = [...kinds.keys()];
    const meant = nearest(member, names) ?? names.find((one) => member.length > 2 && one.startsWith(member)); // alg
    throw new TypeError(`${name} has no option '${member}'${meant === undefined ? '' : `, did you mean '${meant}'?`}`);
  }
  const own: Record<string, unknown> = {};
  for (const [member, { kind, isOptional }] of kinds) {
    const value: unknown = Reflect.get(options, member);
    const isRight = kind === undefined || (value === undefined && isOptional) || kind.is(value);
    if (!isRight && kind === KINDS.number && typeof value === 'number')
      throw new RangeError(`${name}: ${member} must be 0 or more, not ${value}`);
    if (!isRight) {
      const advice = kind === KINDS.certificates ? sayPemReader(member, value) : '';
      throw new TypeError(`${name}: ${member} must be ${kind.what}, not ${sayWrong(value, kind)}${advice}`);
    }
    if (value === '' && !isOptional && kind === KINDS.text) throw new TypeError(`${name}: ${member} must not be empty`);
    if (value !== undefined)
      own[member] = (kind === KINDS.bytes || kind === KINDS.pin) && isBytes(value) ? plainBytes(value) : value;
  }
  return own as Options;
}

interface MemberKind {
  readonly what: string;
  readonly is: (value: unknown) => boolean;
  /** All texts that it may be. */
  readonly texts?: readonly string[];
}

/** The kind of a member that is one of these texts. */
function oneOf(texts: readonly string[]): MemberKind {
  const what = texts.map((text) => `'${text}'`).join(' or ');
  return { what, is: (value) => texts.some((text) => text === value), texts };
}

function sayWrong(value: unknown, { texts }: MemberKind): string {
  if (typeof value !== 'string' || texts === undefined) return sayKind(value);
  const meant = nearest(value, texts);
  return meant === undefined ? 'another string' : `another string; did you mean '${meant}'?`;
}

/** What reads the PEM text that stands in place of certificates. */
function sayPemReader(member: string, value: unknown): string {
  if (![value].flat().some((one) => typeof one === 'string' && one.includes('-----BEGIN '))) return '';
  return /roots|intermediates/i.test(member)
    ? '; to read PEM, call loadTpmRoots(file) of keyprov/registration'
    : '; to read PEM, use new X509Certificate(pem).raw of node:crypto';
}

type Members = ReadonlyMap<string, { readonly kind: MemberKind | undefined; readonly isOptional: boolean }>;

/** The members of each list, read at its first use. */
const MEMBERS = new Map<string, Members>();

function membersOf(known: string): Members {
  const earlier = MEMBERS.get(known);
  if (earlier !== undefined) return earlier;
  const members = new Map(
    known.split(' ').map((word) => {
      const [member = '', mark = ''] = word.split(':');
      const kindName = mark.replace('?', '');
      const isUnion = kindName.startsWith('=');
      const kind = isUnion ? oneOf(kindName.slice(1).split('|')) : KINDS[kindName as Kind]; // undefined: not checked
      return [member, { kind, isOptional: mark.endsWith('?') }];
    }),
  );
  MEMBERS.set(known, members);
  return members;
}

/** The same bytes as a Uint8Array of this realm, also those of `node:vm`: the code that gets them knows no other. */
function plainBytes(bytes: Uint8Array): Uint8Array {
  const { buffer, byteOffset, byteLength } = bytes;
  return bytes instanceof Uint8Array ? bytes : new Uint8Array(buffer, byteOffset, byteLength);
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

const isListOf = (value: unknown, isOne: (one: unknown) => boolean): boolean =>
  Array.isArray(value) && [...value].every(isOne); // holes count

/** The kind of a value, for messages that must not show it. */
function sayKind(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (Array.isArray(value)) return 'an array with other elements';
  if (typeof value === 'object') return 'an object of another kind';
  return typeof value === 'string' ? 'a string' : `a ${typeof value}`;
}
