import { checkObject, concat, equal } from '../../bytes.ts';
import { digest } from '../../crypto/kdf.ts';
import { bitLength } from '../../crypto/public-key.ts';
import { isRocaWeak } from '../../crypto/roca.ts';
import { KeyprovError, readOr } from '../../errors.ts';
import { checkMembers } from '../../known-members.ts';
import {
  encodeEntry,
  KEY_CREDENTIAL_ENTRY,
  KEY_CREDENTIAL_USAGE,
  type KeyCredentialLink,
} from './key-credential-link.ts';
import { decodeKeyMaterial } from './key-material.ts';

/** A problem of a readable key credential. */
export interface KeyCredentialProblem {
  readonly check: 'order' | 'key-id' | 'key-hash' | 'key-material' | 'key-strength' | 'custom-key-information' | 'time';
  /** For people. */
  readonly detail: string;
}

/**
 * Verifies a key credential against MS-ADTS 2.2.20: order of the entries, Key ID, KeyHash, and RSA1 of 2048 bits as
 * material of NGC keys. Also checks that an RSA key is not weak (ROCA, CVE-2017-15361). Directories check none of
 * this. Never throws because of the link.
 *
 * @param options `now` is the FILETIME of the check. Absent: times in the future are not reported.
 * @returns the problems; empty if there are none.
 */
export function findKeyCredentialProblems(
  link: KeyCredentialLink,
  options: { readonly now?: bigint } = {},
): KeyCredentialProblem[] {
  const { now } = checkMembers('findKeyCredentialProblems', options, 'now');
  checkObject(link, 'the key credential link', 'entries:list');
  const checks: readonly [KeyCredentialProblem['check'], string | undefined][] = [
    ['order', orderProblem(link)],
    ['key-id', keyIdProblem(link)],
    ['key-hash', keyHashProblem(link)],
    ['key-material', materialProblem(link)],
    ['key-strength', strengthProblem(link)],
    ['custom-key-information', customProblem(link)],
    ['time', timeProblem(link, now)],
  ];
  return checks.flatMap(([check, detail]) => (detail === undefined ? [] : [{ check, detail }]));
}

function orderProblem({ entries }: KeyCredentialLink): string | undefined {
  const isAscending = entries.every(({ id }, i) => i === 0 || id > (entries[i - 1]?.id ?? 0));
  return isAscending ? undefined : 'the entries are not in ascending order';
}

function keyIdProblem({ keyId, keyMaterial, usage }: KeyCredentialLink): string | undefined {
  const isRight = usage === KEY_CREDENTIAL_USAGE.FIDO || equal(keyId, digest('sha256', keyMaterial));
  return isRight ? undefined : 'the Key ID is not the SHA-256 of the key material';
}

function keyHashProblem({ keyHash, entries }: KeyCredentialLink): string | undefined {
  if (keyHash === undefined) return 'there is no KeyHash';
  const at = entries.findIndex(({ id }) => id === KEY_CREDENTIAL_ENTRY.KEY_HASH);
  const isRight = equal(keyHash, digest('sha256', concat(...entries.slice(at + 1).map(encodeEntry))));
  return isRight ? undefined : 'the KeyHash is not the SHA-256 of the entries after it';
}

function materialProblem({ keyMaterial, usage }: KeyCredentialLink): string | undefined {
  try {
    const material = decodeKeyMaterial(keyMaterial);
    if (material === undefined) return 'the key material has an unknown form';
    if (usage !== KEY_CREDENTIAL_USAGE.NGC) return undefined;
    const { form, publicKey } = material;
    const isRsa2048 = publicKey.kty === 'RSA' && bitLength(publicKey.n) === 2048;
    return form === 'cng' && isRsa2048 ? undefined : 'the key material of an NGC key is not RSA1 with 2048 bits';
  } catch (error) {
    if (error instanceof KeyprovError) return error.message;
    throw error;
  }
}

function strengthProblem({ keyMaterial }: KeyCredentialLink): string | undefined {
  // Unreadable material is reported by its own check.
  const publicKey = readOr(undefined, () => decodeKeyMaterial(keyMaterial))?.publicKey;
  return publicKey?.kty === 'RSA' && isRocaWeak(publicKey.n) ? 'the key can be broken (ROCA)' : undefined;
}

function customProblem({ customKeyInformation }: KeyCredentialLink): string | undefined {
  if (customKeyInformation === undefined || customKeyInformation.version === 1) return undefined;
  return `the version of the custom key information is ${customKeyInformation.version}`;
}

function timeProblem({ lastLogon, created }: KeyCredentialLink, now: bigint | undefined): string | undefined {
  const isLater = (time: bigint | undefined) => now !== undefined && time !== undefined && time > now;
  return isLater(lastLogon) || isLater(created) ? 'a time is in the future' : undefined;
}
