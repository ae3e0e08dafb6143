import { checkObject, equal } from '../../bytes.ts';
import { KeyprovError, readOr } from '../../errors.ts';
import { decodeDnBinary, encodeDnBinary } from '../../formats/windows/dn-binary.ts';
import { parseKeyCredentialLink } from '../../formats/windows/key-credential-link.ts';
import { findLdapUser, KEY_CREDENTIAL_ATTRIBUTE, ldapError, ldapResultCode } from '../../registration/ldap-user.ts';
import { loadLdapts } from '../../registration/load-package.ts';
import type { SignalOptions } from '../../signal.ts';
import type { LdapWriter } from './ldap-client.ts';

/** A user of the directory. */
export interface DirectoryUser {
  /** The base DN of the users. */
  readonly base: string;
  /** The user principal name. */
  readonly user: string;
}

/** LDAP result codes. RFC 4511, appendix A. */
const CODE = {
  NO_SUCH_ATTRIBUTE: 16,
  CONSTRAINT_VIOLATION: 19,
  VALUE_EXISTS: 20,
  INVALID_SYNTAX: 21,
  INVALID_DN_SYNTAX: 34,
} as const;

/** Result codes for a refused value: Active Directory gives 34 where OpenLDAP gives 19. */
const MALFORMED: ReadonlySet<number> = new Set([
  CODE.CONSTRAINT_VIOLATION,
  CODE.INVALID_SYNTAX,
  CODE.INVALID_DN_SYNTAX,
]);

/**
 * Writes `blob`, a KEYCREDENTIALLINK_BLOB, to the user's `msDS-KeyCredentialLink`, as synchronization does. Adds one
 * value, so concurrent writes by others are not lost.
 * @param client bound as an account that has permission to do so.
 * @returns `present` if the user already had the key.
 * @throws KeyprovError `service-answer` if there is no such user; `request-invalid` if the directory refuses the value;
 * `service-refused`, for example without permission; `service-unreachable` if it may work later; `library-missing`
 * without the package ldapts.
 */
export async function addKeyCredential(
  client: LdapWriter,
  given: DirectoryUser & { readonly blob: Uint8Array },
  { signal }: SignalOptions = {},
): Promise<'added' | 'present'> {
  const { base, user, blob } = checkObject(given, 'the addition', 'base:string', 'user:string', 'blob:bytes');
  const { dn } = await findLdapUser(client, { base, user, signal });
  const done = await change(client, { dn, operation: 'add', value: encodeDnBinary({ binary: blob, dn }), signal });
  return done ? 'added' : 'present';
}

/**
 * Removes a key from the user's `msDS-KeyCredentialLink`: every value with that Key ID. Removes each value exactly as
 * read, because a directory changes the DN in it when the user is renamed.
 * @param client bound as an account that has permission to do so.
 * @returns `absent` if the user did not have the key.
 * @throws KeyprovError as {@link addKeyCredential}.
 */
export async function removeKeyCredential(
  client: LdapWriter,
  given: DirectoryUser & { readonly keyId: Uint8Array },
  { signal }: SignalOptions = {},
): Promise<'removed' | 'absent'> {
  const { base, user, keyId } = checkObject(given, 'the removal', 'base:string', 'user:string', 'keyId:bytes');
  const { dn, values } = await findLdapUser(client, { base, user, signal });
  let outcome: 'removed' | 'absent' = 'absent';
  const keyIdOf = (value: string) => parseKeyCredentialLink(decodeDnBinary(value).binary).keyId;
  // A malformed value cannot be the key.
  const isIt = (value: string) => readOr(false, () => equal(keyIdOf(value), keyId), 'request-invalid');
  for (const value of values.filter(isIt)) {
    if (await change(client, { dn, operation: 'delete', value, signal })) outcome = 'removed';
  }
  return outcome;
}

interface OneValue extends SignalOptions {
  readonly dn: string;
  readonly operation: 'add' | 'delete';
  readonly value: string;
}

/** @returns whether it changed anything: false if the value was already present, or already absent. */
async function change(client: LdapWriter, { dn, operation, value, signal }: OneValue): Promise<boolean> {
  const { Attribute, Change } = await loadLdapts();
  signal?.throwIfAborted();
  const modification = new Attribute({ type: KEY_CREDENTIAL_ATTRIBUTE, values: [value] });
  try {
    await client.modify(dn, new Change({ operation, modification }));
    return true;
  } catch (cause) {
    const code = ldapResultCode(cause);
    if (code === (operation === 'add' ? CODE.VALUE_EXISTS : CODE.NO_SUCH_ATTRIBUTE)) return false;
    const error = ldapError(`${operation} of a key of ${dn}`, cause);
    if (code === undefined || !MALFORMED.has(code)) throw error;
    throw new KeyprovError('request-invalid', error.message, { cause });
  }
}
