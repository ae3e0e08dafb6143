import type { webcrypto } from 'node:crypto';
import { types } from 'node:util';
import { type Bytes, copy, utf8 } from '../bytes.ts';
import { isCurve } from '../crypto/curve.ts';
import { parseJson } from '../json.ts';
import { factsOf, normalizeAlgorithm, type Operation } from './algorithms.ts';
import { type CryptoKey, slotsOf } from './crypto-key.ts';
import { deriveBits } from './derive-bits.ts';
import { domError, failingAs } from './dom-error.ts';
import { generateKey, type KeyPair, keyLength } from './generate-key.ts';
import type { KeyHolder } from './key-holder.ts';
import { decodeKeyData, encodeSoftwareKey, type KeyData, typeOfKeyData } from './key-material.ts';
import type { KeySlots, NormalizedAlgorithm, SoftwareKey, WantedKey } from './key-types.ts';
import { softwareKey } from './new-keys.ts';
import * as software from './software.ts';
import { checkBufferSource, copyBytes, toBytes, toJwk, toKeyFormat, toKeyUsages, toUnsigned } from './webidl.ts';

/**
 * The methods of the standard, with their steps in order: arguments (TypeError), the algorithm (NotSupportedError), a
 * copy of the bytes, whether the key fits and may be used (InvalidAccessError), then the operation of the algorithm.
 * Web Cryptography API, 14.3.
 */
export class Subtle implements webcrypto.SubtleCrypto {
  readonly #holder: KeyHolder | undefined;

  /** If there is a holder, it makes the key pairs. */
  constructor(holder: KeyHolder | undefined) {
    this.#holder = holder;
  }

  get [Symbol.toStringTag](): string {
    return 'SubtleCrypto';
  }

  async encrypt(
    algorithm: webcrypto.AlgorithmIdentifier,
    key: webcrypto.CryptoKey,
    data: webcrypto.BufferSource,
  ): Promise<ArrayBuffer> {
    return await crypt('encrypt', algorithm, key, data);
  }

  async decrypt(
    algorithm: webcrypto.AlgorithmIdentifier,
    key: webcrypto.CryptoKey,
    data: webcrypto.BufferSource,
  ): Promise<ArrayBuffer> {
    return await crypt('decrypt', algorithm, key, data);
  }

  async sign(
    algorithm: webcrypto.AlgorithmIdentifier,
    key: webcrypto.CryptoKey,
    data: webcrypto.BufferSource,
  ): Promise<ArrayBuffer> {
    const slots = slotsOf(key);
    checkBufferSource(data, 'data');
    const normalized = normalizeAlgorithm('sign', algorithm);
    const bytes = copyBytes(data);
    checkUse(slots, normalized, 'sign');
    const { handle } = slots;
    if (handle.kind === 'held')
      return bufferOf(await handle.holder.sign(handle.key, slots.algorithm, normalized, bytes));
    return bufferOf(await failingAs('OperationError', () => software.sign(handle.material, normalized, bytes)));
  }

  async verify(
    algorithm: webcrypto.AlgorithmIdentifier,
    key: webcrypto.CryptoKey,
    signature: webcrypto.BufferSource,
    data: webcrypto.BufferSource,
  ): Promise<boolean> {
    const slots = slotsOf(key);
    checkBufferSource(signature, 'signature');
    checkBufferSource(data, 'data');
    const normalized = normalizeAlgorithm('verify', algorithm);
    const [signatureBytes, bytes] = [copyBytes(signature), copyBytes(data)];
    checkUse(slots, normalized, 'verify');
    const material = materialOf(slots);
    return await failingAs('OperationError', () => software.verify(material, normalized, signatureBytes, bytes));
  }

  async digest(algorithm: webcrypto.AlgorithmIdentifier, data: webcrypto.BufferSource): Promise<ArrayBuffer> {
    checkBufferSource(data, 'data');
    const normalized = normalizeAlgorithm('digest', algorithm);
    const bytes = copyBytes(data);
    return bufferOf(await failingAs('OperationError', () => software.digestInSoftware(normalized, bytes)));
  }

