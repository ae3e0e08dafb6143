/**
 * The platform functions that the verifier needs: encodings of bytes, random bytes, hashes, signatures, and encryption
 * of a credential's secret. This file uses Node; scripts/build.mjs replaces it by `primitives-web.ts` for platforms
 * without Node. Both only handle bytes: callers do the checks and make the errors.
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash,
  createHmac,
  createPublicKey,
  createVerify,
  randomBytes as draw,
  getCiphers,
  type KeyObject,
  publicEncrypt,
  timingSafeEqual,
} from 'node:crypto';
import { aesCfbByBlocks } from './aes-cfb.ts';
import { feed } from './pieces.ts';

// Every subpath loads this file first. An older Node.js would fail somewhere for lack of a function, and not say why.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19))
  throw new Error(`keyprov needs Node.js 20.19 or newer, and this is ${process.versions.node}`);

type Bytes = Uint8Array<ArrayBuffer>;

/** A hash algorithm by Node's name. */
export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** An RSA public key for {@link verifyRsa}: its numbers, big endian, and the same as PKCS#1. Checked by the caller. */
export interface RsaNumbers {
  readonly n: Uint8Array;
  readonly e: Uint8Array;
  readonly pkcs1: Uint8Array;
}

/** A point for {@link verifyEcdsa}: coordinates as long as the field. Checked by the caller. */
export interface CurvePoint {
  readonly crv: keyof typeof NODE_CURVES;
  readonly x: Uint8Array;
  readonly y: Uint8Array;
}

const NODE_CURVES = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' } as const;

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const plain = (buffer: Buffer): Bytes =>
  new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.byteLength);

/** Lower-case hexadecimal digits, two per byte. */
export function toHex(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('hex');
}

/** The bytes of hexadecimal digits; arbitrary bytes for any other text. */
export function decodeHex(digits: string): Bytes {
  return new Uint8Array(Buffer.from(digits, 'hex'));
}

/** Base64 with the standard alphabet and padding (RFC 4648, section 4). */
export function asBase64(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('base64');
}

/** Base64 with the URL alphabet and no padding (RFC 4648, section 5). */
export function asBase64Url(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('base64url');
}

/** The bytes of base64 with either alphabet; arbitrary bytes for any other text. */
export function decodeBase64(text: string): Bytes {
  return new Uint8Array(Buffer.from(text, 'base64'));
}

/** The text whose characters are the bytes. */
export function latin1(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('latin1');
}

/** Compares two byte strings in a time that does not depend on where they differ. Lengths are not secret. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Bytes from the platform's random number generator. */
export function randomBytes(size: number): Bytes {
  return plain(draw(size));
}

/** The digest of all `parts`, concatenated. */
export function digestOf(hash: HashName, ...parts: readonly Uint8Array[]): Bytes {
  return plain(feed(createHash(hash), ...parts).digest());
}

/** The HMAC of all `parts`, concatenated (RFC 2104). */
export function hmac(hash: HashName, key: Uint8Array, ...parts: readonly Uint8Array[]): Bytes {
  return plain(feed(createHmac(hash, key), ...parts).digest());
}

/** AES-128, 192 or 256 (by the length of the key) in CFB mode with full blocks (SP 800-38A, 6.3). */
export function aesCfb(direction: 'encrypt' | 'decrypt', key: Uint8Array, iv: Uint8Array, data: Uint8Array): Bytes {
  const name = `aes-${key.length * 8}-cfb`;
  if (!getCiphers().includes(name)) return aesCfbByBlocks(direction, key, iv, data);
  const make = direction === 'encrypt' ? createCipheriv : createDecipheriv;
  const cipher = make(name, key, iv);
  const output = cipher.update(data);
  cipher.final(); // returns nothing: CFB has no padding
  return plain(output);
}

/** Uses PKCS#1 for RSA and JWK for EC: with Node 20, reading SPKI takes up to thirty times as long. */
const rsaKey = ({ pkcs1 }: RsaNumbers): KeyObject =>
  createPublicKey({ key: bufferOf(pkcs1), format: 'der', type: 'pkcs1' });
const ecKey = ({ crv, x, y }: CurvePoint): KeyObject =>
  createPublicKey({ key: { kty: 'EC', crv, x: asBase64Url(x), y: asBase64Url(y) }, format: 'jwk' });

/** Padding of an RSA signature (RFC 8017, 8): PKCS#1 v1.5, PSS with a salt of any length, or as long as the digest. */
export type RsaPadding = 'pkcs1' | 'pss' | 'pss-digest';

/** Verifies an RSA signature. */
export function verifyRsa(
  padding: RsaPadding,
  key: RsaNumbers,
  hash: HashName,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  // OpenSSL also accepts a PSS signature without its leading zeros; RFC 8017, 8.1.2, step 1 does not.
  if (signature.length !== key.n.length) return false;
  if (padding === 'pkcs1') return feed(createVerify(hash), data).verify(rsaKey(key), signature);
  const { RSA_PKCS1_PSS_PADDING: pss, RSA_PSS_SALTLEN_AUTO: anyLength, RSA_PSS_SALTLEN_DIGEST: asDigest } = constants;
  const saltLength = padding === 'pss' ? anyLength : asDigest;
  return feed(createVerify(hash), data).verify({ key: rsaKey(key), padding: pss, saltLength }, signature);
}

/** Verifies an ECDSA signature: r and s as long as the field (`raw`), or an Ecdsa-Sig-Value (RFC 3279, 2.2.3). */
export function verifyEcdsa(
  format: 'raw' | 'der',
  key: CurvePoint,
  hash: HashName,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  // Node's verify throws for such a signature.
  if (format === 'raw' && signature.length !== 2 * key.x.length) return false;
  const dsaEncoding = format === 'raw' ? 'ieee-p1363' : 'der';
  return feed(createVerify(hash), data).verify({ key: ecKey(key), dsaEncoding }, signature);
}

/** RSAES-OAEP with that hash, also in MGF1 (RFC 8017, 7.1.1). */
export function encryptOaep(key: RsaNumbers, hash: HashName, label: Uint8Array, message: Uint8Array): Bytes {
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  return plain(publicEncrypt({ key: rsaKey(key), padding, oaepHash: hash, oaepLabel: bufferOf(label) }, message));
}

/** Makes a random private scalar. */
export function newScalar(crv: CurvePoint['crv']): Bytes {
  const ecdh = createECDH(NODE_CURVES[crv]);
  ecdh.generateKeys();
  return plain(ecdh.getPrivateKey());
}

/** The uncompressed point of a private scalar. @throws Error for a number that is not a scalar of the curve. */
export function pointOf(crv: CurvePoint['crv'], scalar: Uint8Array): Bytes {
  const ecdh = createECDH(NODE_CURVES[crv]);
  ecdh.setPrivateKey(scalar);
  return plain(ecdh.getPublicKey());
}

/**
 * The uncompressed point of a private scalar, and the x coordinate (as long as the field) of the point it shares with
 * `other`.
 */
export function agree(scalar: Uint8Array, { crv, x, y }: CurvePoint): { readonly point: Bytes; readonly z: Bytes } {
  const ecdh = createECDH(NODE_CURVES[crv]);
  ecdh.setPrivateKey(scalar);
  return { point: plain(ecdh.getPublicKey()), z: plain(ecdh.computeSecret(Uint8Array.of(4, ...x, ...y))) };
}
