import { type Bytes, utf8, wipe } from '../bytes.ts';
import { CURVES } from '../crypto/curve.ts';
import { kdfe } from '../crypto/kdf.ts';
import { type EcPublicKey, encodePkcs1 } from '../crypto/public-key.ts';
import { agree, encryptOaep, type HashName, newScalar, randomBytes } from '../primitives.ts';
import { encode } from './codec/index.ts';
import { HASHES, type HashAlg } from './constants.ts';
import { publicKeyOf } from './public-key.ts';
import { TPMS_ECC_POINT } from './structures/algorithm.ts';
import type { TpmtPublic } from './structures/object.ts';

/** The use of a shared secret: the salt of a session, or the seed of a credential. */
export type SecretLabel = 'SECRET' | 'IDENTITY';

/** A secret, and the same secret encrypted to the TPM. */
export interface SharedSecret {
  /** As long as a digest of the key's name algorithm. The caller wipes it. */
  readonly secret: Bytes;
  /** The content of a TPM2B_ENCRYPTED_SECRET. Part 2, 11.4.33. */
  readonly encrypted: Bytes;
}

/**
 * Makes a fresh secret that only the TPM with the private part of `publicArea` can recover: for RSA a random secret,
 * encrypted with OAEP; for ECC the result of a one-pass key agreement. Part 1, B.10 (RSA) and C.6 (ECC).
 * @throws KeyprovError `key-invalid` if it is not an RSA, P-256, P-384 or P-521 key.
 */
export function shareSecret(publicArea: TpmtPublic & { nameAlg: HashAlg }, label: SecretLabel): SharedSecret {
  const { name: hash, size } = HASHES[publicArea.nameAlg];
  const key = publicKeyOf(publicArea);
  if (key.kty === 'EC') return agreeOnSecret(key, hash, size, label, newScalar(key.crv));
  const secret = randomBytes(size);
  return { secret, encrypted: encryptOaep({ ...key, pkcs1: encodePkcs1(key) }, hash, utf8(`${label}\0`), secret) };
}

/**
 * Computes the secret of `size` bytes that the private scalar of an ephemeral key (big endian, wiped here) agrees on
 * with `key`. Part 1, C.6.1: KDFe takes coordinates as long as the field.
 */
export function agreeOnSecret(
  key: EcPublicKey,
  hash: HashName,
  size: number,
  label: SecretLabel,
  scalar: Uint8Array,
): SharedSecret {
  const { size: field } = CURVES[key.crv];
  const { point, z } = agree(scalar, key);
  const [x, y] = [point.subarray(1, 1 + field), point.subarray(1 + field)];
  try {
    return { secret: kdfe(hash, z, label, x, key.x, size * 8), encrypted: encode(TPMS_ECC_POINT, { x, y }) };
  } finally {
    wipe(z, scalar);
  }
}
