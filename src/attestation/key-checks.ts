import { equal } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { weaknessOf } from '../crypto/key-strength.ts';
import { encodeSpki } from '../crypto/public-key.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import type { TpmaObject } from '../tpm/structures/object.ts';
import type { Subject } from './verify-certification.ts';

/** Identifies one TPM object including its attributes: by its TPMT_PUBLIC, or by its Name (Part 1, 16). */
export type ObjectIdentity = { readonly pubArea: Uint8Array } | { readonly name: Uint8Array };

/**
 * Identifies one key: as an {@link ObjectIdentity}, or by its public key alone: the SubjectPublicKeyInfo in DER, or its
 * SHA-256.
 */
export type KeyIdentity = ObjectIdentity | { readonly spki: Uint8Array } | { readonly spkiSha256: Uint8Array };

/** Whether the key is the one that `identity` names. It throws what reading the key throws. */
export function isKey(subject: Subject, identity: KeyIdentity): boolean {
  if ('pubArea' in identity) return equal(subject.pubArea(), identity.pubArea);
  if ('name' in identity) return equal(subject.name(), identity.name);
  return isSpki(encodeSpki(publicKeyOf(subject.area())), identity);
}

/** Whether the key with this SubjectPublicKeyInfo is the one that `identity` names; never for an object of a TPM. */
export function isSpki(spki: Uint8Array, identity: KeyIdentity): boolean {
  if ('spki' in identity) return equal(spki, identity.spki);
  return 'spkiSha256' in identity && equal(digest('sha256', spki), identity.spkiSha256);
}

/** Why a key is too weak; for what is not a key at all it throws. */
export const strengthProblem = ({ area }: Subject): string | undefined => weaknessOf(publicKeyOf(area()));

/** Names of object attributes. Part 2, 8.3. */
export type Attributes = readonly (keyof TpmaObject)[];

/** Which attributes are not as they must be; `undefined` when all are. */
export function attributeProblem(has: TpmaObject, set: Attributes, clear: Attributes): string | undefined {
  const problems = [
    ...set.filter((name) => !has[name]).map((name) => `${name} is clear`),
    ...clear.filter((name) => has[name]).map((name) => `${name} is set`),
  ];
  return problems.length === 0 ? undefined : problems.join(', ');
}