  async generateKey(
    algorithm: webcrypto.RsaHashedKeyGenParams | webcrypto.EcKeyGenParams,
    extractable: boolean,
    keyUsages: readonly webcrypto.KeyUsage[],
  ): Promise<KeyPair>;
  async generateKey(
    algorithm: webcrypto.AesKeyGenParams | webcrypto.HmacKeyGenParams | webcrypto.Pbkdf2Params,
    extractable: boolean,
    keyUsages: readonly webcrypto.KeyUsage[],
  ): Promise<CryptoKey>;
  async generateKey(
    algorithm: webcrypto.AlgorithmIdentifier,
    extractable: boolean,
    keyUsages: readonly webcrypto.KeyUsage[],
  ): Promise<KeyPair | CryptoKey>;
  async generateKey(
    algorithm: webcrypto.AlgorithmIdentifier,
    extractable: boolean,
    keyUsages: readonly webcrypto.KeyUsage[],
  ): Promise<KeyPair | CryptoKey> {
    const wanted = { extractable: Boolean(extractable), usages: toKeyUsages(keyUsages) };
    return await generateKey(normalizeAlgorithm('generateKey', algorithm), wanted, this.#holder);
  }

  async deriveBits(
    algorithm: webcrypto.AlgorithmIdentifier,
    baseKey: webcrypto.CryptoKey,
    length: number | null = null,
  ): Promise<ArrayBuffer> {
    const slots = slotsOf(baseKey);
    const bits = length === null ? null : toUnsigned(length, 'length', 32);
    const normalized = normalizeAlgorithm('deriveBits', algorithm);
    checkUse(slots, normalized, 'deriveBits');
    return bufferOf(await deriveBits(slots, normalized, bits));
  }

  async deriveKey(
    algorithm: webcrypto.AlgorithmIdentifier,
    baseKey: webcrypto.CryptoKey,
    derivedKeyAlgorithm: webcrypto.AlgorithmIdentifier,
    extractable: boolean,
    keyUsages: readonly webcrypto.KeyUsage[],
  ): Promise<CryptoKey> {
    const slots = slotsOf(baseKey);
    const wanted = { extractable: Boolean(extractable), usages: toKeyUsages(keyUsages) };
    const normalized = normalizeAlgorithm('deriveBits', algorithm);
    const derived = normalizeAlgorithm('importKey', derivedKeyAlgorithm);
    const sized = normalizeAlgorithm('getKeyLength', derivedKeyAlgorithm);
    checkUse(slots, normalized, 'deriveKey');
    const length = factsOf(sized.name).kind === 'kdf' ? null : keyLength(sized);
    const bytes = await deriveBits(slots, normalized, length);
    return await importKeyData({ format: 'raw', bytes }, derived, wanted);
  }

  async importKey(
    format: webcrypto.KeyFormat,
    keyData: webcrypto.BufferSource | webcrypto.JsonWebKey,
    algorithm: webcrypto.AlgorithmIdentifier,
    extractable: boolean,
    keyUsages: readonly webcrypto.KeyUsage[],
  ): Promise<CryptoKey> {
    const keyFormat = toKeyFormat(format);
    const isBuffer = ArrayBuffer.isView(keyData) || types.isAnyArrayBuffer(keyData);
    if (isBuffer) checkBufferSource(keyData, 'keyData');
    const jwk = isBuffer ? {} : toJwk(keyData);
    const wanted = { extractable: Boolean(extractable), usages: toKeyUsages(keyUsages) };
    const normalized = normalizeAlgorithm('importKey', algorithm);
    if (isBuffer === (keyFormat === 'jwk')) {
      const kind = isBuffer ? 'a JSON Web Key' : 'an ArrayBuffer or a view of one';
      throw new TypeError(`keyData must be ${kind} for the format ${keyFormat}`);
    }
    const data: KeyData =
      keyFormat === 'jwk' ? { format: 'jwk', jwk } : { format: keyFormat, bytes: toBytes(keyData, 'keyData') };
    return await importKeyData(data, normalized, wanted);
  }

  async exportKey(format: 'jwk', key: webcrypto.CryptoKey): Promise<webcrypto.JsonWebKey>;
  async exportKey(format: Exclude<webcrypto.KeyFormat, 'jwk'>, key: webcrypto.CryptoKey): Promise<ArrayBuffer>;
  async exportKey(format: webcrypto.KeyFormat, key: webcrypto.CryptoKey): Promise<ArrayBuffer | webcrypto.JsonWebKey> {
    return exportKeyData(toKeyFormat(format), slotsOf(key));
  }

  async wrapKey(
    format: webcrypto.KeyFormat,
    key: webcrypto.CryptoKey,
    wrappingKey: webcrypto.CryptoKey,
    wrapAlgorithm: webcrypto.AlgorithmIdentifier,
  ): Promise<ArrayBuffer> {
    const keyFormat = toKeyFormat(format);
    const [slots, wrapping] = [slotsOf(key), slotsOf(wrappingKey)];
    const normalized = normalizeEither('wrapKey', 'encrypt', wrapAlgorithm);
    checkUse(wrapping, normalized, 'wrapKey');
    const exported = exportKeyData(keyFormat, slots);
    const bytes = exported instanceof ArrayBuffer ? new Uint8Array(exported) : utf8(JSON.stringify(exported));
    return bufferOf(await encrypt(wrapping, normalized, bytes));
  }

  async unwrapKey(
    format: webcrypto.KeyFormat,
    wrappedKey: webcrypto.BufferSource,
    unwrappingKey: webcrypto.CryptoKey,
    unwrapAlgorithm: webcrypto.AlgorithmIdentifier,
    unwrappedKeyAlgorithm: webcrypto.AlgorithmIdentifier,
    extractable: boolean,
    keyUsages: readonly webcrypto.KeyUsage[],
  ): Promise<CryptoKey> {
    const keyFormat = toKeyFormat(format);
    checkBufferSource(wrappedKey, 'wrappedKey');
    const unwrapping = slotsOf(unwrappingKey);
    const wanted = { extractable: Boolean(extractable), usages: toKeyUsages(keyUsages) };
    const normalized = normalizeEither('unwrapKey', 'decrypt', unwrapAlgorithm);
    const unwrapped = normalizeAlgorithm('importKey', unwrappedKeyAlgorithm);
    const wrapped = copyBytes(wrappedKey);
    checkUse(unwrapping, normalized, 'unwrapKey');
    const bytes = await decrypt(unwrapping, normalized, wrapped);
    return await importKeyData(keyFormat === 'jwk' ? parseJwk(bytes) : { format: keyFormat, bytes }, unwrapped, wanted);
  }
}

async function crypt(
  operation: 'encrypt' | 'decrypt',
  algorithm: unknown,
  key: unknown,
  data: unknown,
): Promise<ArrayBuffer> {
  const slots = slotsOf(key);
  checkBufferSource(data, 'data');
  const normalized = normalizeAlgorithm(operation, algorithm);
  const bytes = copyBytes(data);
  checkUse(slots, normalized, operation);
  return bufferOf(await (operation === 'encrypt' ? encrypt : decrypt)(slots, normalized, bytes));
}

async function encrypt(slots: KeySlots, algorithm: NormalizedAlgorithm, bytes: Bytes): Promise<Bytes> {
  return await failingAs('OperationError', () => software.encrypt(materialOf(slots), algorithm, bytes));
}

async function decrypt(slots: KeySlots, algorithm: NormalizedAlgorithm, bytes: Bytes): Promise<Bytes> {
  const { handle } = slots;
  if (handle.kind === 'held') return await handle.holder.decrypt(handle.key, slots.algorithm, algorithm, bytes);
  return await failingAs('OperationError', () => software.decrypt(handle.material, algorithm, bytes));
}

/** @throws DOMException InvalidAccessError for a key of another algorithm, or without the usage */
function checkUse({ algorithm, usages }: KeySlots, { name }: NormalizedAlgorithm, usage: webcrypto.KeyUsage): void {
  if (algorithm.name !== name)
    throw domError('InvalidAccessError', `a key for ${algorithm.name} cannot be used for ${name}`);
  if (!usages.includes(usage)) throw domError('InvalidAccessError', `the key does not allow ${usage}`);
}

/** The algorithm for wrapping, which may be registered only for encryption. */
function normalizeEither(first: Operation, second: Operation, algorithm: unknown): NormalizedAlgorithm {
  try {
    return normalizeAlgorithm(first, algorithm);
  } catch {
    return normalizeAlgorithm(second, algorithm); // which throws its own error if both fail
  }
}

async function importKeyData(data: KeyData, algorithm: NormalizedAlgorithm, wanted: WantedKey): Promise<CryptoKey> {
  const { name, namedCurve } = algorithm;
  const { kind, usages } = factsOf(name);
  const type = typeOfKeyData(data, algorithm);
  if (type === undefined && (usages.secret === undefined || kind === 'kdf')) throw noSuchFormat(name, data.format);
  if (kind === 'ec' && !isCurve(namedCurve)) throw domError('NotSupportedError', `the curve ${namedCurve} is unknown`);
  if (!wanted.usages.every((usage) => usages[type ?? 'secret']?.includes(usage))) {
    throw domError('SyntaxError', `${name} keys imported as ${data.format} do not allow these usages`);
  }
  if (type === undefined) throw noSuchFormat(name, data.format);
  if (kind === 'kdf' && wanted.extractable) throw domError('SyntaxError', `${name} keys are never extractable`);
  const material = await failingAs('DataError', async () => decodeKeyData(data, type, algorithm, wanted));
  if (type !== 'public' && wanted.usages.length === 0) throw domError('SyntaxError', 'the key would have no usages');
  return softwareKey(material, wanted);
}

function noSuchFormat(name: string, format: string): DOMException {
  return domError('NotSupportedError', `${name} keys cannot be imported as ${format}`);
}

function parseJwk(bytes: Bytes): KeyData {
  try {
    return { format: 'jwk', jwk: toJwk(parseJson('jwk', bytes)) };
  } catch (error) {
    throw domError('DataError', 'the unwrapped key is not a JSON Web Key', error);
  }
}

function exportKeyData(format: webcrypto.KeyFormat, slots: KeySlots): ArrayBuffer | webcrypto.JsonWebKey {
  const { algorithm, extractable, usages, handle } = slots;
  if (factsOf(algorithm.name).operations.exportKey === undefined) {
    throw domError('NotSupportedError', `${algorithm.name} keys cannot be exported`);
  }
  if (!extractable || handle.kind === 'held') throw domError('InvalidAccessError', 'the key is not extractable');
  const exported = encodeSoftwareKey(handle.material, format);
  return exported instanceof Uint8Array ? bufferOf(exported) : { ...exported, key_ops: [...usages], ext: extractable };
}

/** The key in the form for software: only private keys, whose usages were checked before, are held elsewhere. */
function materialOf({ handle, type }: KeySlots): SoftwareKey {
  if (handle.kind === 'software') return handle.material;
  throw domError('InvalidAccessError', `a ${type} key that its provider holds cannot be used for this`);
}

function bufferOf(bytes: Bytes): ArrayBuffer {
  return copy(bytes).buffer;
}
