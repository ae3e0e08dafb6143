import { type Bytes, checkBytes, checkText, concat, EMPTY, fromHex, toHex, utf8 } from '../bytes.ts';
import { checkSize, checkTextSize } from '../limits.ts';

/** The ASN.1 tags of keys, signatures, certificates and requests. X.680, 8.6. */
export const TAG = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  NULL: 0x05,
  OID: 0x06,
  UTF8_STRING: 0x0c,
  NUMERIC_STRING: 0x12,
  PRINTABLE_STRING: 0x13,
  T61_STRING: 0x14,
  IA5_STRING: 0x16,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  VISIBLE_STRING: 0x1a,
  UNIVERSAL_STRING: 0x1c,
  BMP_STRING: 0x1e,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const;

/** The tag `[number]`, constructed or primitive. */
export const contextTag = (number: number, form: 'constructed' | 'primitive'): number =>
  (form === 'constructed' ? 0xa0 : 0x80) + number;

/** One DER value: tag, shortest length, and all `parts` as its content. */
export function derValue(tag: number, ...parts: readonly Uint8Array[]): Bytes {
  const content = concat(...parts);
  const length: number[] = [];
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  const head = content.length < 0x80 ? [tag, content.length] : [tag, 0x80 | length.length, ...length];
  return concat(new Uint8Array(head), content);
}

/** A SEQUENCE of values in DER. */
export const derSequence = (...parts: readonly Uint8Array[]): Bytes => derValue(TAG.SEQUENCE, ...parts);

/** A SET OF values in DER, sorted by X.690, 11.6. */
export const derSetOf = (...parts: readonly Uint8Array[]): Bytes => derValue(TAG.SET, ...sortedForSet(parts));

/** Sorts values in DER for a SET OF: by their bytes. X.690, 11.6. */
export const sortedForSet = <T extends Uint8Array>(parts: readonly T[]): T[] =>
  [...parts].sort((a, b) => (toHex(a) < toHex(b) ? -1 : 1));

/** An OCTET STRING. */
export const derOctets = (...parts: readonly Uint8Array[]): Bytes => derValue(TAG.OCTET_STRING, ...parts);

/** `[number]` around values in DER: explicit tagging. */
export const derExplicit = (number: number, ...parts: readonly Uint8Array[]): Bytes =>
  derValue(contextTag(number, 'constructed'), ...parts);

/** An INTEGER of the unsigned big-endian number `value`, which may have leading zeros. */
export function derUnsigned(value: Uint8Array): Bytes {
  checkBytes(value, 'each number to write');
  const first = value.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? new Uint8Array(1) : value.subarray(first);
  return derValue(TAG.INTEGER, (digits[0] ?? 0) >= 0x80 ? new Uint8Array(1) : EMPTY, digits);
}

/** An INTEGER from 0 on. */
export const derInteger = (value: number): Bytes => derUnsigned(fromHex(value.toString(16).padStart(16, '0')));

/** BOOLEAN TRUE. FALSE is mostly a default value, which DER leaves out. */
export const DER_TRUE: Bytes = derValue(TAG.BOOLEAN, new Uint8Array([0xff]));

/** NULL. */
export const DER_NULL: Bytes = derValue(TAG.NULL);

/** The longest OBJECT IDENTIFIER that is read or written, in bytes. Those in use have about 10. */
export const MAX_OID = 64;

/** An OBJECT IDENTIFIER from its dotted form. @throws TypeError if it is not one, or has more than 64 bytes. */
export function derOid(dotted: string): Bytes {
  // A byte makes at most three digits and a dot.
  checkTextSize(dotted, 4 * MAX_OID, (problem) => new TypeError(`object identifier: ${problem}`));
  const isDotted = /^[0-2](\.(0|[1-9]\d*))+$/.test(dotted);
  const [first = 0n, second = 0n, ...rest] = isDotted ? dotted.split('.').map(BigInt) : [];
  if (!isDotted || (first < 2n && second > 39n)) throw new TypeError(`'${dotted}' is not an object identifier`);
  const content = concat(...[first * 40n + second, ...rest].map(base128));
  checkSize(content, MAX_OID, (problem) => new TypeError(`object identifier: ${problem}`));
  return derValue(TAG.OID, content);
}

/** Groups of 7 bits, all but the last one with the highest bit set. X.690, 8.19.2. */
function base128(arc: bigint): Uint8Array {
  const groups = [Number(arc & 0x7fn)];
  for (let rest = arc >> 7n; rest > 0n; rest >>= 7n) groups.unshift(0x80 | Number(rest & 0x7fn));
  return new Uint8Array(groups);
}

const STRING_TYPES = { utf8: 'UTF8String', printable: 'PrintableString', ia5: 'IA5String', bmp: 'BMPString' } as const;

/** The kinds of string that can be written. */
export type StringKind = keyof typeof STRING_TYPES;

/** A character string. @throws TypeError for characters outside that kind. */
export function derText(kind: StringKind, text: string): Bytes {
  checkText(text, 'a text in DER');
  switch (kind) {
    case 'utf8':
      if (/\p{Surrogate}/u.test(text)) throw unwritable(kind, text); // half of a pair
      return derValue(TAG.UTF8_STRING, utf8(text));
    case 'printable':
      if (!/^[A-Za-z0-9 '()+,\-./:=?]*$/.test(text)) throw unwritable(kind, text);
      return derValue(TAG.PRINTABLE_STRING, utf8(text));
    case 'ia5':
      return derValue(TAG.IA5_STRING, ia5(text));
    case 'bmp': {
      if (/[\ud800-\udfff]/.test(text)) throw unwritable(kind, text);
      const units = Array.from(text, (character) => character.charCodeAt(0));
      return derValue(TAG.BMP_STRING, concat(...units.map((unit) => new Uint8Array([unit >> 8, unit & 0xff]))));
    }
  }
}

/** The bytes of a text in ASCII. @throws TypeError for any other character. */
export function ia5(text: string): Bytes {
  if (Array.from(text).some((character) => character.charCodeAt(0) > 0x7f)) throw unwritable('ia5', text);
  return utf8(text);
}

const unwritable = (kind: StringKind, text: string): TypeError =>
  new TypeError(`${JSON.stringify(text)} cannot be written as ${STRING_TYPES[kind]}`);
