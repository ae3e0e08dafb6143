import { type Bytes, byteCount, compare, concat, copy, isBytes, utf8 } from '../bytes.ts';
import { CodecError } from '../errors/codec-error.ts';
import { checkSize, LIMIT } from '../limits.ts';

/** The kinds of CBOR values in COSE keys and WebAuthn objects. Numbers are integers of at most 53 bits. */
export type CborValue = number | boolean | null | string | Uint8Array | readonly CborValue[] | CborMap;
/** A CBOR map. */
export type CborMap = ReadonlyMap<number | string, CborValue>;

/** Major types, RFC 8949, 3.1. */
const UNSIGNED = 0;
const NEGATIVE = 1;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const SIMPLE = 7;
/** In place of a length: items follow until a break. RFC 8949, 3.2. */
const INDEFINITE = 31;
const BREAK = 0xff;
/** Simple values, RFC 8949, 3.3. */
const SIMPLE_VALUES = new Map<number, boolean | null>([
  [20, false],
  [21, true],
  [22, null],
]);
const MAX_DEPTH = 8;

/**
 * The one deterministic encoding (RFC 8949, 4.2.1): shortest heads, definite lengths, keys of maps in the order of their
 * bytes. For integer and text keys this is also the CTAP2 canonical form.
 *
 * @throws RangeError for a number that is not an integer of at most 53 bits; TypeError for a value of another kind.
 */
export function encodeCbor(value: CborValue): Bytes {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw new RangeError(`CBOR: ${value} is not an integer of at most 53 bits`);
    return value < 0 ? head(NEGATIVE, -1 - value) : head(UNSIGNED, value);
  }
  if (typeof value === 'string') {
    const text = utf8(value);
    return concat(head(TEXT, text.length), text);
  }
  if (isBytes(value)) return concat(head(BYTES, value.length), value);
  if (value === null || typeof value === 'boolean') {
    return head(SIMPLE, value === null ? 22 : value ? 21 : 20);
  }
  if (isMap(value)) {
    const entries = [...value].map(([key, item]) => [encodeCbor(key), encodeCbor(item)] as const);
    entries.sort(([a], [b]) => compare(a, b));
    return concat(head(MAP, entries.length), ...entries.flat());
  }
  if (!Array.isArray(value)) throw new TypeError(`CBOR cannot hold a value of type ${typeof value}`);
  return concat(head(ARRAY, value.length), ...value.map(encodeCbor));
}

/**
 * Reads CBOR that is exactly one value. Lengths must be definite and heads in their shortest form; keys of a map must be
 * integers or text and differ; at most 8 levels may be nested; tags, floats and 64-bit numbers are refused. The order of
 * keys is not checked, because encoders in use do not sort them.
 *
 * @throws KeyprovError `codec` that says what is wrong and where.
 */
export function decodeCbor(bytes: Uint8Array): CborValue {
  const { value, length } = decodeCborPrefix(bytes);
  if (length !== bytes.length) throw wrong(`${byteCount(bytes.length - length)} left over`, length);
  return value;
}

/**
 * Reads CBOR as {@link decodeCbor} does, and also strings, lists and maps of indefinite length (RFC 8949, 3.2). For
 * telling what a file holds: no format of keyprov allows these.
 */
export function decodeIndefiniteCbor(bytes: Uint8Array): CborValue {
  const { value, length } = readPrefix(bytes, true);
  if (length !== bytes.length) throw wrong(`${byteCount(bytes.length - length)} left over`, length);
  return value;
}

/** Reads the value at the start of `bytes`, as {@link decodeCbor} does, and returns its size too. */
export function decodeCborPrefix(bytes: Uint8Array): { readonly value: CborValue; readonly length: number } {
  return readPrefix(bytes, false);
}

function readPrefix(bytes: Uint8Array, mayBeIndefinite: boolean) {
  checkSize(bytes, LIMIT.message, (problem) => new CodecError('CBOR', problem));
  const input = new CborReader(bytes, mayBeIndefinite);
  const value = input.value(0);
  return { value, length: input.position };
}

/** Whether the value is a map. */
export function isMap(value: CborValue | undefined): value is CborMap {
  return value instanceof Map;
}

