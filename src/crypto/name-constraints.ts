import { describeName, isWithin } from './distinguished-name.ts';
import type { GeneralName } from './general-name.ts';
import type { Certificate } from './x509.ts';

const EMAIL_ADDRESS = '1.2.840.113549.1.9.1';

/**
 * The first name in `certificate` that the constraints of `authority`, which stands above it, do not allow, for people;
 * `undefined` when all are allowed. RFC 5280, 4.2.1.10: a kind of name that is constrained in a way that cannot be
 * judged here is not allowed.
 */
export function nameProblem(certificate: Certificate, { nameConstraints }: Certificate): string | undefined {
  if (nameConstraints === undefined) return undefined;
  const { permitted, excluded } = nameConstraints;
  for (const name of namesOf(certificate)) {
    const sameKind = permitted.filter((base) => isSameKind(base, name));
    const isPermitted = sameKind.length === 0 || sameKind.some((base) => matches(base, name) === true);
    const isExcluded = excluded.some((base) => isSameKind(base, name) && matches(base, name) !== false);
    if (!isPermitted || isExcluded) return `${describe(name)} is outside the name constraints`;
  }
  return undefined;
}

/** The subject counts as a directory name where it is not empty, and its e-mail addresses where there are no others. */
function namesOf({ subject, subjectAltNames }: Certificate): GeneralName[] {
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

const lower = (text: string): string => text.toLowerCase();

/** `base` itself or any host below it; a base that begins with a dot means only those below. */
function isHostWithin(base: string, host: string): boolean {
  if (base === '') return true;
  if (base.startsWith('.')) return lower(host).endsWith(lower(base));
  return lower(host) === lower(base) || lower(host).endsWith(`.${lower(base)}`);
}

/** `base` is a whole address, a host, or with a dot before it a domain. */
function isMailboxWithin(base: string, address: string): boolean {
  const at = address.lastIndexOf('@');
  const host = lower(address.slice(at + 1));
  if (base.includes('@')) {
    const baseAt = base.lastIndexOf('@');
    return address.slice(0, at) === base.slice(0, baseAt) && host === lower(base.slice(baseAt + 1));
  }
  return base.startsWith('.') ? host.endsWith(lower(base)) : base === '' || host === lower(base);
}

/** The host of the URI is `base`, or below it where that begins with a dot. Not known for a URI without a host. */
function isUriWithin(base: string, uri: string): boolean | undefined {
  const host = URL.canParse(uri) ? new URL(uri).hostname : '';
  if (host === '') return undefined;
  return base.startsWith('.') ? host.endsWith(lower(base)) : host === lower(base);
}

/** `base` is an address and a mask, each as long as the address. */
function isAddressWithin(base: Uint8Array, address: Uint8Array): boolean {
  const { length } = address;
  if (base.length !== 2 * length) return false;
  return address.every((byte, i) => ((byte ^ (base[i] ?? 0)) & (base[length + i] ?? 0)) === 0);
}

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
