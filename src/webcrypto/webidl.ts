import type { webcrypto } from 'node:crypto';
import { types } from 'node:util';
import type { Bytes } from '../bytes.ts';

/** The usages in the order in which a key lists them. */
const KEY_USAGES: readonly webcrypto.KeyUsage[] = [
  'encrypt',
  'decrypt',
  'sign',
  'verify',
  'deriveKey',
  'deriveBits',
  'wrapKey',
  'unwrapKey',
];
const KEY_FORMATS: readonly webcrypto.KeyFormat[] = ['raw', 'pkcs8', 'spki', 'jwk'];

const JWK_STRINGS = ['kty', 'use', 'alg', 'crv', 'x', 'y', 'd', 'n', 'e', 'p', 'q', 'dp', 'dq', 'qi', 'k'];

/** Tells whether a value is an object in the JavaScript sense. */
export function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

/** Reads a member of a dictionary from JavaScript code; its getter runs. */
export function memberOf(dictionary: object, name: string | symbol): unknown {
  return Reflect.get(dictionary, name);
}

/** @throws TypeError for a symbol, which has no text. */
export function toDomString(value: unknown): string {
  return `${value}`;
}

/** An integer of `bits` bits, as WebIDL's [EnforceRange] requires. @throws TypeError */
export function toUnsigned(value: unknown, name: string, bits: number): number {
  const number = Math.trunc(Number(value));
  if (!(number >= 0 && number < 2 ** bits)) throw new TypeError(`${name} is not an integer from 0 to 2^${bits} - 1`);
  return number;
}

/** @throws TypeError for anything but an ArrayBuffer or a view of one, not shared. */
export function checkBufferSource(value: unknown, name: string): asserts value is webcrypto.BufferSource {
  const buffer = ArrayBuffer.isView(value) ? value.buffer : value;
  if (!types.isArrayBuffer(buffer)) throw new TypeError(`${name} is neither an ArrayBuffer nor a view of one`);
}

/** A copy of the bytes; empty for a buffer that was transferred. */
export function copyBytes(source: webcrypto.BufferSource): Bytes {
  if (source.byteLength === 0) return new Uint8Array(0);
  if (!ArrayBuffer.isView(source)) return new Uint8Array(source.slice(0));
  return new Uint8Array(new Uint8Array(source.buffer, source.byteOffset, source.byteLength));
}

export function toBytes(value: unknown, name: string): Bytes {
  checkBufferSource(value, name);
  return copyBytes(value);
}

export function toKeyFormat(value: unknown): webcrypto.KeyFormat {
  const format = KEY_FORMATS.find((known) => known === toDomString(value));
  if (format === undefined) throw new TypeError(`${toDomString(value)} is not a key format`);
  return format;
}

/**
 * The usages, each once, in the order of the standard. @throws TypeError for unknown usages, or if it is not a list.
 */
export function toKeyUsages(value: unknown): readonly webcrypto.KeyUsage[] {
  if (!isIterable(value)) throw new TypeError('the key usages are not a list');
  const given = new Set<string>();
  for (const usage of value) {
    const text = toDomString(usage);
    if (!KEY_USAGES.some((known) => known === text)) throw new TypeError(`${text} is not a key usage`);
    given.add(text);
  }
  return KEY_USAGES.filter((usage) => given.has(usage));
}

/** Converts an object from JavaScript code to a JSON Web Key with members of the right types. @throws TypeError */
export function toJwk(value: unknown): webcrypto.JsonWebKey {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw new TypeError('the key data is neither a JSON Web Key nor a buffer');
  const jwk: { [name: string]: unknown } = {};
  for (const name of JWK_STRINGS) {
    const member = memberOf(value, name);
    if (member !== undefined) jwk[name] = toDomString(member);
  }
  const [operations, extractable, others] = ['key_ops', 'ext', 'oth'].map((name) => memberOf(value, name));
  if (operations !== undefined) {
    if (!isIterable(operations)) throw new TypeError('key_ops is not a list');
    jwk.key_ops = [...operations].map(toDomString);
  }
  if (extractable !== undefined) jwk.ext = Boolean(extractable);
  if (others !== undefined) jwk.oth = others;
  return jwk;
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return isObject(value) && typeof memberOf(value, Symbol.iterator) === 'function';
}
