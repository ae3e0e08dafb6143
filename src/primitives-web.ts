/**
 * The functions of `primitives.ts` for browsers and edge runtimes, with the noble packages and web globals. They are
 * synchronous like Node's, unlike WebCrypto's, so the verifier has one API everywhere.
 *
 * RSA's public operation is our own, because noble has none; its risk is in the hash and the padding, not in the
 * exponentiation. PKCS#1 v1.5 padding is built and compared instead of parsed; PSS is checked step by step (RFC 8017,
 * 9.1.2). Only the inputs of `encryptOaep`, `agree`, `aesCfb` and `hmac` are secret: JavaScript cannot guarantee that
 * these take the same time for every secret.
 */
import { cfb } from '@noble/ciphers/aes.js';
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { hmac as nobleHmac } from '@noble/hashes/hmac.js';
import { sha1 } from '@noble/hashes/legacy.js';
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import type * as node from './primitives.ts';

type Bytes = Uint8Array<ArrayBuffer>;

const HASHES = { sha1, sha256, sha384, sha512 } as const;
const CURVES = { 'P-256': p256, 'P-384': p384, 'P-521': p521 } as const;
const STANDARD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const URL_SAFE = `${STANDARD.slice(0, 62)}-_`;

const join = (...parts: readonly Uint8Array[]): Bytes => {
  const out = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

const toHex: typeof node.toHex = (bytes) => {
  let text = '';
  for (const byte of bytes) text += (byte + 0x100).toString(16).slice(1);
  return text;
};

const decodeHex: typeof node.decodeHex = (digits) =>
  Uint8Array.from({ length: digits.length >>> 1 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));

/** Base64 without padding. */
function encodeBase64(bytes: Uint8Array, alphabet: string): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const [a = 0, b = 0, c = 0] = bytes.subarray(at, at + 3);
    const bits = (a << 16) | (b << 8) | c;
    const digits = Math.min(bytes.length - at, 3) + 1;
    for (let i = 0; i < digits; i++) text += alphabet[(bits >>> (18 - 6 * i)) & 63];
  }
  return text;
}

const asBase64: typeof node.asBase64 = (bytes) => {
  const text = encodeBase64(bytes, STANDARD);
  return text.padEnd(Math.ceil(text.length / 4) * 4, '=');
};

const asBase64Url: typeof node.asBase64Url = (bytes) => encodeBase64(bytes, URL_SAFE);

const VALUES: ReadonlyMap<string, number> = new Map(
  [STANDARD, URL_SAFE].flatMap((alphabet) => [...alphabet].map((digit, value) => [digit, value] as const)),
);

const decodeBase64: typeof node.decodeBase64 = (text) => {
  const out: number[] = [];
  let [bits, count] = [0, 0];
  for (const digit of text) {
    const value = VALUES.get(digit);
    if (value === undefined) break;
    bits = ((bits << 6) | value) & 0xffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push((bits >>> count) & 0xff);
  }
  return Uint8Array.from(out);
};

const latin1: typeof node.latin1 = (bytes) => {
  let text = '';
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
};

const equal: typeof node.equal = (a, b) => {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number);
  return difference === 0;
};

const randomBytes: typeof node.randomBytes = (size) => crypto.getRandomValues(new Uint8Array(size));

const digestOf: typeof node.digestOf = (hash, ...parts) => new Uint8Array(HASHES[hash](join(...parts)));

const hmac: typeof node.hmac = (hash, key, ...parts) => new Uint8Array(nobleHmac(HASHES[hash], key, join(...parts)));

const aesCfb: typeof node.aesCfb = (direction, key, iv, data) => new Uint8Array(cfb(key, iv)[direction](data));

const toNumber = (bytes: Uint8Array): bigint => BigInt(`0x0${toHex(bytes)}`);
const toBytes = (number: bigint, size: number): Bytes => decodeHex(number.toString(16).padStart(2 * size, '0'));

/** `base` to the power of the public exponent, as long as the modulus. RFC 8017, 5.1.1 and 5.2.2. */
function raise(base: bigint, { n, e }: node.RsaNumbers): Bytes {
  const modulus = toNumber(n);
  let result = 1n;
  for (const bit of toNumber(e).toString(2)) {
    result = (result * result) % modulus;
    if (bit === '1') result = (result * base) % modulus;
  }
  return toBytes(result, n.length);
}

/** The bytes before the digest in a PKCS#1 v1.5 signature. RFC 8017, 9.2, note 1. */
const DIGEST_INFO: Readonly<Record<node.HashName, string>> = {
  sha1: '3021300906052b0e03021a05000414',
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
};

