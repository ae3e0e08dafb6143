import { type Bytes, checkBytes, checkObject, concat, EMPTY, equal, uint16, uint16At, uint32 } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { TpmError } from '../errors/tpm-error.ts';
import { type Codec, encode } from './codec/index.ts';
import { HASHES, type HashAlg, TPM_ALG } from './constants.ts';
import { TPMS_NV_PUBLIC, type TpmsNvPublic } from './structures/nv.ts';
import { TPMT_PUBLIC, type TpmtPublic } from './structures/object.ts';

/** Tells whether this library itself computes digests of that algorithm. */
export function isHashAlg(alg: number): alg is HashAlg {
  return Object.hasOwn(HASHES, alg);
}

/** `alg` in two bytes, then the digest of `parts`. @throws KeyprovError for an algorithm that we do not compute. */
function tagged(alg: number, ...parts: readonly Uint8Array[]): Bytes {
  if (!isHashAlg(alg)) {
    throw new TpmError('tpm-unsupported', `keyprov does not support the hash algorithm 0x${alg.toString(16)}`, {
      remedy: 'use SHA-1, SHA-256, SHA-384 or SHA-512 as the name algorithm',
    });
  }
  return concat(uint16(alg), digest(HASHES[alg].name, ...parts));
}

const nameOf = <T extends { nameAlg: number }>(codec: Codec<T>, area: T): Bytes =>
  area.nameAlg === TPM_ALG.NULL ? EMPTY : tagged(area.nameAlg, encode(codec, area));

/**
 * The Name of an object: its nameAlg, then the digest of its public area. Part 1, 16. Empty for nameAlg TPM_ALG_NULL.
 * @throws TpmError `tpm-unsupported` for a name algorithm that keyprov does not compute; CodecError for an area that
 * does not fit its structure.
 */
export function objectName(publicArea: TpmtPublic): Bytes {
  checkObject(publicArea, 'the public area', 'nameAlg:number');
  return nameOf(TPMT_PUBLIC, publicArea);
}

/**
 * The Name of an NV index: its nameAlg, then the digest of its public area. Part 1, 16.
 * @throws TpmError `tpm-unsupported` for a name algorithm that keyprov does not compute; CodecError for an area that
 * does not fit its structure.
 */
export function nvName(publicArea: TpmsNvPublic): Bytes {
  checkObject(publicArea, 'the public area', 'nameAlg:number');
  return nameOf(TPMS_NV_PUBLIC, publicArea);
}

/** The Name of a hierarchy, a PCR or a session: its handle, big endian. Part 1, 16. */
export function handleName(handle: number): Bytes {
  return uint32(handle);
}

/**
 * The qualified name of an object: its nameAlg, then the digest of the qualified name of its parent and its own Name.
 * The qualified name of a hierarchy is its {@link handleName}. Part 1, 26.5.
 * @throws TpmError `tpm-unsupported` for a name algorithm that keyprov does not compute.
 */
export function qualifiedName(parentQualifiedName: Uint8Array, name: Uint8Array): Bytes {
  checkBytes(parentQualifiedName, 'the Qualified Name of the parent');
  checkBytes(name, 'the Name');
  return tagged(uint16At(name, 0), parentQualifiedName, name);
}

/** Tells whether a TPM can make the public area `area` from `template`: they agree in all but `unique`. */
export function isMadeFrom(template: TpmtPublic, area: TpmtPublic): boolean {
  return area.type === template.type && equal(withoutUnique(area), withoutUnique(template));
}

function withoutUnique(area: TpmtPublic): Bytes {
  return encode(
    TPMT_PUBLIC,
    area.type === TPM_ALG.ECC ? { ...area, unique: { x: EMPTY, y: EMPTY } } : { ...area, unique: EMPTY },
  );
}
