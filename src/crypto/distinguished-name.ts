import { printable } from '../printable.ts';
/**
 * One attribute of a name: its OID, and its value as text. A value that is not a valid string is given as `#` and its
 * DER in hexadecimal.
 */
export interface NameAttribute {
  readonly type: string;
  readonly value: string;
}

/** An X.501 Name: relative names from the root on, each a set of attributes, usually only one. RFC 5280, 4.1.2.4. */
export type DistinguishedName = readonly (readonly NameAttribute[])[];

const SHORT: Readonly<Record<string, string>> = { '2.5.4.3': 'CN', '2.5.4.6': 'C', '2.5.4.10': 'O', '2.5.4.11': 'OU' };

/** The name as printable text, from the root on: `C=DE, CN=a+O=b`. */
export function describeName(name: DistinguishedName): string {
  const relative = name.map((attributes) =>
    attributes.map(({ type, value }) => `${SHORT[type] ?? type}=${value}`).join('+'),
  );
  return relative.length === 0 ? '(no name)' : printable(relative.join(', '));
}

/**
 * Whether `name` is `base` or below it. Ignores case, string type, the amount of white space and
 * invisible characters. RFC 5280, 7.1; RFC 4518, 2.
 */
export function isWithin(base: DistinguishedName, name: DistinguishedName): boolean {
  return base.every((relative, i) => normalized(relative) === normalized(name[i] ?? []));
}

/** Whether both are the same name, compared as {@link isWithin} does. */
export function isSameName(a: DistinguishedName, b: DistinguishedName): boolean {
  return a.length === b.length && isWithin(a, b);
}

/** Caches the normalized form, because names are compared many times. */
const known = new WeakMap<readonly NameAttribute[], string>();

function normalized(relative: readonly NameAttribute[]): string {
  const found = known.get(relative);
  if (found !== undefined) return found;
  const attributes = relative.map(({ type, value }) => [type, prepared(value)]);
  const text = JSON.stringify(attributes.map((attribute) => JSON.stringify(attribute)).sort());
  known.set(relative, text);
  return text;
}

/** Upper case first, so that letters with several lower-case forms become the same. */
function prepared(value: string): string {
  const seen = value.replace(/\p{Default_Ignorable_Code_Point}/gu, '').normalize('NFKC');
  return seen.toUpperCase().toLowerCase().trim().replace(/\s+/g, ' ');
}
