import { type Bytes, copy } from '../bytes.ts';
import { CURVES } from '../crypto/curve.ts';
import { decodeSpki } from '../crypto/public-key.ts';
import { factsOf } from './algorithms.ts';
import { domError, failingAs } from './dom-error.ts';
import { digestSize } from './key-material.ts';
import type { KeySlots, NormalizedAlgorithm, SoftwareKey } from './key-types.ts';
import { deriveBitsInSoftware } from './software.ts';

const X25519_SIZE = 32;

/** Derives `length` bits, or with null all bits of a key agreement: the `derive bits` operations of the standard. */
export async function deriveBits(key: KeySlots, algorithm: NormalizedAlgorithm, length: number | null): Promise<Bytes> {
  if (factsOf(algorithm.name).kind === 'kdf') return await deriveFromSecret(key, algorithm, length);
  const secret = await agree(key, algorithm);
  if (length === null) return secret;
  if (length > secret.length * 8) {
    throw domError('OperationError', `the shared secret has ${secret.length * 8} bits, but ${length} were requested`);
  }
  const bits = copy(secret.subarray(0, Math.ceil(length / 8)));
  const last = bits.length - 1;
  if (length % 8 !== 0) bits[last] = (bits[last] ?? 0) & (0xff << (8 - (length % 8)));
  return bits;
}

async function agree({ algorithm: own, handle }: KeySlots, algorithm: NormalizedAlgorithm): Promise<Bytes> {
  const peer = peerOf(own.namedCurve, algorithm);
  if (handle.kind === 'software') {
    const size = own.namedCurve === undefined ? X25519_SIZE : CURVES[own.namedCurve].size;
    return await failingAs('OperationError', () => deriveBitsInSoftware(handle.material, algorithm, size * 8, peer));
  }
  const point = decodeSpki(peer.bytes);
  if (point.kty !== 'EC') throw domError('InvalidAccessError', 'the public key is not on a curve');
  return await handle.holder.agree(handle.key, point);
}

/** The public key of the other side. @throws DOMException InvalidAccessError if type, algorithm or curve differ */
function peerOf(namedCurve: string | undefined, { name, public: peer }: NormalizedAlgorithm): SoftwareKey {
  if (peer === undefined || peer.type !== 'public' || peer.handle.kind !== 'software') {
    throw domError('InvalidAccessError', `${name}: 'public' is not a public key`);
  }
  if (peer.algorithm.name !== name || peer.algorithm.namedCurve !== namedCurve) {
    throw domError('InvalidAccessError', `${name}: the key in 'public' has a different algorithm or curve`);
  }
  return peer.handle.material;
}

async function deriveFromSecret(
  { handle }: KeySlots,
  algorithm: NormalizedAlgorithm,
  length: number | null,
): Promise<Bytes> {
  const { name, hash, iterations } = algorithm;
  if (length === null || length % 8 !== 0) {
    throw domError('OperationError', `${name}: length must be a multiple of 8 bits, not ${length}`);
  }
  if (iterations === 0) throw domError('OperationError', 'PBKDF2 needs at least one iteration');
  if (name === 'HKDF' && hash !== undefined && length > 255 * 8 * digestSize(hash.name)) {
    throw domError('OperationError', `HKDF with ${hash.name} cannot derive ${length} bits`);
  }
  if (handle.kind !== 'software')
    throw domError('NotSupportedError', `${name} is not available for a key that a provider holds`);
  return await failingAs('OperationError', () => deriveBitsInSoftware(handle.material, algorithm, length));
}
