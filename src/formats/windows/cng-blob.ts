import {
  type Bytes,
  byteCount,
  checkBytes,
  checkObject,
  concat,
  equal,
  toBase64,
  uint32At,
  utf8,
} from '../../bytes.ts';
import { CURVES, type Curve, toBigInt } from '../../crypto/curve.ts';
import { digest } from '../../crypto/kdf.ts';
import { bitLength, checkPublicKey, type EcPublicKey, type RsaPublicKey } from '../../crypto/public-key.ts';
import { KeyprovError } from '../../errors.ts';
import { checkSize, LIMIT } from '../../limits.ts';
import { pointOf } from '../../primitives.ts';
import { littleEndian32s } from '../tcg/counted-parts.ts';
import { PartReader } from '../x509/part-reader.ts';

/** An RSA key with its primes, big endian, without leading zeros. */
export interface RsaPrimesKey extends RsaPublicKey {
  readonly p: Bytes;
  readonly q: Bytes;
}

/** A full RSA private key: `dp` and `qi` as long as p, `dq` as long as q, `d` as long as the modulus. */
export interface RsaPrivateKey extends RsaPrimesKey {
  readonly dp: Bytes;
  readonly dq: Bytes;
  readonly qi: Bytes;
  readonly d: Bytes;
}

/** An EC private key: the scalar `d` is as long as a coordinate. */
export interface EcPrivateKey extends EcPublicKey {
  readonly d: Bytes;
}

/**
 * A key as Windows CNG writes it. RSA1 is public, RSA2 adds the primes, RSA3 is the full private key. ECS… and ECD… are
 * for ECDSA, ECK… for ECDH. ECDP, ECDV, ECKP and ECKV do not say which curve: it is the NIST curve of that size.
 */
export type CngBlob =
  | { readonly magic: 'RSA1'; readonly key: RsaPublicKey }
  | { readonly magic: 'RSA2'; readonly key: RsaPrimesKey }
  | { readonly magic: 'RSA3'; readonly key: RsaPrivateKey }
  | {
      readonly magic: 'ECS1' | 'ECS3' | 'ECS5' | 'ECDP' | 'ECK1' | 'ECK3' | 'ECK5' | 'ECKP';
      readonly key: EcPublicKey;
    }
  | {
      readonly magic: 'ECS2' | 'ECS4' | 'ECS6' | 'ECDV' | 'ECK2' | 'ECK4' | 'ECK6' | 'ECKV';
      readonly key: EcPrivateKey;
    };

type RsaBlob = Extract<CngBlob, { magic: `RSA${string}` }>;
type EccPrivateMagic = Extract<CngBlob, { key: EcPrivateKey }>['magic'];
type EccPublicMagic = Exclude<CngBlob['magic'], EccPrivateMagic | RsaBlob['magic']>;

const ECC_PUBLIC: Readonly<Record<EccPublicMagic, Curve | 'any'>> = {
  ECS1: 'P-256',
  ECS3: 'P-384',
  ECS5: 'P-521',
  ECDP: 'any',
  ECK1: 'P-256',
  ECK3: 'P-384',
  ECK5: 'P-521',
  ECKP: 'any',
};
const ECC_PRIVATE: Readonly<Record<EccPrivateMagic, Curve | 'any'>> = {
  ECS2: 'P-256',
  ECS4: 'P-384',
  ECS6: 'P-521',
  ECDV: 'any',
  ECK2: 'P-256',
  ECK4: 'P-384',
  ECK6: 'P-521',
  ECKV: 'any',
};

/**
 * The bytes of a BCRYPT_RSAKEY_BLOB or BCRYPT_ECCKEY_BLOB (bcrypt.h): a header of little-endian 32-bit integers, then
 * the numbers, big endian. An RSA-2048 public key with exponent 65537 has 283 bytes. Wipe private ones after use.
 * @throws KeyprovError `key-invalid` if the parts are not one key, or the curve is not that of the magic.
 *
 * @example
 * ```ts
 * import { computeKeyId, encodeCngBlob } from 'keyprov/formats/windows';
 * import type { RsaPublicKey } from 'keyprov/formats/x509';
 *
 * declare const key: RsaPublicKey;
 * const blob = encodeCngBlob({ magic: 'RSA1', key });
 * console.log(blob.length, computeKeyId(blob).length); // 283 32 (RSA with 2048 bits)
 * ```
 */