const verifyRsa: typeof node.verifyRsa = (padding, key, hash, data, signature) => {
  const base = toNumber(signature);
  if (signature.length !== key.n.length || base >= toNumber(key.n)) return false;
  const encoded = raise(base, key);
  const hashed = digestOf(hash, data);
  if (padding !== 'pkcs1') return isPss(padding, hash, hashed, encoded, key.n);
  const info = join(decodeHex(DIGEST_INFO[hash]), hashed);
  const fill = encoded.length - info.length - 3;
  if (fill < 8) return false;
  return equal(encoded, join(Uint8Array.of(0, 1), new Uint8Array(fill).fill(0xff), Uint8Array.of(0), info));
};

/** EMSA-PSS-VERIFY; the length of the salt follows from the padding. RFC 8017, 9.1.2. */
function isPss(
  padding: node.RsaPadding,
  hash: node.HashName,
  hashed: Uint8Array,
  whole: Uint8Array,
  n: Uint8Array,
): boolean {
  // One bit less than the modulus: if that is a whole number of bytes, there is one byte less, and it must be zero.
  const bits = (n.length * 8 - Math.clz32(n[0] as number) + 24 - 1) % 8;
  const encoded = bits === 0 ? whole.subarray(1) : whole;
  const size = hashed.length;
  const end = encoded.length - size - 1;
  if (bits === 0 ? whole[0] !== 0 : (encoded[0] as number) >>> bits !== 0) return false;
  if (end < 1 || encoded.at(-1) !== 0xbc) return false;
  const stated = encoded.subarray(end, -1);
  const block = xor(encoded.subarray(0, end), mask(hash, stated, end));
  if (bits !== 0) block[0] = (block[0] as number) & (0xff >>> (8 - bits));
  const salt = block.findIndex((byte) => byte !== 0) + 1;
  if (salt === 0 || block[salt - 1] !== 1) return false;
  if (padding === 'pss-digest' && block.length - salt !== size) return false;
  return equal(stated, digestOf(hash, new Uint8Array(8), hashed, block.subarray(salt)));
}

/** MGF1. RFC 8017, B.2.1. */
function mask(hash: node.HashName, seed: Uint8Array, size: number): Bytes {
  const blocks: Bytes[] = [];
  for (let i = 0; i * HASHES[hash].outputLen < size; i++) blocks.push(digestOf(hash, seed, toBytes(BigInt(i), 4)));
  return join(...blocks).subarray(0, size);
}

const xor = (a: Uint8Array, b: Uint8Array): Bytes => Uint8Array.from(a, (byte, i) => byte ^ (b[i] as number));

const pointBytes = ({ x, y }: node.CurvePoint): Bytes => join(Uint8Array.of(4), x, y);

const verifyEcdsa: typeof node.verifyEcdsa = (format, key, hash, data, signature) => {
  const options = { prehash: false, lowS: false, format: format === 'raw' ? 'compact' : 'der' } as const;
  try {
    return CURVES[key.crv].verify(signature, digestOf(hash, data), pointBytes(key), options);
  } catch {
    return false; // noble throws unless the bytes encode two numbers in range
  }
};

const encryptOaep: typeof node.encryptOaep = (key, hash, label, message) => {
  const { outputLen: size } = HASHES[hash];
  const seed = randomBytes(size);
  const fill = key.n.length - message.length - 2 * size - 2;
  if (fill < 0) throw new RangeError('the message is too long for the key');
  const block = join(digestOf(hash, label), new Uint8Array(fill), Uint8Array.of(1), message);
  const maskedBlock = xor(block, mask(hash, seed, block.length));
  const maskedSeed = xor(seed, mask(hash, maskedBlock, size));
  const encrypted = raise(toNumber(join(maskedSeed, maskedBlock)), key);
  for (const secret of [seed, block]) secret.fill(0);
  return encrypted;
};

const newScalar: typeof node.newScalar = (crv) => new Uint8Array(CURVES[crv].utils.randomSecretKey());

/** Pads a scalar to the length that noble expects; OpenSSL omits leading zeros. */
const padded = (crv: node.CurvePoint['crv'], scalar: Uint8Array): Bytes =>
  join(new Uint8Array(Math.max(0, (CURVES[crv].lengths.secretKey ?? 0) - scalar.length)), scalar);

const pointOf: typeof node.pointOf = (crv, scalar) =>
  new Uint8Array(CURVES[crv].getPublicKey(padded(crv, scalar), false));

const agree: typeof node.agree = (scalar, other) => {
  const shared = CURVES[other.crv].getSharedSecret(padded(other.crv, scalar), pointBytes(other), false);
  return { point: pointOf(other.crv, scalar), z: new Uint8Array(shared.subarray(1, 1 + other.x.length)) };
};

export {
  aesCfb,
  agree,
  asBase64,
  asBase64Url,
  decodeBase64,
  decodeHex,
  digestOf,
  encryptOaep,
  equal,
  hmac,
  latin1,
  newScalar,
  pointOf,
  randomBytes,
  toHex,
  verifyEcdsa,
  verifyRsa,
};
