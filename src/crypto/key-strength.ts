import { bitLength, type PublicKey } from './public-key.ts';
import { isRocaWeak } from './roca.ts';

/**
 * Why a key is too weak for any use; `undefined` if it is strong enough. RSA moduli need 2048 bits and must not bear the
 * fingerprint of ROCA; every supported curve is strong enough.
 */
export function weaknessOf(key: PublicKey): string | undefined {
  if (key.kty === 'EC') return undefined;
  if (bitLength(key.n) < 2048) return `an RSA key of ${bitLength(key.n)} bits is too short; the minimum is 2048`;
  return isRocaWeak(key.n) ? 'its private key can be computed (ROCA, CVE-2017-15361)' : undefined;
}
