import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  generatePrimeSync,
  sign,
  verify,
} from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { concat, fromBase64Url, fromHex, toBase64Url, toHex, utf8, view } from '../../../src/bytes.ts';
import { isSignedWith, readSignature } from '../../../src/crypto/certificate-signature.ts';
import { derExplicit, derInteger, derOid, derSequence, derValue, TAG } from '../../../src/crypto/der-write.ts';
import { encodeJwk } from '../../../src/crypto/jwk.ts';
import { decodeSpki, type PublicKey } from '../../../src/crypto/public-key.ts';
import { KeyprovError } from '../../../src/errors.ts';
import { refusal } from '../../refusal.ts';

const toBytes = (value: bigint) =>
  fromHex(value.toString(16).padStart(2 * Math.ceil(value.toString(16).length / 2), '0'));

/** The inverse of `value` modulo `modulus`; undefined if there is none. */
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

/** The PKCS#1 signature of SHA-256 over `data` by a key of that size: a product of many primes, since two take minutes. */
function signWithLongKey(data: Uint8Array, size: number) {
  const e = 65537n;
  const primes: bigint[] = [];
  let n = 1n;
  while (size - bitsOf(n) > 200) n *= addPrime(100);
  // The last one brings the product to exactly that size.
  const rest = size - bitsOf(n);
  const first = n;
  while (bitsOf(n) !== size) n = first * addPrime(rest + 1 - Math.round(Math.random()));
  function addPrime(bits: number): bigint {
    for (;;) {
      const prime = generatePrimeSync(bits, { bigint: true });
      if (primes.includes(prime) || prime % e === 1n) continue;
      primes.push(prime);
      return prime;
    }
  }
  const used = primes.filter((prime) => n % prime === 0n);
  const prefix = `3031300d060960864801650304020105000420${createHash('sha256').update(data).digest('hex')}`;
  const padding = 'ff'.repeat(size / 8 - 3 - prefix.length / 2);
  const message = BigInt(`0x01${padding}00${prefix}`);
  // By the Chinese remainder theorem, prime by prime.
  let [signature, modulus] = [0n, 1n];
  for (const prime of used) {
    const part = power(message % prime, inverse(e, prime - 1n) ?? 0n, prime);
    const step = ((part - signature) * (inverse(modulus, prime) ?? 0n)) % prime;
    signature += modulus * ((step + prime) % prime);
    modulus *= prime;
  }
  const value = toBytes(signature);
  return {
    publicKey: { kty: 'RSA', n: toBytes(n), e: toBytes(e) } as const,
    value: concat(new Uint8Array(size / 8 - value.length), value),
  };
}
const bitsOf = (value: bigint): number => value.toString(2).length;
function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let [result, square] = [1n, base];
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

describe('isSignedWith', () => {
  const tbs = utf8('what is signed');

  it.each([
    ['takes', 8192, true],
    ['does not take the costly', 8200, false],
  ])('%s signature of a key of %d bits', (_, size, isTaken) => {
    const { publicKey, value } = signWithLongKey(tbs, size);
    const key = createPublicKey({ key: encodeJwk(publicKey), format: 'jwk' });
    expect(key.asymmetricKeyDetails?.modulusLength).toBe(size);
    expect(verify('sha256', tbs, key, value)).toBe(true);
    expect(isSignedWith(() => publicKey, { tbs, value, hash: 'sha256', format: 'pkcs1' })).toBe(isTaken);
  });

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

  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ecKey = decodeSpki(view(ec.publicKey.export({ type: 'spki', format: 'der' })));
  const ecSignature = { tbs, value: view(sign('sha256', tbs, ec.privateKey)), hash: 'sha256', format: 'der' } as const;

  it('accepts an ECDSA signature', () => {
    expect(isSignedWith(() => ecKey, ecSignature)).toBe(true);
  });

  it("does not accept an unknown hash, another key type's format, or an invalid key", () => {
    expect(isSignedWith(() => ecKey, { ...ecSignature, hash: undefined })).toBe(false);
    expect(isSignedWith(() => ecKey, { ...ecSignature, format: 'pkcs1' })).toBe(false);
    const zero = new Uint8Array(32);
    expect(isSignedWith(() => ({ kty: 'EC', crv: 'P-256', x: zero, y: zero }), ecSignature)).toBe(false);
    const unreadable = (): PublicKey => {
      throw new KeyprovError('key-invalid', 'not a key');
    };
    expect(isSignedWith(unreadable, ecSignature)).toBe(false);
  });

  it('lets through an error that is not about the key', () => {
    const broken = (): PublicKey => {
      throw new RangeError('broken');
    };
    expect(() => isSignedWith(broken, ecSignature)).toThrow(new RangeError('broken'));
  });
});

