import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromBase64Url, fromHex, toBase64Url, toHex, utf8 } from '../../../src/bytes.ts';
import { isSignedWith } from '../../../src/crypto/certificate-signature.ts';

const toBytes = (value: bigint) =>
  fromHex(value.toString(16).padStart(2 * Math.ceil(value.toString(16).length / 2), '0'));

/** The inverse of `value` modulo `modulus`; undefined where there is none. */
function inverse(value: bigint, modulus: bigint): bigint | undefined {
  let [a, b, x, y] = [value % modulus, modulus, 1n, 0n];
  while (b !== 0n) [a, b, x, y] = [b, a % b, y, x - (a / b) * y];
  return a === 1n ? ((x % modulus) + modulus) % modulus : undefined;
}

/** An RSA key of 2048 bits whose exponent is the first one from `least` on that there can be. */
function rsaWithExponent(least: bigint) {
  const jwk = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const number = (name: 'p' | 'q') => BigInt(`0x${toHex(fromBase64Url(jwk[name] ?? ''))}`);
  const [p, q] = [number('p'), number('q')];
  for (let e = least; ; e += 2n) {
    const d = inverse(e, (p - 1n) * (q - 1n));
    if (d === undefined) continue;
    const [dp, dq] = [toBase64Url(toBytes(d % (p - 1n))), toBase64Url(toBytes(d % (q - 1n)))];
    const key = { ...jwk, e: toBase64Url(toBytes(e)), d: toBase64Url(toBytes(d)), dp, dq };
    return {
      privateKey: createPrivateKey({ key, format: 'jwk' }),
      publicKey: { kty: 'RSA', n: fromBase64Url(jwk.n ?? ''), e: toBytes(e) } as const,
    };
  }
}

describe('isSignedWith', () => {
  const tbs = utf8('what is signed');

  it.each([
    ['takes', 'of 17 bits', 65537n, true],
    ['takes', 'of 32 bits', 2n ** 32n - 1n - 2n ** 8n, true],
    ['does not take the costly', 'of 33 bits', 2n ** 32n + 1n, false],
  ])('%s signature of a key with an exponent %s', (_, __, least, isTaken) => {
    const { privateKey, publicKey } = rsaWithExponent(least);
    const signature = { tbs, value: sign('sha256', tbs, privateKey), hash: 'sha256', format: 'pkcs1' } as const;
    expect(isSignedWith(() => publicKey, signature)).toBe(isTaken);
    expect(isSignedWith(() => publicKey, { ...signature, tbs: utf8('something else') })).toBe(false);
  });
});
