import { isKeyprovError, KeyprovError } from '../errors.ts';
import { parseDnBinary } from '../request/dn-binary.ts';
import { requestInvalid } from '../request/in-request.ts';
import { type KeyCredential, parseKeyCredentialLink } from '../request/key-credential-link.ts';
import { keyCredentialProblems } from '../request/key-credential-problems.ts';
import type { DirectoryReader } from './sync-status.ts';

/** What is needed of an LDAP client that is bound to the directory: the `Client` of the package ldapts is one. */
export interface LdapSearcher {
  search(
    base: string,
    options: { scope: 'sub'; filter: string; attributes: string[]; sizeLimit: number },
  ): Promise<{ readonly searchEntries: readonly LdapEntry[] }>;
}

/** An entry: its distinguished name and the attributes that were asked for. */
export interface LdapEntry {
  readonly dn: string;
  readonly [attribute: string]: string | string[] | Buffer | Buffer[];
}

/** Options of {@link ldapReader}. */
export interface LdapReaderOptions {
  /** Below which name users are, such as `DC=contoso,DC=test`. */
  readonly base: string;
  /** Is told of every value that is left out, and why. */
  readonly onIgnored?: (value: string, reason: string) => void;
}

const ATTRIBUTE = 'msDS-KeyCredentialLink';

/**
 * Reads `msDS-KeyCredentialLink` of the user in Active Directory. Directories check next to nothing of its values: left
 * out is what is malformed, has a wrong KeyID, a wrong or no KeyHash, or names another owner than the entry.
 */
export function ldapReader(client: LdapSearcher, { base, onIgnored = () => {} }: LdapReaderOptions): DirectoryReader {
  return {
    place: 'active-directory',
    read: async (user, { signal } = {}) => {
      signal?.throwIfAborted();
      const filter = `(userPrincipalName=${escapeFilter(user)})`;
      const search = client.search(base, { scope: 'sub', filter, attributes: [ATTRIBUTE], sizeLimit: 2 });
      const { searchEntries } = await untilAborted(search, signal).catch((cause: unknown) => {
        signal?.throwIfAborted();
        throw ldapError(filter, cause);
      });
      const [entry, second] = searchEntries;
      if (entry === undefined || second !== undefined) {
        const found = entry === undefined ? 'no entry' : 'more than one entry';
        throw new KeyprovError('service-answer', `LDAP: ${found} below ${base} is ${filter}`);
      }
      return valuesOf(entry).flatMap((value) => {
        try {
          return [readValue(value, entry.dn)];
        } catch (error) {
          if (!isKeyprovError(error, 'request-invalid')) throw error;
          onIgnored(value, error.message);
          return [];
        }
      });
    },
  };
}

/** RFC 4515, section 3. */
function escapeFilter(text: string): string {
  return text.replace(/[\\*()\0]/g, (character) => `\\${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** All values; a directory with very many names the attribute with their range. MS-ADTS 3.1.1.3.1.3.3. */
function valuesOf(entry: LdapEntry): string[] {
  return Object.entries(entry)
    .filter(([name]) => name.split(';')[0]?.toLowerCase() === ATTRIBUTE.toLowerCase())
    .flatMap(([, values]) => (Array.isArray(values) ? values : [values]))
    .map(String);
}

/** @throws KeyprovError `request-invalid`: why the value does not count. */
function readValue(value: string, owner: string): KeyCredential {
  const { binary, dn } = parseDnBinary(value);
  if (comparable(dn) !== comparable(owner)) throw requestInvalid('key credential', `it names another owner, ${dn}`);
  const link = parseKeyCredentialLink(binary);
  const problem = keyCredentialProblems(link).find(({ check }) => check === 'key-id' || check === 'key-hash');
  if (problem !== undefined) throw requestInvalid('key credential', problem.detail);
  return link;
}

/**
 * Case, blanks between the parts, and the two ways to escape do not count: some directories keep the spelling of the
 * writer, while they name the entry in their own (OpenLDAP 2.5: `\2C` for `\,`). RFC 4514, section 2.4.
 */
function comparable(dn: string): string {
  return dn
    .replace(/(?:\\[0-9a-f]{2})+/gi, (run) =>
      Buffer.from(run.replaceAll('\\', ''), 'hex')
        .toString()
        .replace(/[",+;<=>\\]/g, '\\$&'),
    )
    .toLowerCase()
    .replace(/\s*(?<!\\)([,=])\s*/g, '$1');
}

function ldapError(filter: string, cause: unknown): KeyprovError {
  const { code, message = String(cause) } = Object(cause) as { code?: unknown; message?: string };
  const text = `LDAP search for ${filter}: ${message}`;
  if (typeof code !== 'number' || BUSY.has(code)) return new KeyprovError('service-unreachable', text, { cause });
  return new KeyprovError('service-refused', `${text} (result code ${code})`, {
    cause,
    remedy: 'check account, base and rights',
  });
}

/** Result codes of RFC 4511, appendix A, that pass: timeLimitExceeded, busy, unavailable. */
const BUSY: ReadonlySet<number> = new Set([3, 51, 52]);

/** The client cannot be told to give up, so its answer is left alone. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  return await Promise.race([work, aborted]).finally(() => signal.removeEventListener('abort', stop));
}