export function encodeCngBlob(blob: CngBlob): Bytes {
  checkKey(blob);
  const { magic, key } = blob;
  switch (magic) {
    case 'RSA1':
      return concat(rsaHeader(blob), key.e, key.n);
    case 'RSA2':
      return concat(rsaHeader(blob), key.e, key.n, key.p, key.q);
    case 'RSA3':
      return concat(rsaHeader(blob), key.e, key.n, key.p, key.q, key.dp, key.dq, key.qi, key.d);
    default: {
      const head = concat(utf8(magic), littleEndian32s(key.x.length), key.x, key.y);
      return isPrivateMagic(magic) && 'd' in key ? concat(head, key.d) : head;
    }
  }
}

/**
 * Reads a BCRYPT_RSAKEY_BLOB or BCRYPT_ECCKEY_BLOB. Accepts only the one correct form: no leading zeros in exponent,
 * modulus and primes, BitLength of the modulus, nothing cut off or left over, and parts of one key.
 * @throws KeyprovError `key-invalid` for anything else.
 */
export function decodeCngBlob(bytes: Uint8Array): CngBlob {
  checkSize(bytes, LIMIT.structure, wrong);
  const input = new PartReader(bytes, wrong, (size, at) => `: ${byteCount(size)} expected at offset ${at}`);
  const magic = String.fromCharCode(...input.take(4));
  let blob: CngBlob;
  if (magic === 'RSA1' || magic === 'RSA2' || magic === 'RSA3') blob = readRsa(magic, input);
  else if (isPublicMagic(magic)) blob = { magic, key: readPoint(ECC_PUBLIC[magic], input) };
  else if (isPrivateMagic(magic)) {
    const point = readPoint(ECC_PRIVATE[magic], input);
    blob = { magic, key: { ...point, d: input.take(point.x.length) } };
  } else throw wrong(`unknown magic ${JSON.stringify(magic)}`);
  input.end();
  checkKey(blob);
  return blob;
}

/**
 * Returns a key's Key ID in directories and sign-ins: the SHA-256 of its public blob (MS-ADTS 2.2.20), 32 bytes.
 * @throws TypeError for anything but bytes.
 */
export function computeKeyId(publicBlob: Uint8Array): Bytes {
  return digest('sha256', publicBlob);
}

/**
 * Returns the Key ID as in a sign-in assertion's `kid` and a directory's `keyIdentifier`: padded base64, 44 characters.
 * @throws TypeError for anything but bytes.
 */
export function computeKeyIdText(publicBlob: Uint8Array): string {
  return toBase64(computeKeyId(publicBlob));
}

function rsaHeader({ magic, key }: RsaBlob): Bytes {
  const primes = magic === 'RSA1' ? [0, 0] : [key.p.length, key.q.length];
  return concat(utf8(magic), littleEndian32s(bitLength(key.n), key.e.length, key.n.length, ...primes));
}

const uint32 = (input: PartReader): number => uint32At(input.take(4).reverse(), 0);

function readRsa(magic: RsaBlob['magic'], input: PartReader): RsaBlob {
  const [bits, eSize, nSize] = [uint32(input), uint32(input), uint32(input)];
  const [pSize, qSize] = [uint32(input), uint32(input)];
  const key: RsaPublicKey = { kty: 'RSA', e: input.take(eSize), n: input.take(nSize) };
  if (bits !== bitLength(key.n)) throw wrong(`BitLength is ${bits}, but the modulus has ${bitLength(key.n)} bits`);
  if (magic === 'RSA1') {
    if (pSize !== 0 || qSize !== 0) throw wrong('a public blob has prime sizes');
    return { magic, key };
  }
  const primes: RsaPrimesKey = { ...key, p: input.take(pSize), q: input.take(qSize) };
  if (magic === 'RSA2') return { magic, key: primes };
  const [dp, dq, qi, d] = [input.take(pSize), input.take(qSize), input.take(pSize), input.take(nSize)];
  return { magic, key: { ...primes, dp, dq, qi, d } };
}

