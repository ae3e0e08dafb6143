import { createPrivateKey, type KeyObject, type webcrypto } from 'node:crypto';
import { type Bytes, concat, equal, fromBase64Url, fromHex, toBase64Url, view } from '../bytes.ts';
import { CURVES, isCurve } from '../crypto/curve.ts';
import { DerNode } from '../crypto/der-read.ts';
import { contextTag, TAG } from '../crypto/der-write.ts';
import { decodeJwk, encodeJwk } from '../crypto/jwk.ts';
import { bitLength, decodePoint, decodeSpki, encodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { factsOf } from './algorithms.ts';
import { domError } from './dom-error.ts';
import { checkJwk, jwkAlgorithm } from './jwk-rules.ts';
import { checkPair } from './key-pair-check.ts';
import type { NormalizedAlgorithm, SoftwareKey, WantedKey, WebHashName, WebKeyAlgorithm } from './key-types.ts';

/** Key data as passed to `importKey`. */
export type KeyData =
  | { readonly format: 'jwk'; readonly jwk: webcrypto.JsonWebKey }
  | { readonly format: Exclude<webcrypto.KeyFormat, 'jwk'>; readonly bytes: Bytes };

/** SubjectPublicKeyInfo of the curves of RFC 8410, up to the 32 bytes of the key. */
const OKP_PREFIX = { Ed25519: fromHex('302a300506032b6570032100'), X25519: fromHex('302a300506032b656e032100') };
const OKP_SIZE = 32;

/** The type of the key in some key data; undefined if keys of the algorithm do not have that format. */
export function typeOfKeyData(data: KeyData, { name }: NormalizedAlgorithm): webcrypto.KeyType | undefined {
  const { kind } = factsOf(name);
  const isSecret = kind === 'aes' || kind === 'hmac' || kind === 'kdf';
  switch (data.format) {
    case 'raw':
      return isSecret ? 'secret' : kind === 'rsa' ? undefined : 'public';
    case 'spki':
      return isSecret ? undefined : 'public';
    case 'pkcs8':
      return isSecret ? undefined : 'private';
    case 'jwk':
      if (isSecret) return kind === 'kdf' ? undefined : 'secret';
      return data.jwk.d === undefined ? 'public' : 'private';
  }
}

/**
 * Reads key data for an algorithm.
 * @throws any error; one that is not a DOMException means that the data is not such a key.
 */
export function decodeKeyData(
  data: KeyData,
  type: webcrypto.KeyType,
  algorithm: NormalizedAlgorithm,
  wanted: WantedKey,
): SoftwareKey {
  if (data.format === 'jwk') checkJwk(data.jwk, algorithm, wanted);
  switch (type) {
    case 'secret':
      return decodeSecret(data.format === 'jwk' ? fromBase64Url(`${data.jwk.k}`) : data.bytes, algorithm);
    case 'private':
      return decodePrivate(data, algorithm);
    case 'public':
      return algorithm.name === 'Ed25519' || algorithm.name === 'X25519'
        ? decodeOkp(data, algorithm.name)
        : publicMaterial(decodePublic(data, algorithm), algorithm);
  }
}

/** The public key as a key of the algorithm. @throws Error if it is of another kind. */
export function publicMaterial(publicKey: PublicKey, algorithm: NormalizedAlgorithm): SoftwareKey {
  return { type: 'public', algorithm: completeAlgorithm(publicKey, algorithm), bytes: encodeSpki(publicKey) };
}

/** Encodes the key in a format. @throws DOMException NotSupportedError for a format that it does not have. */
export function encodeSoftwareKey(
  { type, algorithm, bytes }: SoftwareKey,
  format: webcrypto.KeyFormat,
): Bytes | webcrypto.JsonWebKey {
  if (format === 'jwk') return { ...encodeJwkMembers(type, algorithm, bytes), ...jwkAlgorithm(algorithm) };
  const isKnown = format === 'raw' ? factsOf(algorithm.name).kind !== 'rsa' : type !== 'secret';
  if (!isKnown) throw domError('NotSupportedError', `${algorithm.name} keys cannot be exported as ${format}`);
  if ((format === 'pkcs8') !== (type === 'private')) {
    throw domError('InvalidAccessError', `a ${type} key cannot be exported as ${format}`);
  }
  return format === 'raw' && type === 'public' ? bytes.subarray(-rawSize(algorithm)) : bytes;
}

function encodeJwkMembers(type: webcrypto.KeyType, { name }: WebKeyAlgorithm, bytes: Bytes): webcrypto.JsonWebKey {
  if (type === 'secret') return { kty: 'oct', k: toBase64Url(bytes) };
  if (type === 'private') return privateKeyObject({ format: 'pkcs8', bytes }).export({ format: 'jwk' });
  if (name === 'Ed25519' || name === 'X25519') {
    return { kty: 'OKP', crv: name, x: toBase64Url(bytes.subarray(-OKP_SIZE)) };
  }
  return { ...encodeJwk(decodeSpki(bytes)) };
}

function decodeSecret(bytes: Bytes, { name, hash, length }: NormalizedAlgorithm): SoftwareKey {
  const bits = bytes.length * 8;
  const { kind } = factsOf(name);
  if (kind === 'kdf') return { type: 'secret', algorithm: { name }, bytes };
  if (kind === 'aes') {
    if (bits !== 128 && bits !== 192 && bits !== 256)
      throw new Error(`AES keys must have 128, 192 or 256 bits, not ${bits}`);
    return { type: 'secret', algorithm: { name, length: bits }, bytes };
  }
  if (bits === 0) throw new Error('an empty HMAC key');
  if (length !== undefined && (length > bits || length <= bits - 8))
    throw new Error(`the key has ${bits} bits, not ${length}`);
  return { type: 'secret', algorithm: { name, ...(hash && { hash }), length: length ?? bits }, bytes };
}

function decodePublic(data: KeyData, { namedCurve }: NormalizedAlgorithm): PublicKey {
  switch (data.format) {
    case 'jwk':
      return decodeJwk(publicMembers(data.jwk));
    case 'raw':
      if (!isCurve(namedCurve)) throw new Error('an unknown curve');
      return decodePoint(namedCurve, data.bytes);
    default:
      return decodeSpki(data.bytes);
  }
}

function decodeOkp(data: KeyData, name: 'Ed25519' | 'X25519'): SoftwareKey {
  const prefix = OKP_PREFIX[name];
  const isSpki = data.format === 'spki';
  const raw = data.format === 'jwk' ? fromBase64Url(`${data.jwk.x}`) : data.bytes.subarray(isSpki ? prefix.length : 0);
  if (raw.length !== OKP_SIZE || (isSpki && !equal(prefix, data.bytes.subarray(0, prefix.length)))) {
    throw new Error(`not a public ${name} key`);
  }
  return { type: 'public', algorithm: { name }, bytes: concat(prefix, raw) };
}

function decodePrivate(data: KeyData, algorithm: NormalizedAlgorithm): SoftwareKey {
  const key = privateKeyObject(data);
  const { kind } = factsOf(algorithm.name);
  const wanted = kind === 'okp' ? algorithm.name.toLowerCase() : kind;
  if (key.asymmetricKeyType !== wanted) throw new Error(`the private key has type ${key.asymmetricKeyType}`);
  checkPair(key, data.format === 'jwk' ? `${data.jwk.x}` : undefined);
  const bytes = view(key.export({ format: 'der', type: 'pkcs8' }));
  if (kind === 'okp') return { type: 'private', algorithm: { name: algorithm.name }, bytes };
  const publicKey = decodeJwk(publicMembers(key.export({ format: 'jwk' })));
  return { type: 'private', algorithm: completeAlgorithm(publicKey, algorithm), bytes };
}

const PUBLIC_KEY = contextTag(1, 'primitive');

function privateKeyObject(data: KeyData): KeyObject {
  if (data.format === 'jwk') {
    // Node also accepts text that is not base64url.
    for (const name of ['n', 'e', 'd', 'p', 'q', 'dp', 'dq', 'qi', 'x', 'y'] as const) {
      if (data.jwk[name] !== undefined) fromBase64Url(data.jwk[name]);
    }
    return createPrivateKey({ key: { ...data.jwk }, format: 'jwk' });
  }
  const fields = DerNode.strict(data.bytes, 'PKCS#8').list(TAG.SEQUENCE); // Node ignores what follows
  // A public key in it (RFC 5958), which the standard does not mention: OpenSSL refuses or ignores it.
  if (fields.some(({ tag }) => tag === PUBLIC_KEY)) throw new Error('PKCS#8: a public key in it is not supported');
  return createPrivateKey({ key: Buffer.from(data.bytes), format: 'der', type: 'pkcs8' });
}

function publicMembers({ kty, n, e, crv, x, y }: webcrypto.JsonWebKey): object {
  return { kty, n, e, crv, x, y };
}

/** The algorithm of a key, completed from the key itself. @throws Error for a key of another kind */
function completeAlgorithm(key: PublicKey, { name, hash, namedCurve }: NormalizedAlgorithm): WebKeyAlgorithm {
  const kind = factsOf(name).kind.toUpperCase();
  if (key.kty !== kind) throw new Error(`the key has type ${key.kty}, not ${kind}`);
  if (key.kty === 'EC') {
    if (key.crv !== namedCurve) throw new Error(`the key is on ${key.crv}, not ${namedCurve}`);
    return { name, namedCurve: key.crv };
  }
  return { name, modulusLength: bitLength(key.n), publicExponent: key.e, ...(hash && { hash }) };
}

/** Size of the raw public key at the end of the SPKI, in bytes. */
function rawSize({ namedCurve }: WebKeyAlgorithm): number {
  return namedCurve === undefined ? OKP_SIZE : 1 + 2 * CURVES[namedCurve].size;
}

export function digestSize(hash: WebHashName): number {
  return { 'SHA-1': 20, 'SHA-256': 32, 'SHA-384': 48, 'SHA-512': 64 }[hash];
}
