import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromBase64Url, fromHex } from '../../../src/bytes.ts';
import { isRocaWeak } from '../../../src/crypto/roca.ts';

const { roca } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));

describe('isRocaWeak', () => {
  it.each(roca.vectors as { modulusHex: string; weak: boolean }[])('tells $weak for the vector', (vector) => {
    expect(isRocaWeak(fromHex(vector.modulusHex))).toBe(vector.weak);
  });

  // Powers of 65537 modulo every odd prime up to 167, made for this test.
  const primes = Array.from({ length: 166 }, (_, i) => i + 2).filter(
    (n) => n % 2 && [3, 5, 7, 11].every((p) => n === p || n % p),
  );
  const product = primes.reduce((all, prime) => all * BigInt(prime), 1n);
  const weak = (residue: number, modulus: number, step: bigint): Uint8Array => {
    let found = 65537n ** 5n % product;
    while (found % BigInt(modulus) !== BigInt(residue)) found += step;
    const hex = found.toString(16);
    return fromHex(hex.padStart(hex.length + (hex.length % 2), '0'));
  };

  it('looks at primes alone: a power modulo 3 need not be one modulo 9', () => {
    expect(primes).toHaveLength(38);
    expect(isRocaWeak(weak(5, 9, product))).toBe(true);
  });

  it('looks at the primes up to 157', () => {
    // 65537 has the order 78 modulo 157; 2 is none of its powers, 16 is. Modulo 163 and 167 it has all of them.
    expect(isRocaWeak(weak(2, 157, product / 157n))).toBe(false);
    expect(isRocaWeak(weak(16, 157, product / 157n))).toBe(true);
  });

  it('finds no fault in moduli of OpenSSL', () => {
    for (let round = 0; round < 20; round++) {
      const { n = '' } = generateKeyPairSync('rsa', { modulusLength: 512 }).publicKey.export({ format: 'jwk' });
      expect(isRocaWeak(fromBase64Url(n))).toBe(false);
    }
  });
});
