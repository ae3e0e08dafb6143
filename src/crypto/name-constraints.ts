import { describeName, isWithin } from './distinguished-name.ts';
import type { GeneralName } from './general-name.ts';
import type { Certificate } from './x509.ts';

const EMAIL_ADDRESS = '1.2.840.113549.1.9.1';

/** Names are compared with constraints at most so often for one certificate that is verified. */
const MAX_COMPARISONS = 10_000;

/** Counts the comparisons of names with constraints, over all certificates of all ways to a root. */
export class Comparisons {
  #left = MAX_COMPARISONS;

  /** Takes so many, if there are so many left. */
  take(count: number): boolean {
    this.#left -= count;
    return this.#left >= 0;
  }
}

/** What is held against constraints. */
type Names = Pick<Certificate, 'subject' | 'subjectAltNames'>;

/**
 * The first name in `certificate` that the constraints of `authority`, which stands above it, do not allow, for people;
 * `undefined` when all are allowed. RFC 5280, 4.2.1.10: a kind of name that is constrained in a way that cannot be
 * judged here is not allowed, and neither is more than {@link Comparisons} has left.
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
    return `names were to be compared with constraints more than ${MAX_COMPARISONS} times`;
  for (const name of names) {
    const sameKind = permitted.filter((base) => isSameKind(base, name));
    const isPermitted = sameKind.length === 0 || sameKind.some((base) => matches(base, name) === true);
    const isExcluded = excluded.some((base) => isSameKind(base, name) && matches(base, name) !== false);
    if (!isPermitted || isExcluded) return `${describe(name)} is outside the name constraints`;
  }
  return undefined;
}

/** The subject counts as a directory name where it is not empty, and its e-mail addresses where there are no others. */
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

/** Whether `name` is within `base`, which is of the same kind; `undefined` where that is not known. */
function matches(base: GeneralName, name: GeneralName): boolean | undefined {
  if (base.kind === 'directory' && name.kind === 'directory') return isWithin(base.value, name.value);
  if (base.kind === 'dns' && name.kind === 'dns') return isHostWithin(base.value, name.value);
  if (base.kind === 'email' && name.kind === 'email') return isMailboxWithin(base.value, name.value);
  if (base.kind === 'uri' && name.kind === 'uri') return isUriWithin(base.value, name.value);
  if (base.kind === 'ip' && name.kind === 'ip') return isAddressWithin(base.value, name.value);
  return undefined;
}

/** A host name in ASCII, as DNS has it, with an underscore where some have one; nothing that a resolver may read otherwise. */
const LABEL = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?';
const HOST = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);
/** Readers of URLs take such a host for an IPv4 address. */
const ENDS_IN_NUMBER = /(?:^|\.)[0-9]+$/;
const MAX_HOST = 253;
const isHost = (text: string): boolean => text.length <= MAX_HOST && HOST.test(text) && !ENDS_IN_NUMBER.test(text);

/** Whether `host` is the host of `base` or, where that begins with a dot, below it; not known if either is not a host name. */
function isAtHost(base: string, host: string): boolean | undefined {
  if (host.length > MAX_HOST) return undefined;
  const [wanted, given] = [base.toLowerCase(), host.toLowerCase()];
  if (!isHost(given)) return undefined;
  if (wanted.startsWith('.')) return isHost(wanted.slice(1)) ? given.endsWith(wanted) : undefined;
  return isHost(wanted) ? given === wanted : undefined;
}

/**
 * `base` itself or any host below it; a base that begins with a dot means only those below. Of a name with a wildcard
 * (`*.example.com`, all hosts one below) it is not known where the base is below what the wildcard stands for.
 */
function isHostWithin(base: string, host: string): boolean | undefined {
  const parent = host.startsWith('*.') ? host.slice(2) : undefined;
  if (base === '') return isHost((parent ?? host).toLowerCase()) ? true : undefined;
  const below = base.startsWith('.') ? base : `.${base}`;
  if (parent === undefined) return isAtHost(base, host) === true ? true : isAtHost(below, host);
  const above = isAtHost(below, parent) === true ? true : isAtHost(below.slice(1), parent);
  return above === false && isAtHost(`.${parent}`, below.slice(1)) !== false ? undefined : above;
}

/** `base` is a whole address, a host, or with a dot before it a domain. Local parts in quotation marks are not read. */
function isMailboxWithin(base: string, address: string): boolean | undefined {
  const [local, host] = mailbox(address);
  if (local === undefined || host === undefined) return undefined;
  if (base === '') return isHost(host.toLowerCase()) ? true : undefined;
  if (!base.includes('@')) return isAtHost(base, host);
  const [baseLocal, baseHost] = mailbox(base);
  if (baseLocal === undefined || baseHost === undefined) return undefined;
  const isThere = isAtHost(baseHost, host);
  return isThere === true ? local === baseLocal : isThere;
}

/** The two parts of an address, RFC 5321, 4.1.2, without quotation marks; nothing for anything else. */
function mailbox(address: string): readonly string[] {
  const parts = address.split('@');
  return parts.length === 2 && /^[\w!#$%&'*+\-/=?^`{|}~.]+$/.test(parts[0] ?? '') ? parts : [];
}

/** The host of the URI is `base`, or below it where that begins with a dot. Not known for a URI without a host name. */
function isUriWithin(base: string, uri: string): boolean | undefined {
  const [scheme = '', nothing, authority = ''] = uri.split('/', 3);
  // Browsers read a backslash as a slash, and leave out control characters: what they would read is not known here.
  if (nothing !== '' || !/^[a-z][a-z0-9+.-]*:$/i.test(scheme) || /[^!-~]|\\/.test(uri)) return undefined;
  const parts = (authority.split(/[?#]/, 1)[0] ?? '').split('@');
  const host = parts.length > 2 ? '' : (parts.at(-1) ?? '').replace(/:[0-9]*$/, '');
  return isAtHost(base, host);
}

/** `base` is an address and a mask, each as long as the address. */
function isAddressWithin(base: Uint8Array, address: Uint8Array): boolean | undefined {
  const { length } = address;
  const isAddress = (bytes: number) => bytes === 4 || bytes === 16;
  if (!isAddress(length) || base.length % 2 !== 0 || !isAddress(base.length / 2)) return undefined;
  if (!isPrefix(base.subarray(base.length / 2))) return undefined;
  if (base.length !== 2 * length) return false;
  return address.every((byte, i) => ((byte ^ (base[i] ?? 0)) & (base[length + i] ?? 0)) === 0);
}

/** Whether a mask is ones and then zeros, as RFC 4632 has it. */
const isPrefix = (mask: Uint8Array): boolean =>
  /^1*0*$/.test(Array.from(mask, (byte) => byte.toString(2).padStart(8, '0')).join(''));

function describe(name: GeneralName): string {
  switch (name.kind) {
    case 'directory':
      return describeName(name.value);
    case 'ip':
      return `the address ${name.value.join('.')}`;
    case 'other':
      return `a name of kind ${name.value}`;
    default:
      return `'${name.value}'`;
  }
}
