import { asBase64, asBase64Url, decodeBase64, decodeHex } from './primitives.ts';

export { equal, toHex } from './primitives.ts';

/** Bytes as this library returns them: a plain `Uint8Array`, never a `Buffer`. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** No bytes. */
export const EMPTY: Bytes = new Uint8Array(0);

/** The plain `Uint8Array` over the same memory as `bytes` (which may be a `Buffer`). */
export function view(bytes: Uint8Array): Bytes {
  if (bytes.constructor === Uint8Array && bytes.buffer instanceof ArrayBuffer) return bytes as Bytes;
  if (bytes.buffer instanceof ArrayBuffer) return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return new Uint8Array(bytes);
}

/** Copies `bytes` into memory of their own. */
export function copy(bytes: Uint8Array): Bytes {
  return new Uint8Array(bytes);
}

/** Joins all parts, in order. */
export function concat(...parts: readonly Uint8Array[]): Bytes {
  if (parts.length === 0) return EMPTY;
  let length = 0;
  for (const part of parts) {
    checkBytes(part, 'each value to write'); // the digits of a text would become bytes
    length += part.length;
  }
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/**
 * Joins secrets like {@link concat}, into memory that {@link wipe} really clears. A `new Uint8Array` of up to
 * 64 bytes lies in V8's own heap. When native code such as an HMAC needs it, V8 copies the bytes elsewhere and leaves
 * the original behind.
 */
export function concatSecrets(...parts: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(new ArrayBuffer(parts.reduce((length, part) => length + part.length, 0)));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The UINT16 at that offset, big endian; bytes beyond the end count as 0. */
export function uint16At(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

/** The UINT32 at that offset, big endian; bytes beyond the end count as 0. */
export function uint32At(bytes: Uint8Array, at: number): number {
  return uint16At(bytes, at) * 0x10000 + uint16At(bytes, at + 2);
}

/** A UINT16, big endian. */
export function uint16(value: number): Bytes {
  return Uint8Array.of(value >>> 8, value);
}

/** A UINT32, big endian. */
export function uint32(value: number): Bytes {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** UINT32s, big endian, one after the other. */
export function uint32s(...values: readonly number[]): Bytes {
  return concat(...values.map(uint32));
}

/** A number of bytes in words, for messages. */
export const byteCount = (bytes: number): string => (bytes === 1 ? '1 byte' : `${bytes} bytes`);

/** Whether the value is a Uint8Array, of any realm, or another view of single bytes. */
export const isBytes = (value: unknown): value is Uint8Array =>
  ArrayBuffer.isView(value) && 'BYTES_PER_ELEMENT' in value && value.BYTES_PER_ELEMENT === 1;

/** Refuses anything but bytes, for callers without types, such as text for a PIN. @throws TypeError */
export function checkBytes(value: Uint8Array, what: string): void {
  if (!isBytes(value)) throw new TypeError(`${what} must be a Uint8Array`);
}

/** Refuses anything but text, for callers without types. @throws TypeError */
export function checkText(value: string, what: string): void {
  if (typeof value !== 'string') throw new TypeError(`${what} must be a string`);
}

/** Returns the array, unless it is something else, for callers without types. @throws TypeError */
export function checkList<Of extends readonly unknown[]>(value: Of, what: string): Of {
  if (!Array.isArray(value)) throw new TypeError(`${what} must be an array`);
  return value;
}

/** A member that must be there, as `name` or `name:kind`, or may be missing, as `name:kind?`. */
type Member<Name extends string> =
  | Name
  | `${Name}:${'bytes' | 'list' | 'string' | 'number' | 'bigint' | 'object' | 'function'}${'?' | ''}`;

/**
 * Returns the object, unless it is not an object with these members, for callers without types.
 * @throws TypeError that names the member
 */
export function checkObject<Of extends object>(
  value: Of,
  what: string,
  ...members: readonly Member<keyof Of & string>[]
): Of {
  const words = members.map((member) => member.split(/[:?]/));
  const names = words.filter(({ length }) => length < 3).map(([name = '']) => name);
  if (typeof value !== 'object' || value === null || names.some((name) => Reflect.get(value, name) === undefined))
    throw new TypeError(`${what} must be an object${names.length > 0 ? ` with ${names.join(' and ')}` : ''}`);
  for (const [name, kind] of words) {
    const member: unknown = Reflect.get(value, `${name}`);
    const at = `${name} of ${what}`;
    if (kind === undefined || member === undefined) continue;
    if (kind === 'bytes') checkBytes(member as never, at);
    else if (kind === 'list') checkList(member as never, at);
    else if (typeof member !== kind || member === null)
      throw new TypeError(`${at} must be ${kind === 'object' ? 'an' : 'a'} ${kind}`);
  }
  return value;
}

/** The bytes of an even number of hexadecimal digits. @throws TypeError for anything else. */
export function fromHex(hex: string): Bytes {
  if (hex.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(hex))
    throw new TypeError('not an even number of hexadecimal digits');
  return decodeHex(hex);
}

/** Whether text is a GUID, in upper or lower case. */
export const isGuid = (text: string): boolean => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);

/** Base64 with the standard alphabet and padding (RFC 4648, section 4). @throws TypeError for anything but bytes. */
export function toBase64(bytes: Uint8Array): string {
  checkBytes(bytes, 'each value to write in base64');
  return asBase64(bytes);
}

/** Base64 with the URL alphabet and no padding (RFC 4648, section 5). @throws TypeError for anything but bytes. */
export function toBase64Url(bytes: Uint8Array): string {
  checkBytes(bytes, 'each value to write in base64');
  return asBase64Url(bytes);
}

/** The bytes of padded standard base64 (RFC 4648, section 4). @throws TypeError for anything else. */
export function fromBase64(text: string): Bytes {
  const bytes = decodeBase64(text);
  if (toBase64(bytes) !== text) throw new TypeError('not canonical padded base64');
  return bytes;
}

/** The text without the `=` at its end. */
export function unpadded(base64: string): string {
  let end = base64.length;
  while (base64[end - 1] === '=') end--;
  return base64.slice(0, end);
}

/** The bytes of unpadded base64url (RFC 4648, section 5). @throws TypeError for anything else. */
export function fromBase64Url(text: string): Bytes {
  const bytes = decodeBase64(text);
  if (toBase64Url(bytes) !== text) throw new TypeError('not canonical unpadded base64url');
  return bytes;
}

/** The UTF-8 bytes of `text`. */
export function utf8(text: string): Bytes {
  return new TextEncoder().encode(text) as Bytes;
}

/**
 * Compares by bytes: negative if `a` comes first, positive if `b` does, 0 if equal. A prefix comes before a longer one.
 */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const first = a.findIndex((byte, i) => byte !== b[i]);
  return first < 0 ? a.length - b.length : (a[first] as number) - (b[first] ?? -1);
}

/** Overwrites `bytes` with zeros. */
export function wipe(...secrets: readonly (Uint8Array | undefined)[]): void {
  for (const secret of secrets) secret?.fill(0);
}

/** Runs `work` with a secret, and wipes the secret at the end. */
export async function withSecret<S extends Uint8Array | undefined, T>(
  secret: S,
  work: (secret: S) => T | Promise<T>,
): Promise<T> {
  try {
    return await work(secret);
  } finally {
    wipe(secret);
  }
}
