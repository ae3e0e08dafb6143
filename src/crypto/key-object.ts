import { createPublicKey, type KeyObject } from 'node:crypto';
import { encodeJwk } from './jwk.ts';
import type { PublicKey } from './public-key.ts';

/** The key as Node's KeyObject. @throws KeyprovError `key-invalid` */
export function importPublicKey(key: PublicKey): KeyObject {
  return createPublicKey({ key: encodeJwk(key), format: 'jwk' });
}