function head(major: number, argument: number): Bytes {
  const type = major << 5;
  if (argument < 24) return new Uint8Array([type | argument]);
  const size = argument < 0x100 ? 1 : argument < 0x1_0000 ? 2 : argument < 0x1_0000_0000 ? 4 : 8;
  const bytes = new Uint8Array(1 + size);
  bytes[0] = type | (24 + Math.log2(size));
  for (let at = size, rest = argument; at > 0; at--, rest = Math.floor(rest / 256)) bytes[at] = rest % 256;
  return bytes;
}

class CborReader {
  readonly #bytes: Uint8Array;
  readonly #mayBeIndefinite: boolean;
  position = 0;

  constructor(bytes: Uint8Array, mayBeIndefinite: boolean) {
    this.#bytes = bytes;
    this.#mayBeIndefinite = mayBeIndefinite;
  }

  value(depth: number): CborValue {
    if (depth > MAX_DEPTH) throw wrong(`more than ${MAX_DEPTH} levels`, this.position);
    const start = this.position;
    const first = this.#take(1)[0] ?? 0;
    const [major, info] = [first >>> 5, first & 0x1f];
    if (major === SIMPLE) {
      const simple = SIMPLE_VALUES.get(info);
      if (simple === undefined) throw wrong(`0x${first.toString(16)} is not a supported value`, start);
      return simple;
    }
    if (info === INDEFINITE && major >= BYTES && this.#mayBeIndefinite) return this.#indefinite(major, depth, start);
    const argument = this.#argument(info, start);
    switch (major) {
      case UNSIGNED:
        return argument;
      case NEGATIVE:
        if (argument === Number.MAX_SAFE_INTEGER) throw wrong('a number has more than 53 bits', start);
        return -1 - argument;
      case BYTES:
        return copy(this.#take(argument));
      case TEXT:
        return this.#text(argument, start);
      case ARRAY:
        this.#checkCount(argument);
        return Array.from({ length: argument }, () => this.value(depth + 1));
      case MAP:
        return this.#map(argument, depth);
      default:
        throw wrong('a tag is not allowed', start);
    }
  }

  #map(count: number, depth: number): CborMap {
    this.#checkCount(2 * count);
    const map = new Map<number | string, CborValue>();
    for (let i = 0; i < count; i++) this.#member(map, depth);
    return map;
  }

  #member(map: Map<number | string, CborValue>, depth: number): void {
    const start = this.position;
    const key = this.value(depth + 1);
    if (typeof key !== 'number' && typeof key !== 'string') throw wrong('a key is neither an integer nor text', start);
    if (map.has(key)) throw wrong(`the key ${key} appears twice`, start);
    map.set(key, this.value(depth + 1));
  }

  /** Reads items until a break. */
  #indefinite(major: number, depth: number, start: number): CborValue {
    const map = new Map<number | string, CborValue>();
    const items: CborValue[] = [];
    while (this.#bytes[this.position] !== BREAK) {
      if (major === MAP) this.#member(map, depth);
      else items.push(this.value(depth + 1));
    }
    this.position++;
    if (major === MAP) return map;
    if (major === ARRAY) return items;
    if (major === BYTES && items.every((item) => item instanceof Uint8Array)) return concat(...items);
    if (major === TEXT && items.every((item) => typeof item === 'string')) return items.join('');
    throw wrong('an indefinite-length string has parts of another type', start);
  }

  #text(length: number, start: number): string {
    const bytes = this.#take(length);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (cause) {
      throw wrong('text is not UTF-8', start, cause);
    }
  }

  #argument(info: number, start: number): number {
    if (info < 24) return info;
    if (info > 27) throw wrong('a length is indefinite or reserved', start);
    const size = 2 ** (info - 24);
    const argument = this.#take(size).reduce((sum, byte) => sum * 256 + byte, 0);
    if (argument >= 2 ** 53) throw wrong('a number has more than 53 bits', start);
    if (argument < (size === 1 ? 24 : 256 ** (size / 2))) throw wrong('a number is not in its shortest form', start);
    return argument;
  }

  /** Every item has at least one byte, so an impossible count is refused before memory is allocated. */
  #checkCount(items: number): void {
    if (items > this.#bytes.length - this.position) throw wrong(`cut off: ${items} items expected`, this.position);
  }

  #take(size: number): Uint8Array {
    const from = this.position;
    if (size > this.#bytes.length - from) throw wrong(`cut off: ${byteCount(size)} expected`, from);
    this.position += size;
    return this.#bytes.subarray(from, this.position);
  }
}

const wrong = (problem: string, offset: number, cause?: unknown): CodecError =>
  new CodecError('CBOR', `${problem} at offset ${offset}`, { cause });
