import { checkObject } from '../bytes.ts';
import { ServiceError } from '../errors/service-error.ts';
import { isKeyprovError, type KeyprovError } from '../errors.ts';
import { checkTextSize, LIMIT } from '../limits.ts';
import { unlessAborted } from '../signal.ts';
import { peerLine } from './peer-text.ts';

/** An LDAP client bound to the directory, such as the `Client` of the package ldapts. */
export interface LdapSearcher {
  /** Finds the entries below `base` that match `filter`. */
  search(
    base: string,
    options: { scope: 'sub'; filter: string; attributes: string[]; sizeLimit: number },
  ): Promise<{ readonly searchEntries: readonly LdapEntry[] }>;
}

/** An entry: its distinguished name and the requested attributes. */
export interface LdapEntry {
  readonly dn: string;
  readonly [attribute: string]: string | string[] | Buffer | Buffer[];
}

/** A user, with their keys in the directory. */
export interface LdapUser {
  /** As the directory writes it. */
  readonly dn: string;
  /** All values of `msDS-KeyCredentialLink`, unchanged. */
  readonly values: readonly string[];
}

/** The attribute that holds the keys of a user. MS-ADA2, 2.358. */
export const KEY_CREDENTIAL_ATTRIBUTE = 'msDS-KeyCredentialLink';

/**
 * Finds the user with that user principal name.
 * @throws KeyprovError `service-answer` if there is none, or more than one; else as {@link ldapError}.
 */
export async function findLdapUser(
  client: LdapSearcher,
  { base, user, signal }: { readonly base: string; readonly user: string; readonly signal?: AbortSignal | undefined },
): Promise<LdapUser> {
  signal?.throwIfAborted();
  const filter = `(userPrincipalName=${escapeFilter(user)})`;
  const search = () =>
    client.search(base, { scope: 'sub', filter, attributes: [KEY_CREDENTIAL_ATTRIBUTE], sizeLimit: 2 });
  const answer = await unlessAborted(search, signal).catch((cause: unknown) => {
    signal?.throwIfAborted();
    throw ldapError(`search for ${filter}`, cause);
  });
  const [entry, second] = checkObject(answer, 'the result of client.search', 'searchEntries').searchEntries;
  if (entry === undefined || second !== undefined) {
    const [found, remedy] =
      entry === undefined
        ? ['no entry', 'check the user name and the base of the search']
        : ['more than one entry', 'choose a base with only one of them'];
    throw new ServiceError('service-answer', `LDAP: ${found} below ${base} matches ${filter}`, { remedy });
  }
  const wrongName = (problem: string) =>
    new ServiceError('service-answer', `LDAP: invalid distinguished name of the user: ${problem}`);
  // An attribute called `dn` would replace it.
  if (typeof entry.dn !== 'string') throw wrongName('it is not a string');
  checkTextSize(entry.dn, LIMIT.line, wrongName);
  return { dn: entry.dn, values: valuesOf(entry) };
}

/**
 * The error for a failed operation: `service-unreachable` if there is no connection or the directory is busy, else
 * `service-refused` with the result code.
 */
export function ldapError(what: string, cause: unknown): KeyprovError {
  if (isKeyprovError(cause)) return cause;
  const { message = String(cause) } = Object(cause) as { message?: string };
  const text = `LDAP ${what}: ${peerLine(message)}`;
  const code = ldapResultCode(cause);
  if (code === undefined || BUSY.has(code)) {
    return new ServiceError('service-unreachable', text, {
      cause,
      retry: 'backoff',
      remedy: 'check the address of the directory and the network, then try again',
    });
  }
  return new ServiceError('service-refused', `${text} (result code ${code})`, {
    cause,
    remedy: 'check the account, the base and the permissions',
  });
}

/** The result code in the error of a client; undefined if there was no response. RFC 4511, appendix A. */
export function ldapResultCode(cause: unknown): number | undefined {
  const { code } = Object(cause) as { code?: unknown };
  return typeof code === 'number' ? code : undefined;
}

/** Temporary result codes of RFC 4511, appendix A: timeLimitExceeded, busy, unavailable. */
const BUSY: ReadonlySet<number> = new Set([3, 51, 52]);

/** RFC 4515, section 3. */
function escapeFilter(text: string): string {
  return text.replace(/[\\*()\0]/g, (character) => `\\${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** All values. With very many, a directory appends their range to the attribute name. MS-ADTS 3.1.1.3.1.3.3. */
function valuesOf(entry: LdapEntry): string[] {
  return Object.entries(entry)
    .filter(([name]) => name.split(';')[0]?.toLowerCase() === KEY_CREDENTIAL_ATTRIBUTE.toLowerCase())
    .flatMap(([, values]) => (Array.isArray(values) ? values : [values]))
    .map(String);
}
