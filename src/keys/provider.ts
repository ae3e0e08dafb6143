import type { Bytes } from '../bytes.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import type { KeyAlgorithm } from '../policy/index.ts';

/** What makes and holds a key. */
export type Backend = 'tpm' | 'software';

/** How well a private key is held: in a TPM chip, in an emulated or lent TPM, or in software. */
export type Assurance = 'hardware' | 'virtual' | 'software';

/**
 * How the authorization value of a TPM key comes from its PIN: scrypt (RFC 7914), or the digest of the PIN in UTF-16LE
 * that Windows' Platform Crypto Provider takes.
 */
export type PinDerivation =
  | {
      readonly kdf: 'scrypt';
      readonly salt: Bytes;
      readonly cost: number;
      readonly blockSize: number;
      readonly parallelization: number;
    }
  | { readonly kdf: 'pcp-sha1' | 'pcp-sha256' };

/** A key as its provider gives it out, and wants it back. All of it is plain data; the private key is protected. */
export interface ProvidedKey {
  readonly backend: Backend;
  readonly algorithm: KeyAlgorithm;
  readonly publicKey: PublicKey;
  /** PEM: `TSS2 PRIVATE KEY` of a TPM, `ENCRYPTED PRIVATE KEY` of software. */
  readonly privateKey: string;
  /** Whether the key is used with a PIN. */
  readonly hasPin: boolean;
  /** For a TPM key with a PIN. */
  readonly pinDerivation?: PinDerivation;
  /**
   * For a TPM key: the persistent handle or the hierarchy of its parent, and the parent's Name. `publicArea` is the TPM2B_PUBLIC
   * of one at a handle, to make it again if it is evicted; absent in records of before.
   */
  readonly parent?: { readonly handle: number; readonly name: Bytes; readonly publicArea?: Bytes };
}

/** What key to make. */
export interface CreateKeyOptions {
  readonly algorithm: KeyAlgorithm;
  /** UTF-8, at least one byte; left out for a key without a PIN. The caller wipes it. */
  readonly pin?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What to sign, and how. */
export interface SignOptions {
  /** Hashed first. */
  readonly data: Uint8Array;
  /** Default `sha256`. */
  readonly hash?: 'sha256' | 'sha384' | 'sha512' | undefined;
  /** For RSA: RSASSA-PKCS1-v1_5 (the default), or RSASSA-PSS with a salt as long as the digest or longer. */
  readonly padding?: 'pkcs1' | 'pss' | undefined;
  /** For EC: `der`, an Ecdsa-Sig-Value (the default), or `raw`: r and s, big endian, each as long as the field. */
  readonly format?: 'der' | 'raw' | undefined;
  /** Wanted when the key has a PIN. The caller wipes it. */
  readonly pin?: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** From which PIN to which. */
export interface ChangePinOptions {
  /** The PIN that the key has, UTF-8. The caller wipes it. */
  readonly pin: Uint8Array;
  /** The one that it gets: UTF-8, at least one byte. The caller wipes it. */
  readonly newPin: Uint8Array;
  readonly signal?: AbortSignal | undefined;
}

/** Makes keys, signs with them and changes their PINs. */
export interface KeyProvider {
  readonly backend: Backend;
  readonly assurance: Assurance;
  /** Whether keys of that kind can be made here. */
  supports(algorithm: KeyAlgorithm, options?: { readonly signal?: AbortSignal | undefined }): Promise<boolean>;
  /** Makes a key. @throws KeyprovError `algorithm-unsupported` where `supports` says no. */
  create(options: CreateKeyOptions): Promise<ProvidedKey>;
  /**
   * The bare signature: of RSA as long as the modulus, of EC in the wanted format.
   * @throws KeyprovError `pin-required`; `key-invalid` for a private key that is damaged or not of here. PinError
   * `pin-wrong`, or where the PIN was not tried `pin-last-try`, `tpm-lockout`, `key-locked`.
   */
  sign(key: ProvidedKey, options: SignOptions): Promise<Bytes>;
  /**
   * Gives a key another PIN; the key itself, and so its registration, stays the same. The caller keeps the returned
   * key in place of the old one, whose PIN still works as long as its bytes exist.
   * @throws like {@link sign}; KeyprovError `key-invalid` for a key without a PIN, RangeError for an empty new one.
   */
  changePin(key: ProvidedKey, options: ChangePinOptions): Promise<ProvidedKey>;
}
