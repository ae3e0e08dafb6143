import { createCipheriv, createDecipheriv, generateKeyPair, randomBytes, type webcrypto } from 'node:crypto';
import { promisify } from 'node:util';
import { type Bytes, concat, fromHex, view } from '../bytes.ts';
import { CURVES, toBigInt } from '../crypto/curve.ts';
import { factsOf } from './algorithms.ts';
import { decodeKeyData } from './key-material.ts';
import type { NormalizedAlgorithm, SoftwareKey } from './key-types.ts';

/*
 * What software does, with @peculiar/webcrypto, which is loaded when the first key is used. Parameters and keys were
 * checked before; these functions throw whatever goes wrong, and their callers make DOMExceptions of it.
 */

let loaded: Promise<webcrypto.SubtleCrypto> | undefined;
const imported = new WeakMap<SoftwareKey, Promise<webcrypto.CryptoKey>>();

function library(): Promise<webcrypto.SubtleCrypto> {
  loaded ??= import('@peculiar/webcrypto').then(({ Crypto }) => new Crypto().subtle);
  return loaded;
}

/** A key as a key of the library, with all usages: whether it may be used is decided elsewhere. */
function libraryKey(material: SoftwareKey): Promise<webcrypto.CryptoKey> {
  const known = imported.get(material) ?? importMaterial(material);
  imported.set(material, known);
  return known;
}

async function importMaterial({ type, algorithm, bytes }: SoftwareKey): Promise<webcrypto.CryptoKey> {
  const format = type === 'public' ? 'spki' : type === 'private' ? 'pkcs8' : 'raw';
  const usages = [...(factsOf(algorithm.name).usages[type] ?? [])];
  return await (await library()).importKey(format, bytes, algorithm, false, usages);
}

export async function digestInSoftware(algorithm: NormalizedAlgorithm, data: Bytes): Promise<Bytes> {
  return new Uint8Array(await (await library()).digest(algorithm, data));
}

export async function sign(key: SoftwareKey, algorithm: NormalizedAlgorithm, data: Bytes): Promise<Bytes> {
  return new Uint8Array(await (await library()).sign(algorithm, await libraryKey(key), data));
}

export async function verify(
  key: SoftwareKey,
  algorithm: NormalizedAlgorithm,
  signature: Bytes,
  data: Bytes,
): Promise<boolean> {
  const { namedCurve, modulusLength } = key.algorithm;
  // The library treats a signature of a wrong length as an error, or with PSS like one with leading zeros.
  if (namedCurve !== undefined && signature.length !== 2 * CURVES[namedCurve].size) return false;
  if (modulusLength !== undefined && signature.length !== Math.ceil(modulusLength / 8)) return false;
  return await (await library()).verify(algorithm, await libraryKey(key), signature, data);
}

export async function encrypt(key: SoftwareKey, algorithm: NormalizedAlgorithm, data: Bytes): Promise<Bytes> {
  if (algorithm.name === 'AES-KW') return wrapBytes(createCipheriv, key, data);
  checkCounter(algorithm, data.length);
  return new Uint8Array(await (await library()).encrypt(algorithm, await libraryKey(key), data));
}

export async function decrypt(key: SoftwareKey, algorithm: NormalizedAlgorithm, data: Bytes): Promise<Bytes> {
  if (algorithm.name === 'AES-KW') return wrapBytes(createDecipheriv, key, data);
  checkCounter(algorithm, data.length);
  return new Uint8Array(await (await library()).decrypt(algorithm, await libraryKey(key), data));
}

/** AES key wrap (RFC 3394), which the library does only with its own keys. */
function wrapBytes(
  create: typeof createCipheriv | typeof createDecipheriv,
  { algorithm, bytes }: SoftwareKey,
  data: Bytes,
): Bytes {
  const cipher = create(`id-aes${algorithm.length}-wrap`, bytes, fromHex('a6a6a6a6a6a6a6a6'));
  return concat(cipher.update(data), cipher.final());
}

/** @peculiar/webcrypto 1.7.2 counts with all 128 bits, which is wrong if the counter of `length` bits overflows. */
function checkCounter({ name, counter, length = 0 }: NormalizedAlgorithm, size: number): void {
  if (name !== 'AES-CTR' || counter === undefined) return;
  if (length === 0 || length > 128) throw new Error(`the counter must have 1 to 128 bits, not ${length}`);
  const first = toBigInt(counter) % 2n ** BigInt(length);
  if (first + BigInt(Math.ceil(size / 16)) > 2n ** BigInt(length)) {
    throw new Error('the counter would overflow, which is not supported');
  }
}

/** Derives `bits` bits, a multiple of 8, from the key; for key agreement with `peer` the whole shared secret. */
export async function deriveBitsInSoftware(
  key: SoftwareKey,
  algorithm: NormalizedAlgorithm,
  bits: number,
  peer?: SoftwareKey,
): Promise<Bytes> {
  if (bits === 0) return new Uint8Array(0);
  const parameters = { ...algorithm, ...(peer && { public: await libraryKey(peer) }) };
  return new Uint8Array(await (await library()).deriveBits(parameters, await libraryKey(key), bits));
}

const newPair = promisify(generateKeyPair);

/** Makes a key pair, without the library, which would block the event loop meanwhile. */
export async function generatePair(
  algorithm: NormalizedAlgorithm,
): Promise<{ readonly publicKey: SoftwareKey; readonly privateKey: SoftwareKey }> {
  const { publicKey, privateKey } = await nodePair(algorithm);
  const decode = (format: 'spki' | 'pkcs8', type: 'public' | 'private', der: Uint8Array) =>
    decodeKeyData({ format, bytes: view(der) }, type, algorithm, { extractable: true, usages: [] });
  return {
    publicKey: decode('spki', 'public', publicKey.export({ format: 'der', type: 'spki' })),
    privateKey: decode('pkcs8', 'private', privateKey.export({ format: 'der', type: 'pkcs8' })),
  };
}

async function nodePair({ name, modulusLength = 0, publicExponent, namedCurve = '' }: NormalizedAlgorithm) {
  switch (name) {
    case 'Ed25519':
      return await newPair('ed25519');
    case 'X25519':
      return await newPair('x25519');
    case 'ECDSA':
    case 'ECDH':
      return await newPair('ec', { namedCurve });
    default: {
      const exponent = toBigInt(publicExponent ?? new Uint8Array(0));
      return await newPair('rsa', { modulusLength, publicExponent: Number(exponent) });
    }
  }
}

export function generateSecret({ name, hash }: NormalizedAlgorithm, length: number): SoftwareKey {
  return { type: 'secret', algorithm: { name, ...(hash && { hash }), length }, bytes: view(randomBytes(length / 8)) };
}
