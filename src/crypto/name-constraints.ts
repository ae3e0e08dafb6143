import { toHex } from '../bytes.ts';
import { printable } from '../printable.ts';
import { describeName, isWithin } from './distinguished-name.ts';
import type { GeneralName } from './general-name.ts';
import type { Certificate } from './x509.ts';

const EMAIL_ADDRESS = '1.2.840.113549.1.9.1';

/** The most comparisons of names with constraints in one verification. */
const MAX_COMPARISONS = 10_000;

/** Counts the comparisons of names with constraints over all paths of one verification. */
export class Comparisons {
  #left = MAX_COMPARISONS;

  /** Takes `count` comparisons. @returns whether that many were left. */
  take(count: number): boolean {
    this.#left -= count;
    return this.#left >= 0;
  }
}

/** The names of a certificate. */
type Names = Pick<Certificate, 'subject' | 'subjectAltNames'>;

/**
 * Describes the first name in `certificate` that the constraints of the CA above it do not allow; `undefined` if all
 * are allowed. RFC 5280, 4.2.1.10: a name is not allowed if its constraint cannot be judged, or if no
 * {@link Comparisons} are left.
 */
export function nameProblem(
  certificate: Names,
  { nameConstraints }: Pick<Certificate, 'nameConstraints'>,
  comparisons: Comparisons,
): string | undefined {
  if (nameConstraints === undefined) return undefined;
  const { permitted, excluded } = nameConstraints;
  const names = namesOf(certificate);
  if (!comparisons.take(names.length * (permitted.length + excluded.length)))
    return `checking the name constraints takes more than ${MAX_COMPARISONS} comparisons`;
  for (const name of names) {
    const sameKind = permitted.filter((base) => isSameKind(base, name));
    const isPermitted = sameKind.length === 0 || sameKind.some((base) => matches(base, name) === true);
    const isExcluded = excluded.some((base) => isSameKind(base, name) && matches(base, name) !== false);
    if (!isPermitted || isExcluded) return `${describe(name)} is not allowed by the name constraints`;
  }
  return undefined;
}

/** The subject counts as a directory name unless it is empty; its e-mail addresses count if there are no others. */
function namesOf({ subject, subjectAltNames }: Names): GeneralName[] {
  const names: GeneralName[] = [...subjectAltNames];
  if (subject.length > 0) names.push({ kind: 'directory', value: subject });
  if (!subjectAltNames.some(({ kind }) => kind === 'email')) {
    const addresses = subject.flat().filter(({ type }) => type === EMAIL_ADDRESS);
    names.push(...addresses.map(({ value }) => ({ kind: 'email', value }) as const));
  }
  return names;
}

const isSameKind = (a: GeneralName, b: GeneralName): boolean =>
  a.kind === b.kind && (a.kind !== 'other' || a.value === b.value);

/** Whether `name` is within `base`, which has the same kind; `undefined` if that cannot be judged. */
function matches(base: GeneralName, name: GeneralName): boolean | undefined {
  switch (name.kind) {
    case 'directory':
      return isWithin((base as typeof name).value, name.value);
    case 'dns':
      return isHostWithin((base as typeof name).value, name.value);
    case 'email':
      return isMailboxWithin((base as typeof name).value, name.value);
    case 'uri':
      return isUriWithin((base as typeof name).value, name.value);
    case 'ip':
      return isAddressWithin((base as typeof name).value, name.value);
    case 'other':
      return undefined;
  }
}

/** A DNS host name in ASCII, underscores included: nothing that a resolver may read differently. */
const LABEL = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const HOST = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);
/** URL parsers take such a host for an IPv4 address. */
const ENDS_IN_NUMBER = /(?:^|\.)[0-9]+$/;
const MAX_HOST = 253;
const isHost = (text: string): boolean => text.length <= MAX_HOST && HOST.test(text) && !ENDS_IN_NUMBER.test(text);

/**
 * Whether `host` is the host `base` or, if that begins with a dot, below it; `undefined` if either is not a host name.
 */