describe('readSignature', () => {
  const algorithm = (oid: string, ...parameters: readonly Uint8Array[]) => derSequence(derOid(oid), ...parameters);
  const pss = (...parameters: readonly Uint8Array[]) => algorithm('1.2.840.113549.1.1.10', derSequence(...parameters));
  const hashIn = (oid: string) => derExplicit(0, algorithm(oid));
  const sha256 = algorithm('1.2.840.113549.1.1.11');
  const tbsOf = (inner: Uint8Array) => derSequence(derExplicit(0, derInteger(2)), derInteger(1), inner);
  const bits = (...bytes: readonly number[]) => derValue(TAG.BIT_STRING, new Uint8Array(bytes));
  const certificate = (stated: Uint8Array, inner = stated, signature = bits(0, 7, 8)) =>
    derSequence(tbsOf(inner), stated, signature);

  it.each([
    ['1.2.840.113549.1.1.5', 'pkcs1', 'sha1'],
    ['1.2.840.113549.1.1.11', 'pkcs1', 'sha256'],
    ['1.2.840.113549.1.1.12', 'pkcs1', 'sha384'],
    ['1.2.840.113549.1.1.13', 'pkcs1', 'sha512'],
    ['1.2.840.10045.4.1', 'der', 'sha1'],
    ['1.2.840.10045.4.3.2', 'der', 'sha256'],
    ['1.2.840.10045.4.3.3', 'der', 'sha384'],
    ['1.2.840.10045.4.3.4', 'der', 'sha512'],
    ['1.2.840.113549.1.1.4', 'pkcs1', undefined],
  ])('knows %s as %s with %s', (oid, format, hash) => {
    const stated = algorithm(oid);
    expect(readSignature(certificate(stated))).toEqual({
      tbs: tbsOf(stated),
      value: new Uint8Array([7, 8]),
      hash,
      format,
    });
  });

  it.each([
    ['without parameters', algorithm('1.2.840.113549.1.1.10'), 'sha1'],
    ['without a hash', pss(), 'sha1'],
    ['with SHA-1', pss(hashIn('1.3.14.3.2.26')), 'sha1'],
    ['with SHA-256', pss(hashIn('2.16.840.1.101.3.4.2.1')), 'sha256'],
    ['with SHA-384', pss(hashIn('2.16.840.1.101.3.4.2.2')), 'sha384'],
    ['with SHA-512', pss(hashIn('2.16.840.1.101.3.4.2.3')), 'sha512'],
    ['with an unknown hash', pss(hashIn('1.2.3')), undefined],
  ])('knows PSS %s', (_, stated, hash) => {
    expect(readSignature(certificate(stated))).toMatchObject({ hash, format: 'pss' });
  });

  it('reads one of version 1', () => {
    const tbsV1 = derSequence(derInteger(1), sha256);
    expect(readSignature(derSequence(tbsV1, sha256, bits(0, 9)))).toMatchObject({ tbs: tbsV1, hash: 'sha256' });
  });

  it.each([
    [
      'two algorithms',
      certificate(sha256, algorithm('1.2.840.113549.1.1.12')),
      'certificate: its inner and outer signature algorithms differ',
    ],
    [
      'bits left over',
      certificate(sha256, sha256, bits(1, 7)),
      'certificate: its signature is not a whole number of bytes',
    ],
    ['no signature', certificate(sha256, sha256, bits()), 'certificate: its signature is not a whole number of bytes'],
    [
      'a part too many',
      derSequence(tbsOf(sha256), sha256, bits(0, 7), bits(0)),
      'certificate: parts left over at offset',
    ],
    ['a byte left over', concat(certificate(sha256), new Uint8Array(1)), 'certificate: 1 byte left over at offset'],
  ])('refuses %s', (_, der, problem) => {
    expect(refusal(() => readSignature(der))).toContain(`key-invalid: ${problem}`);
  });
});
