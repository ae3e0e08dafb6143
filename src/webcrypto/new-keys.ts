import type { webcrypto } from 'node:crypto';
import { factsOf } from './algorithms.ts';
import { type CryptoKey, makeCryptoKey } from './crypto-key.ts';
import type { KeyHandle, SoftwareKey, WantedKey, WebKeyAlgorithm } from './key-types.ts';

/** Makes a key from bytes. It gets those of the usages that keys of its type can have. */
export function softwareKey(material: SoftwareKey, wanted: WantedKey): CryptoKey {
  return keyOf({ kind: 'software', material }, material, wanted);
}

/** Makes the key that a provider holds: private, and never extractable. */
export function heldKey(
  handle: KeyHandle & { readonly kind: 'held' },
  algorithm: WebKeyAlgorithm,
  usages: readonly webcrypto.KeyUsage[],
): CryptoKey {
  return keyOf(handle, { type: 'private', algorithm }, { extractable: false, usages });
}

function keyOf(
  handle: KeyHandle,
  { type, algorithm }: Pick<SoftwareKey, 'type' | 'algorithm'>,
  { extractable, usages }: WantedKey,
): CryptoKey {
  const possible = factsOf(algorithm.name).usages[type] ?? [];
  const allowed = usages.filter((one) => possible.includes(one));
  return makeCryptoKey({ type, extractable, algorithm, usages: allowed, handle });
}