function isAtHost(base: string, host: string): boolean | undefined {
  const [wanted, given] = [base.toLowerCase(), host.toLowerCase()];
  if (!isHost(given)) return undefined;
  if (wanted.startsWith('.')) return isHost(wanted.slice(1)) ? given.endsWith(wanted) : undefined;
  return isHost(wanted) ? given === wanted : undefined;
}

/**
 * `base` itself or any host below it; a base that begins with a dot means only those below. A name with a
 * wildcard (`*.example.com`) cannot be judged if the base is below the parent of the wildcard.
 */
function isHostWithin(base: string, host: string): boolean | undefined {
  const parent = host.startsWith('*.') ? host.slice(2) : undefined;
  if (base === '') return isHost((parent ?? host).toLowerCase()) ? true : undefined;
  const below = base.startsWith('.') ? base : `.${base}`;
  if (parent === undefined) return isAtHost(base, host) === true ? true : isAtHost(below, host);
  const above = isAtHost(below, parent) === true ? true : isAtHost(below.slice(1), parent);
  return isAtHost(`.${parent}`, below.slice(1)) === false ? above : undefined;
}

/** `base` is an address, a host or, with a leading dot, a domain. Quoted local parts cannot be judged. */
function isMailboxWithin(base: string, address: string): boolean | undefined {
  const [host, local] = mailbox(address);
  if (host === undefined) return undefined;
  if (base === '') return isHost(host.toLowerCase()) ? true : undefined;
  if (!base.includes('@')) return isAtHost(base, host);
  const [baseHost, baseLocal] = mailbox(base);
  if (baseHost === undefined) return undefined;
  const isThere = isAtHost(baseHost, host);
  return isThere === true ? local === baseLocal : isThere;
}

/** The host and the local part of an unquoted address (RFC 5321, 4.1.2); an empty list for anything else. */
function mailbox(address: string): readonly string[] {
  const parts = address.split('@');
  return /^[\w!#$%&'*+\-/=?^`{|}~.]+@[^@]*$/.test(address) ? parts.reverse() : [];
}

/**
 * Whether the host of the URI is `base` or, if that begins with a dot, below it. A URI without a host name cannot be
 * judged.
 */
function isUriWithin(base: string, uri: string): boolean | undefined {
  const [scheme = '', nothing, authority = ''] = uri.split('/', 3);
  // Browsers read a backslash as a slash and drop control characters, so such a URI cannot be judged.
  if (nothing !== '' || !/^[a-z][a-z0-9+.-]*:$/i.test(scheme) || /[^!-~]|\\/.test(uri)) return undefined;
  const parts = (authority.split(/[?#]/, 1)[0] ?? '').split('@');
  const host = parts.length > 2 ? '' : (parts.at(-1) ?? '').replace(/:[0-9]*$/, '');
  return isAtHost(base, host);
}

/** `base` is an address and a mask, each as long as the address. */
function isAddressWithin(base: Uint8Array, address: Uint8Array): boolean | undefined {
  const { length } = address;
  const isAddress = (bytes: number) => bytes === 4 || bytes === 16;
  if (!isAddress(length) || !isAddress(base.length / 2)) return undefined;
  if (!isPrefix(base.subarray(base.length / 2))) return undefined;
  if (base.length !== 2 * length) return false;
  return address.every((byte, i) => ((byte ^ (base[i] ?? 0)) & (base[length + i] ?? 0)) === 0);
}

/** Whether a mask is ones followed by zeros (RFC 4632). */
const isPrefix = (mask: Uint8Array): boolean =>
  /^1*0*$/.test(Array.from(mask, (byte) => byte.toString(2).padStart(8, '0')).join(''));

/** An address in its usual form: of 4 bytes in decimal, of 16 bytes as RFC 5952 says. */
function addressText(bytes: Uint8Array): string {
  if (bytes.length !== 16) return bytes.join('.');
  const groups = toHex(bytes).replace(/.{4}(?!$)/g, '$&:');
  return new URL(`http://[${groups}]`).hostname.slice(1, -1);
}

function describe(name: GeneralName): string {
  switch (name.kind) {
    case 'directory':
      return describeName(name.value);
    case 'ip':
      return `the address ${addressText(name.value)}`;
    case 'other':
      return `a name of type ${name.value}`;
    default:
      return `'${printable(name.value)}'`;
  }
}
