import { isCurve, toBigInt } from '../crypto/curve.ts';
import { factsOf } from './algorithms.ts';
import type { CryptoKey } from './crypto-key.ts';
import { domError, failingAs } from './dom-error.ts';
import type { KeyHolder } from './key-holder.ts';
import { publicMaterial } from './key-material.ts';
import type { NormalizedAlgorithm, WantedKey } from './key-types.ts';
import { heldKey, softwareKey } from './new-keys.ts';
import { generatePair, generateSecret } from './software.ts';

export interface KeyPair {
  readonly publicKey: CryptoKey;
  readonly privateKey: CryptoKey;
}

const MAX_MODULUS = 16384;

/**
 * Makes a key; with a `holder`, it makes the key pairs. The checks follow the order of the standard: usages that the
 * algorithm does not have, parameters, no usages at all. Checks for limits of a provider come last.
 */
export async function generateKey(
  algorithm: NormalizedAlgorithm,
  wanted: WantedKey,
  holder: KeyHolder | undefined,
): Promise<CryptoKey | KeyPair> {
  const { usages } = factsOf(algorithm.name);
  const allowed = Object.values(usages).flat();
  if (!wanted.usages.every((usage) => allowed.includes(usage))) {
    throw domError('SyntaxError', `${algorithm.name} keys do not allow these usages`);
  }
  checkParameters(algorithm);
  const needed = usages.secret ?? usages.private ?? [];
  if (!wanted.usages.some((usage) => needed.includes(usage))) {
    throw domError('SyntaxError', 'the key would have no usages');
  }
  if (usages.secret !== undefined) return softwareKey(generateSecret(algorithm, keyLength(algorithm)), wanted);
  if (holder !== undefined) return await generateWithProvider(algorithm, wanted, holder);
  const { publicKey, privateKey } = await failingAs('OperationError', () => generatePair(algorithm));
  return {
    publicKey: softwareKey(publicKey, { ...wanted, extractable: true }),
    privateKey: softwareKey(privateKey, wanted),
  };
}

async function generateWithProvider(
  algorithm: NormalizedAlgorithm,
  wanted: WantedKey,
  holder: KeyHolder,
): Promise<KeyPair> {
  if (wanted.extractable) {
    throw domError('NotSupportedError', 'a private key that its provider holds is never extractable');
  }
  const key = await holder.create(algorithm);
  const material = publicMaterial(key.publicKey, algorithm);
  const { assurance } = holder.provider;
  return {
    publicKey: softwareKey(material, { ...wanted, extractable: true }),
    privateKey: heldKey({ kind: 'held', key, assurance, holder }, material.algorithm, wanted.usages),
  };
}

function checkParameters({ name, length, modulusLength, publicExponent, namedCurve }: NormalizedAlgorithm): void {
  const { kind } = factsOf(name);
  const exponent = toBigInt(publicExponent ?? new Uint8Array(0));
  if (kind === 'ec' && !isCurve(namedCurve)) throw domError('NotSupportedError', `the curve ${namedCurve} is unknown`);
  if (kind === 'rsa' && (exponent < 3n || exponent % 2n === 0n)) {
    throw domError('OperationError', `RSA keys cannot have the public exponent ${exponent}`);
  }
  if (kind === 'rsa' && (modulusLength ?? 0) > MAX_MODULUS) {
    throw domError('OperationError', `RSA keys can have at most ${MAX_MODULUS} bits`);
  }
  if (kind === 'aes') checkAesLength(length);
  if (kind === 'hmac' && length !== undefined && (length === 0 || length % 8 !== 0)) {
    throw domError('OperationError', `HMAC keys must have a positive multiple of 8 bits, not ${length}`);
  }
}

/** Bits of a secret key of that algorithm, if it says so. The `get key length` of the standard. */
export function keyLength(algorithm: NormalizedAlgorithm): number {
  const { name, hash, length } = algorithm;
  if (factsOf(name).kind === 'aes') return checkAesLength(length);
  if (length === 0) throw new TypeError('HMAC: length is 0');
  return length ?? (hash?.name === 'SHA-1' || hash?.name === 'SHA-256' ? 512 : 1024);
}

function checkAesLength(length: number | undefined): number {
  if (length === 128 || length === 192 || length === 256) return length;
  throw domError('OperationError', `AES keys must have 128, 192 or 256 bits, not ${length}`);
}
