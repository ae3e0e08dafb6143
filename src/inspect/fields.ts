import { byteCount, toHex } from '../bytes.ts';
import type { DistinguishedName } from '../crypto/distinguished-name.ts';
import { describeName } from '../crypto/distinguished-name.ts';
import type { Content, Description, Field, Part } from './inspection.ts';

/** As many as an RSA-4096 number has. Of more bytes, only the beginning is shown. */
const MAX_BYTES = 512;
const MAX_TEXT = 1024;
const SHOWN = 32;
/** Further items of a list are only counted. */
const MAX_ITEMS = 50;

/** Bytes as hexadecimal digits. Of many bytes, only the first and their number. */
export function hexOf(bytes: Uint8Array): string {
  if (bytes.length === 0) return '(empty)';
  if (bytes.length <= MAX_BYTES) return toHex(bytes);
  return `${toHex(bytes.subarray(0, SHOWN))}… (${byteCount(bytes.length)})`;
}

/** The text, cut if it is long. */
export function shortened(text: string, most: number = MAX_TEXT): string {
  return text.length <= most ? text : `${text.slice(0, most)}… (${text.length} characters)`;
}

/** A field with that value. */
export const field = (name: string, value: string | number | boolean): Field => ({
  name,
  value: typeof value === 'string' ? shortened(value) : value,
});

/** A field with these bytes. */
export const bytesField = (name: string, bytes: Uint8Array): Field => ({ name, value: hexOf(bytes) });

/** A field that says only how long a secret is. */
export const secretField = (name: string, length: number): Field => ({
  name,
  value: `not shown (${byteCount(length)})`,
});

/** A field with a time. */
export const dateField = (name: string, date: Date): Field => ({
  name,
  value: Number.isNaN(date.getTime()) ? 'not a valid time' : date.toISOString(),
});

/** A field with a distinguished name. */
export const nameField = (name: string, value: DistinguishedName): Field => field(name, describeName(value));

/** A field with parts of its own. */
export const group = (name: string, fields: readonly Part[]): Part => ({ name, fields });

/** A field for each item, up to a number that no real file exceeds. */
export function listOf<T>(name: string, items: readonly T[], describe: (name: string, item: T) => Part): Part {
  const fields = items.slice(0, MAX_ITEMS).map((item, i) => describe(`${i + 1}`, item));
  return items.length <= MAX_ITEMS
    ? group(name, fields)
    : { name, value: `${items.length}, the first of them:`, fields };
}

/** The same, but nothing for an empty list. */
export const listIfAny = <T>(name: string, items: readonly T[], describe: (name: string, item: T) => Part): Part[] =>
  items.length === 0 ? [] : [listOf(name, items, describe)];

/** A description as part of another. Its problems begin with the name of the part. */
export function nested(name: string, content: Content): Part {
  const { title, problems, fields } = gathered(content);
  return {
    ...{ name, ...(title !== undefined && { value: title }), fields },
    problems: problems.map((problem) => `${name}: ${problem}`),
  };
}

/** A part that cannot be read: its bytes, and why. */
export const unreadable = (name: string, bytes: Uint8Array, problem: string): Part => ({
  ...bytesField(name, bytes),
  problems: [problem],
});

/** The content with the problems of all its parts in one list, and its fields without them. */
export function gathered(content: Content): Gathered {
  const { problems = [], fields, ...rest }: Description = 'fields' in content ? content : { fields: content };
  const all = [...problems];
  const plain = ({ problems: own = [], fields: inner, ...one }: Part): Field => {
    all.push(...own);
    return { ...one, ...(inner !== undefined && { fields: inner.map(plain) }) };
  };
  return { ...rest, fields: fields.map(plain), problems: all };
}

/** Parts of the same content, one after the other. */
export function joined(...contents: readonly Content[]): Gathered {
  const all = contents.map(gathered);
  return { problems: all.flatMap(({ problems }) => problems), fields: all.flatMap(({ fields }) => fields) };
}

interface Gathered extends Description {
  readonly problems: readonly string[];
  readonly fields: readonly Field[];
}

/** The result of `work`; `undefined` if it fails. */
export function orNothing<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

/** The field that `read` returns for the value; none for `undefined`. */
export function optional<T>(value: T | undefined, read: (value: T) => Part): Part[] {
  return value === undefined ? [] : [read(value)];
}
