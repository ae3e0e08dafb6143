import { toBigInt } from './curve.ts';

/** The flawed library builds its primes from powers of this number. */
const GENERATOR = 65537;

/**
 * Whether an RSA modulus (big endian) bears the fingerprint of ROCA (CVE-2017-15361): its key was made by a flawed
 * Infineon library, and the private key can be computed from it. Such a modulus is a power of 65537 modulo every small
 * prime; so is one sound modulus in 2^28, modulo the 38 odd primes up to 167. Nemec et al., "The Return of
 * Coppersmith's Attack", 2017.
 */
export function isRocaWeak(modulus: Uint8Array): boolean {
  const n = toBigInt(modulus);
  return oddPrimesUpTo(167).every((prime) => isPower(Number(n % BigInt(prime)), prime));
}

/** Whether `residue` is a power of the generator modulo `prime`. */
function isPower(residue: number, prime: number): boolean {
  let power = 1;
  do {
    if (power === residue) return true;
    power = (power * GENERATOR) % prime;
  } while (power !== 1);
  return false;
}

function oddPrimesUpTo(limit: number): number[] {
  const primes: number[] = [];
  for (let n = 3; n <= limit; n += 2) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}
