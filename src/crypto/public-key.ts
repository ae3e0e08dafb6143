import { type Bytes, byteCount, checkBytes, checkObject, copy, fromHex, toHex } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { CURVES, type Curve, isCurve, isOnCurve } from './curve.ts';
import { DerNode } from './der-read.ts';
import { derSequence, derUnsigned, derValue, TAG } from './der-write.ts';
import { decodePem, encodePem } from './pem.ts';

/** An RSA public key: modulus and public exponent, big endian, without leading zeros. */
export interface RsaPublicKey {
  readonly kty: 'RSA';
  readonly n: Bytes;
  readonly e: Bytes;
}

/** A point on a NIST curve: coordinates big endian, as long as the field (32, 48 or 66 bytes). */
export interface EcPublicKey {
  readonly kty: 'EC';
  readonly crv: Curve;
  readonly x: Bytes;
  readonly y: Bytes;
}

/** A public key as plain data. */
export type PublicKey = RsaPublicKey | EcPublicKey;

/** Contents of the AlgorithmIdentifier (RFC 3279, 2.3.1; RFC 5480, 2.1.1) of each kind of key. */
const ALGORITHMS: readonly (readonly [id: 'RSA' | Curve, hex: string])[] = [
  ['RSA', '06092a864886f70d0101010500'],
  ['P-256', '06072a8648ce3d020106082a8648ce3d030107'],
  ['P-384', '06072a8648ce3d020106052b81040022'],
  ['P-521', '06072a8648ce3d020106052b81040023'],
];

/** The number of bits of a big-endian number without leading zeros. */
export function bitLength(number: Uint8Array): number {
  return number.length === 0 ? 0 : number.length * 8 - (Math.clz32(number[0] ?? 0) - 24);
}

/**
 * Checks the form of a key: RSA with an odd modulus of 512 to 16384 bits and an odd exponent above 1 of at most 8
 * bytes, both without leading zeros; EC with a point on its curve. Does not judge its strength.
 * @throws KeyprovError `key-invalid` that says what is wrong.
 */
export function checkPublicKey(key: PublicKey): void {
  checkKind(key);
  for (const part of key.kty === 'EC' ? [key.x, key.y] : [key.n, key.e])
    checkBytes(part, 'each number of a public key');
  if (key.kty === 'EC') {
    if (!isOnCurve(key.crv, key.x, key.y)) {
      throw new KeyprovError('key-invalid', `${key.crv} public key: not a point on the curve`);
    }
    return;
  }
  const { n, e } = key;
  const wrong = (problem: string) => new KeyprovError('key-invalid', `RSA public key: ${problem}`);
  if (n[0] === 0 || e[0] === 0) throw wrong('the modulus or exponent has leading zeros');
  if (bitLength(n) < 512 || bitLength(n) > 16384)
    throw wrong(`its modulus has ${bitLength(n)} bits; 512 to 16384 are supported`);
  if (!isOdd(n)) throw wrong('its modulus is even');
  if (e.length > 8 || !isOdd(e) || (e.length === 1 && e[0] === 1))
    throw wrong(`its exponent 0x${toHex(e.subarray(0, 9))} must be odd, above 1 and at most 8 bytes long`);
}

/** Refuses other kinds of keys, for callers without types. @throws KeyprovError `key-invalid` */
function checkKind(key: PublicKey): void {
  checkObject(key, 'a public key', 'kty');
  if (key.kty === 'RSA' || (key.kty === 'EC' && isCurve(key.crv))) return;
  throw new KeyprovError('key-invalid', 'a public key must have kty RSA, or EC with crv P-256, P-384 or P-521');
}

/** The key as PKCS#1 RSAPublicKey (RFC 8017, A.1.1). */
export function encodePkcs1(key: RsaPublicKey): Bytes {
  checkPublicKey(key);
  return derSequence(derUnsigned(key.n), derUnsigned(key.e));
}

