import { type Bytes, checkBytes, checkObject, EMPTY, wipe } from '../bytes.ts';
import { hmac, kdfa } from '../crypto/kdf.ts';
import { KeyprovError } from '../errors.ts';
import { aesCfb } from '../primitives.ts';
import { encode } from '../tpm/codec/index.ts';
import { HASHES, type HashAlg, TPM_ALG } from '../tpm/constants.ts';
import { isHashAlg } from '../tpm/names.ts';
import { shareSecret } from '../tpm/shared-secret.ts';
import { TPM2B_DIGEST_SECRET } from '../tpm/structures/base.ts';
import { TPMS_ID_OBJECT, TPMT_PUBLIC, type TpmtPublic } from '../tpm/structures/object.ts';

/** An encrypted secret that only the TPM with both the endorsement key and the object can recover. Part 1, 24. */
export interface Credential {
  /** TPMS_ID_OBJECT: the content of a TPM2B_ID_OBJECT, without its two length bytes. Part 2, 12.4.3. */
  readonly credentialBlob: Uint8Array;
  /** The content of a TPM2B_ENCRYPTED_SECRET, without its two length bytes. Part 2, 11.4.33. */
  readonly encryptedSecret: Uint8Array;
}

/** The input of {@link makeCredential}. */
export interface CredentialInput {
  /** The endorsement key: an RSA, P-256, P-384 or P-521 storage key. */
  readonly ek: TpmtPublic;
  /** The Name of the object that the credential is for, such as an attestation key. Part 1, 16. */
  readonly objectName: Uint8Array;
  /** From one byte up to the digest size of the endorsement key's name algorithm. */
  readonly secret: Uint8Array;
}

/**
 * Encrypts `secret` so that TPM2_ActivateCredential gives it back. Needs no TPM. TPM2_MakeCredential, Part 3, 12.6.
 *
 * @throws RangeError for a secret that is empty or too long.
 * @throws KeyprovError `key-invalid` for a key that cannot be the endorsement key of a credential.
 */
export function makeCredential(input: CredentialInput): Credential {
  checkObject(input, 'input of makeCredential', 'ek');
  checkBytes(input.objectName, 'objectName');
  checkBytes(input.secret, 'secret');
  const { nameAlg } = parametersOf(input.ek);
  const { secret: seed, encrypted: encryptedSecret } = shareSecret({ ...input.ek, nameAlg }, 'IDENTITY');
  try {
    return { credentialBlob: protectCredential(input, seed), encryptedSecret };
  } finally {
    wipe(seed);
  }
}

/**
 * The part of {@link makeCredential} that follows the seed: the TPMS_ID_OBJECT. Part 1, 24.4 and 24.5. Hash and
 * symmetric key size come from the endorsement key, not from the object.
 */
export function protectCredential({ ek, objectName, secret }: CredentialInput, seed: Uint8Array): Bytes {
  const { nameAlg, keyBits } = parametersOf(ek);
  const { name: hash, size } = HASHES[nameAlg];
  if (secret.length < 1 || secret.length > size) {
    throw new RangeError(`a secret for this endorsement key must have 1 to ${size} bytes, not ${secret.length}`);
  }
  const symKey = kdfa(hash, seed, 'STORAGE', objectName, EMPTY, keyBits);
  const hmacKey = kdfa(hash, seed, 'INTEGRITY', EMPTY, EMPTY, size * 8);
  const identity = encode(TPM2B_DIGEST_SECRET, secret);
  try {
    const encIdentity = aesCfb('encrypt', symKey, new Uint8Array(16), identity);
    return encode(TPMS_ID_OBJECT, { integrityHMAC: hmac(hash, hmacKey, encIdentity, objectName), encIdentity });
  } finally {
    wipe(symKey, hmacKey, identity);
  }
}

/** Hash and symmetric key size of a storage key. */
function parametersOf(ek: TpmtPublic): { readonly nameAlg: HashAlg; readonly keyBits: number } {
  checkObject(ek, 'the endorsement key', 'objectAttributes:object', 'nameAlg:number', 'unique:object');
  if (ek.type !== TPM_ALG.RSA && ek.type !== TPM_ALG.ECC) throw unsuitable('it is not an RSA or ECC key');
  if (!ek.objectAttributes.restricted || !ek.objectAttributes.decrypt) throw unsuitable('it is not a storage key');
  if (!isHashAlg(ek.nameAlg)) throw unsuitable(`its name algorithm is 0x${ek.nameAlg.toString(16)}`);
  const { symmetric } = checkObject(ek.parameters, 'the parameters of the endorsement key', 'symmetric:object');
  const isAesCfb = symmetric.algorithm === TPM_ALG.AES && symmetric.mode === TPM_ALG.CFB;
  if (!isAesCfb || ![128, 192, 256].includes(symmetric.keyBits)) throw unsuitable('its cipher is not AES-CFB');
  encode(TPMT_PUBLIC, ek); // refuses what else is not of that structure
  return { nameAlg: ek.nameAlg, keyBits: symmetric.keyBits };
}

const unsuitable = (why: string): KeyprovError =>
  new KeyprovError('key-invalid', `no credential can be made for this endorsement key: ${why}`, {
    remedy: 'pass the public area of a key that was made from an endorsement key template',
  });
