import { type Bytes, fromBase64, fromBase64Url, fromHex } from './bytes.ts';
import { checkSize, checkTextSize, LIMIT } from './limits.ts';

/** Any JSON value. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

/** A JSON object. */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/** Makes the error of a reader: `where` names the text or its member, `problem` says what is wrong with it. */
export type JsonRefusal = (where: string, problem: string, cause?: unknown) => Error;

/** Maximum nesting of lists and objects. */
export const MAX_JSON_DEPTH = 64;

const typeError: JsonRefusal = (where, problem, cause) => new TypeError(`${where}: ${problem}`, { cause });

/**
 * Reads a JSON text, or its UTF-8 bytes. Refuses a duplicate member at any depth, because readers differ in which one
 * they use, and nesting deeper than {@link MAX_JSON_DEPTH}. A member `__proto__` is an ordinary member. The time is
 * proportional to the length of the text, which may not exceed `limit`.
 *
 * @param what names the text in messages. They quote at most one character or the name of a member.
 * @throws the error of `refuse`, a TypeError by default.
 */
export function parseJson(
  what: string,
  json: string | Uint8Array,
  refuse: JsonRefusal = typeError,
  limit: number = LIMIT.document,
): JsonValue {
  if (typeof json === 'string') checkTextSize(json, limit, (problem) => refuse(what, problem));
  else checkSize(json, limit, (problem) => refuse(what, problem));
  let text: string;
  let value: JsonValue;
  try {
    text = typeof json === 'string' ? json : new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(json);
  } catch {
    throw refuse(what, 'not UTF-8');
  }
  const flaw = findFlaw(text); // first, since V8 is slow on deep nesting
  if (flaw !== undefined) throw refuse(what, flaw);
  try {
    value = JSON.parse(text);
  } catch (error) {
    // V8 quotes the text, which may hold a secret, in quotation marks: only the part before them is the reason.
    const [reason = ''] = error instanceof Error ? error.message.split(/(?:, )?(?:\.\.\.)?"/, 1) : [];
    throw refuse(what, reason === '' ? 'not JSON' : `not JSON: ${reason}`);
  }
  return value;
}

/** Tells whether it is an object, and neither null nor a list. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Describes any value briefly, for messages, without calling its methods. */
export function showJson(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}

/**
 * The members of a parsed JSON object. Each method reads one member, whatever its value is. Never calls methods of
 * values (`toString`, `toJSON`), and ignores inherited members.
 */
export class JsonMembers {
  readonly #what: string;
  readonly #members: ReadonlyMap<string, unknown>;
  readonly #refuse: JsonRefusal;

  /**
   * `what` names the object in messages. If `known` is given, other members are refused.
   * @throws the error of `refuse`, as all methods do; a TypeError by default.
   */
  constructor(what: string, value: unknown, refuse: JsonRefusal = typeError, known?: readonly string[]) {
    if (!isJsonObject(value)) throw refuse(what, 'not a JSON object');
    this.#what = what;
    this.#refuse = refuse;
    this.#members = new Map<string, unknown>(Object.entries(value));
    const unknown = known && [...this.#members.keys()].find((name) => !known.includes(name));
    if (unknown !== undefined) throw refuse(what, `unknown member ${showJson(unknown)}`);
  }

  /** Reads the members of a JSON object that is parsed already, or of its text or UTF-8 bytes ({@link parseJson}). */
  static parse(what: string, json: unknown, refuse: JsonRefusal = typeError, known?: readonly string[]): JsonMembers {
    const isText = typeof json === 'string' || json instanceof Uint8Array;
    return new JsonMembers(what, isText ? parseJson(what, json, refuse) : json, refuse, known);
  }

  /** Tells whether the member is present and not null. */
  has(name: string): boolean {
    return (this.#members.get(name) ?? null) !== null;
  }

  /** The member, whatever its type; `undefined` if there is none. */
  value(name: string): unknown {
    return this.#members.get(name);
  }

  /** All members as an object without prototype. */
  all(): Readonly<Record<string, unknown>> {
    return Object.assign(Object.create(null), Object.fromEntries(this.#members));
  }

  /** A member that is text. */
  text(name: string): string {
    const value = this.#members.get(name);
    if (typeof value !== 'string') throw this.#wrongKind(name, 'a string');
    return value;
  }

  /** A member that is a non-negative integer. */
  integer(name: string): number {
    const value = this.#members.get(name);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
      throw this.#wrongKind(name, 'a whole number');
    return value;
  }

  /** A member that is true or false. */
  boolean(name: string): boolean {
    const value = this.#members.get(name);
    if (typeof value !== 'boolean') throw this.#wrongKind(name, 'true or false');
    return value;
  }

  /** A member that is one of `values`. */
  oneOf<T extends string>(name: string, values: readonly T[]): T {
    const found = values.find((value) => value === this.#members.get(name));
    if (found === undefined) throw this.#wrongKind(name, `one of ${values.join(', ')}`);
    return found;
  }

  /** A member that is a list. */
  list(name: string): readonly unknown[] {
    const value = this.#members.get(name);
    if (!Array.isArray(value)) throw this.#wrongKind(name, 'an array');
    return value;
  }

  /** A member that is an object. */
  object(name: string): JsonObject {
    const value = this.#members.get(name);
    if (!isJsonObject(value)) throw this.#wrongKind(name, 'an object');
    return value;
  }

  /** The members of a member that is an object. */
  members(name: string, known?: readonly string[]): JsonMembers {
    return new JsonMembers(this.#where(name), this.object(name), this.#refuse, known);
  }

  /** A member that is hexadecimal. */
  hex(name: string): Bytes {
    return this.read(name, fromHex);
  }

  /** A member that is padded standard base64. */
  base64(name: string): Bytes {
    return this.read(name, fromBase64);
  }

  /** A member that is unpadded base64url. */
  base64Url(name: string): Bytes {
    return this.read(name, fromBase64Url);
  }

  /** A member that is a list of texts in padded standard base64. */
  base64List(name: string): Bytes[] {
    return this.list(name).map((item, index) => {
      const where = `${name}[${index}]`;
      if (typeof item !== 'string') throw this.wrong(where, 'not a string');
      return this.#reading(where, item, fromBase64);
    });
  }

  /** Passes a text member to `from`; its TypeError becomes the error of this reader. */
  read<T>(name: string, from: (text: string) => T): T {
    return this.#reading(name, this.text(name), from);
  }

  /** Makes the error for a wrong member. */
  wrong(name: string, problem: string, cause?: unknown): Error {
    return this.#refuse(this.#where(name), problem, cause);
  }

  #reading<T>(name: string, text: string, from: (text: string) => T): T {
    try {
      return from(text);
    } catch (cause) {
      if (cause instanceof TypeError) throw this.wrong(name, cause.message, cause);
      throw cause;
    }
  }

  #wrongKind(name: string, wanted: string): Error {
    return this.wrong(name, this.#members.get(name) === undefined ? 'missing' : `not ${wanted}`);
  }

  #where(name: string): string {
    return `${this.#what}: ${name}`;
  }
}

/** Finds a flaw in a text that may be JSON: a duplicate member, or nesting that is too deep. */
function findFlaw(json: string): string | undefined {
  /** The names seen so far in each open list or object; undefined for a list. */
  const open: (Set<string> | undefined)[] = [];
  let isName = false;
  for (let at = 0; at < json.length; at += 1) {
    switch (json[at]) {
      case '{':
      case '[':
        isName = json[at] === '{';
        if (open.push(isName ? new Set() : undefined) > MAX_JSON_DEPTH) return `nested deeper than ${MAX_JSON_DEPTH}`;
        break;
      case '}':
      case ']':
        open.pop();
        break;
      case ',':
        isName = open.at(-1) !== undefined;
        break;
      case '"': {
        const start = at;
        at = endOfString(json, start);
        if (!isName) break;
        isName = false;
        const inside = json.slice(start + 1, at);
        const name = inside.includes('\\') ? unescaped(inside) : inside;
        const names = open.at(-1);
        if (names?.has(name)) return `the member ${showJson(name)} appears twice`;
        names?.add(name);
      }
    }
  }
  return undefined;
}

/** The text of a JSON string; as written if it is not JSON. */
function unescaped(inside: string): string {
  try {
    return JSON.parse(`"${inside}"`);
  } catch {
    return inside; // the text is refused when it is read
  }
}

/** Finds the end of the string that begins at `start`: its last quotation mark. */
function endOfString(json: string, start: number): number {
  for (let at = start + 1; at < json.length; at += 1) {
    if (json[at] === '"') return at;
    if (json[at] === '\\') at += 1;
  }
  return json.length;
}
