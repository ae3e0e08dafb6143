import { isKeyprovError } from '../errors.ts';
import { decodeDnBinary } from '../formats/windows/dn-binary.ts';
import { type KeyCredential, parseKeyCredentialLink } from '../formats/windows/key-credential-link.ts';
import { findKeyCredentialProblems } from '../formats/windows/key-credential-problems.ts';
import { requestInvalid } from '../formats/x509/in-request.ts';
import { checkMembers } from '../known-members.ts';
import { findLdapUser, type LdapSearcher } from './ldap-user.ts';
import type { DirectoryReader } from './sync-status.ts';

/** Options of {@link ldapReader}. */
export interface LdapReaderOptions {
  /** The base DN of the search for users, such as `DC=contoso,DC=test`. */
  readonly base: string;
  /** Called with each value that is left out, and the reason. */
  readonly onIgnored?: ((value: string, reason: string) => void) | undefined;
}

/**
 * Returns a reader of the user's `msDS-KeyCredentialLink` in Active Directory. Directories hardly check its values, so
 * the reader leaves out malformed values, and values with a wrong Key ID, a wrong or missing KeyHash, or an owner other
 * than the entry.
 * @throws TypeError for a wrong option.
 */
export function ldapReader(client: LdapSearcher, options: LdapReaderOptions): DirectoryReader {
  const { base, onIgnored = () => {} } = checkMembers('ldapReader', options, 'base:text onIgnored:function?');
  return {
    place: 'active-directory',
    read: async (user, { signal } = {}) => {
      const { dn, values } = await findLdapUser(client, { base, user, signal });
      return values.flatMap((value) => {
        try {
          return [readValue(value, dn)];
        } catch (error) {
          if (!isKeyprovError(error, 'request-invalid')) throw error;
          onIgnored(value, error.message);
          return [];
        }
      });
    },
  };
}

/** Reads a value. @throws KeyprovError `request-invalid` with the reason why it does not count. */
function readValue(value: string, owner: string): KeyCredential {
  const { binary, dn } = decodeDnBinary(value);
  if (comparable(dn) !== comparable(owner))
    throw requestInvalid('key credential', `it belongs to another owner, ${dn}`);
  const link = parseKeyCredentialLink(binary);
  const problem = findKeyCredentialProblems(link).find(({ check }) => check === 'key-id' || check === 'key-hash');
  if (problem !== undefined) throw requestInvalid('key credential', problem.detail);
  return link;
}

/**
 * A name without the differences that do not count: case, blanks between the parts, and the two ways to escape. Some
 * directories keep the writer's spelling but name the entry in their own (OpenLDAP 2.5: `\2C` for `\,`). RFC 4514, 2.4.
 */
function comparable(dn: string): string {
  return dn
    .replace(/(?:\\[0-9a-f]{2})+/gi, (run) =>
      Buffer.from(run.replaceAll('\\', ''), 'hex')
        .toString()
        .replace(/[",+;<=>\\]/g, '\\$&'),
    )
    .toLowerCase()
    .split(/(?<!\\)([,=])/)
    .map((part) => part.trim())
    .join('');
}