/** Reads a PKCS#1 RSAPublicKey in DER. @throws KeyprovError `key-invalid` for anything else. */
export function decodePkcs1(der: Uint8Array): RsaPublicKey {
  const numbers = DerNode.strict(der, 'PKCS#1 public key').fields(TAG.SEQUENCE);
  const key: RsaPublicKey = { kty: 'RSA', n: copy(numbers.next().unsigned()), e: copy(numbers.next().unsigned()) };
  numbers.end();
  checkPublicKey(key);
  return key;
}

/**
 * The key as SubjectPublicKeyInfo in DER (RFC 5280, 4.1.2.7); EC points uncompressed.
 *
 * @throws KeyprovError `key-invalid` for an invalid key.
 *
 * @example
 * ```ts
 * import { decodeSpki, decodeSpkiPem, encodeSpki, encodeSpkiPem, type PublicKey } from 'keyprov/formats/x509';
 *
 * declare const publicKey: PublicKey;
 * const pem = encodeSpkiPem(publicKey); // -----BEGIN PUBLIC KEY-----
 * console.log(decodeSpki(encodeSpki(decodeSpkiPem(pem))).kty);
 * ```
 */
export function encodeSpki(key: PublicKey): Bytes {
  checkKind(key);
  const id = key.kty === 'RSA' ? key.kty : key.crv;
  const algorithm = ALGORITHMS.find(([known]) => known === id)?.[1] ?? '';
  const unusedBits = new Uint8Array(1);
  const content = key.kty === 'RSA' ? [unusedBits, encodePkcs1(key)] : [unusedBits, encodePoint(key)];
  return derSequence(derSequence(fromHex(algorithm)), derValue(TAG.BIT_STRING, ...content));
}

/**
 * Reads a SubjectPublicKeyInfo in DER of an RSA (rsaEncryption), P-256, P-384 or P-521 key.
 * @throws KeyprovError `key-invalid` for anything else, compressed points and explicit curves included.
 */
export function decodeSpki(der: Uint8Array): PublicKey {
  const parts = DerNode.strict(der, 'SPKI').fields(TAG.SEQUENCE);
  const algorithm = toHex(parts.next(TAG.SEQUENCE).content);
  const bits = parts.next(TAG.BIT_STRING).content;
  parts.end();
  const id = ALGORITHMS.find(([, hex]) => hex === algorithm)?.[0];
  if (id === undefined)
    throw new KeyprovError('key-invalid', `SPKI: unknown algorithm or parameters ${algorithm.slice(0, 64)}`);
  if (bits[0] !== 0) throw new KeyprovError('key-invalid', 'SPKI: the key is not a whole number of bytes');
  return id === 'RSA' ? decodePkcs1(bits.subarray(1)) : decodePoint(id, bits.subarray(1));
}

/** The key as PEM block `PUBLIC KEY`. @throws KeyprovError `key-invalid` for an invalid key. */
export function encodeSpkiPem(key: PublicKey): string {
  return encodePem('PUBLIC KEY', encodeSpki(key));
}

/** Reads one PEM block `PUBLIC KEY`. @throws KeyprovError `key-invalid` for anything else. */
export function decodeSpkiPem(pem: string): PublicKey {
  return decodeSpki(decodePem(pem, 'PUBLIC KEY'));
}

/** The uncompressed point: 04, x, y (SEC 1, 2.3.3). */
export function encodePoint(key: EcPublicKey): Bytes {
  checkPublicKey(key);
  return new Uint8Array([4, ...key.x, ...key.y]);
}

/** Reads an uncompressed point. @throws KeyprovError `key-invalid` for anything else, or a point off the curve. */
export function decodePoint(crv: Curve, point: Uint8Array): EcPublicKey {
  const { size } = CURVES[crv];
  if (point[0] !== 4 || point.length !== 1 + 2 * size) {
    throw new KeyprovError(
      'key-invalid',
      `${crv} public key: ${byteCount(point.length)} are not an uncompressed point`,
    );
  }
  const key: EcPublicKey = { kty: 'EC', crv, x: copy(point.subarray(1, 1 + size)), y: copy(point.subarray(1 + size)) };
  checkPublicKey(key);
  return key;
}

function isOdd(number: Uint8Array): boolean {
  return (number.at(-1) ?? 0) % 2 === 1;
}
