import type { KeyObject } from 'node:crypto';
import { type Bytes, equal, fromBase64Url } from '../bytes.ts';
import { CURVES, isCurve, toBigInt } from '../crypto/curve.ts';
import { pointOf } from '../primitives.ts';

/**
 * Checks that the private and public half of a key belong together, and match the `x` of its JSON Web Key, if any. Node
 * and OpenSSL accept both unchecked, and make a key that does not verify its own signatures.
 * @throws Error if they do not.
 */
export function checkPair(key: KeyObject, x: string | undefined): void {
  const jwk = key.export({ format: 'jwk' });
  const member = (name: string): Bytes => fromBase64Url(`${jwk[name]}`);
  const isPair =
    jwk.kty === 'RSA'
      ? isRsaPair((name) => toBigInt(member(name)))
      : jwk.kty === 'EC'
        ? isEcPair(jwk.crv, member)
        : x === undefined || equal(fromBase64Url(x), member('x'));
  if (!isPair) throw new Error('the public key does not belong to the private key');
}

/** Checks RFC 8017, 3.2, except that p and q are primes. */
function isRsaPair(member: (name: string) => bigint): boolean {
  const [n = 0n, e = 0n, d = 0n] = ['n', 'e', 'd'].map(member);
  const [p = 0n, q = 0n, dp = 0n, dq = 0n, qi = 0n] = ['p', 'q', 'dp', 'dq', 'qi'].map(member);
  if (p <= 1n || q <= 1n || p * q !== n) return false;
  const isInverse = (a: bigint, modulus: bigint) => (e * a) % modulus === 1n;
  return (
    isInverse(d, p - 1n) &&
    isInverse(d, q - 1n) &&
    isInverse(dp, p - 1n) &&
    isInverse(dq, q - 1n) &&
    (qi * q) % p === 1n
  );
}

function isEcPair(crv: string | undefined, member: (name: string) => Bytes): boolean {
  if (!isCurve(crv)) return true; // it is refused for its curve
  const { size } = CURVES[crv];
  const point = pointOf(crv, member('d'));
  return equal(point.subarray(1, 1 + size), member('x')) && equal(point.subarray(1 + size), member('y'));
}