function readPoint(named: Curve | 'any', input: PartReader): EcPublicKey {
  const size = uint32(input);
  const curves: readonly Curve[] = named === 'any' ? ['P-256', 'P-384', 'P-521'] : [named];
  const crv = curves.find((curve) => CURVES[curve].size === size);
  if (crv === undefined) throw wrong(`cbKey ${size} does not match the magic`);
  return { kty: 'EC', crv, x: input.take(size), y: input.take(size) };
}

/** Checks that all parts of a key have the correct form and belong together. */
function checkKey(blob: CngBlob): void {
  const { magic, key } = checkObject(blob, 'a CNG blob', 'magic', 'key');
  checkPublicKey(key);
  switch (magic) {
    case 'RSA1':
      break;
    case 'RSA2':
      checkPrimes(key);
      break;
    case 'RSA3':
      checkPrimes(key);
      checkExponents(key);
      break;
    default: {
      if (!isPublicMagic(magic) && !isPrivateMagic(magic)) throw wrong('unknown magic');
      if (key.kty !== 'EC') throw wrong(`${magic} is for a key on a curve`);
      const curve = isPublicMagic(magic) ? ECC_PUBLIC[magic] : ECC_PRIVATE[magic];
      if (curve !== 'any' && curve !== key.crv) throw wrong(`${magic} is for ${curve}, but the key is on ${key.crv}`);
      if (isPrivateMagic(magic)) checkScalar(key.crv, key.x, key.y, 'd' in key ? key.d : new Uint8Array(0));
    }
  }
}

function checkPrimes(key: RsaPrimesKey): void {
  const { n, p, q } = checkObject(key, 'a private key', 'p:bytes', 'q:bytes');
  if (p.length < 2 || q.length < 2 || p[0] === 0 || q[0] === 0) throw wrong('a prime has leading zeros, or is missing');
  if (toBigInt(p) * toBigInt(q) !== toBigInt(n)) throw wrong('the modulus is not the product of the primes');
}

function checkExponents(key: RsaPrivateKey): void {
  const { n, p, q, dp, dq, qi, d } = checkObject(key, 'a private key', 'dp:bytes', 'dq:bytes', 'qi:bytes', 'd:bytes');
  if (dp.length !== p.length || dq.length !== q.length || qi.length !== p.length || d.length !== n.length) {
    throw wrong('a private exponent or the coefficient has the wrong length');
  }
  const [E, P, Q] = [toBigInt(key.e), toBigInt(p), toBigInt(q)];
  const [DP, DQ, QI, D] = [toBigInt(dp), toBigInt(dq), toBigInt(qi), toBigInt(d)];
  const fits =
    (E * DP) % (P - 1n) === 1n &&
    (E * DQ) % (Q - 1n) === 1n &&
    (QI * Q) % P === 1n &&
    D % (P - 1n) === DP &&
    D % (Q - 1n) === DQ &&
    QI < P &&
    D < toBigInt(n);
  if (!fits) throw wrong('a private exponent or the coefficient does not belong to the primes');
}

function checkScalar(curve: Curve, x: Uint8Array, y: Uint8Array, d: Uint8Array): void {
  const { size } = CURVES[curve];
  checkBytes(d, 'the private scalar');
  if (d.length !== size) throw wrong(`the private scalar has ${byteCount(d.length)}, ${size} expected`);
  let point: Bytes;
  try {
    point = pointOf(curve, d);
  } catch (cause) {
    throw wrong('the private scalar is out of range for the curve', cause);
  }
  if (!equal(point, concat(new Uint8Array([4]), x, y))) {
    throw wrong('the private scalar does not belong to the point');
  }
}

function isPublicMagic(magic: string): magic is EccPublicMagic {
  return Object.hasOwn(ECC_PUBLIC, magic);
}

function isPrivateMagic(magic: string): magic is EccPrivateMagic {
  return Object.hasOwn(ECC_PRIVATE, magic);
}

function wrong(problem: string, cause?: unknown): KeyprovError {
  return new KeyprovError('key-invalid', `CNG key blob: ${problem}`, { cause });
}
