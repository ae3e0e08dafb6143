import type { Bytes } from '../bytes.ts';
import type { PublicKey } from '../crypto/public-key.ts';
import type { KeyAlgorithm } from '../policy/index.ts';
import type { SignalOptions } from '../signal.ts';

/** Where a key is made and held. */
export type Backend = 'tpm' | 'software';

/** How well a private key is protected: in a TPM chip, in the TPM of an emulator or hypervisor, or in software. */
export type Assurance = 'hardware' | 'virtual' | 'software';

const PLACES = { hardware: 'in a TPM', virtual: 'in a virtual TPM', software: 'in software' } as const;

/** Says where a key with that assurance is. */
export const sayPlace = (assurance: Assurance): string => PLACES[assurance];

/**
 * How the authorization value of a TPM key is derived from its PIN: scrypt (RFC 7914), or the digest of the PIN in
 * UTF-16LE that Windows' Platform Crypto Provider uses.
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

/** A key as its provider returns and accepts it. Plain data; the private key is protected. */
export interface ProvidedKey {
  readonly backend: Backend;
  readonly algorithm: KeyAlgorithm;
  readonly publicKey: PublicKey;
  /** PEM: `TSS2 PRIVATE KEY` for a TPM key, `ENCRYPTED PRIVATE KEY` for a software key. */
  readonly privateKey: string;
  /** Whether using the key needs a PIN. */
  readonly hasPin: boolean;
  /** For a TPM key with a PIN. */
  readonly pinDerivation?: PinDerivation;
  /**
   * For a TPM key: the handle of its parent (a persistent handle or a hierarchy) and the parent's Name. With
   * `publicArea`, the TPM2B_PUBLIC of a persistent parent, the parent can be made again if it is evicted; absent in
   * older records.
   */
  readonly parent?: { readonly handle: number; readonly name: Bytes; readonly publicArea?: Bytes };
}

/** Options for making a key. */
export interface CreateKeyOptions extends SignalOptions {
  readonly algorithm: KeyAlgorithm;
  /** The PIN in UTF-8, at least one byte. Absent: a key without a PIN. The caller wipes it. */
  readonly pin?: Uint8Array | undefined;
}

/** The members of {@link CreateKeyOptions}, for `checkMembers`. */
export const CREATE_MEMBERS = 'algorithm:=rsa-2048|rsa-3072|p-256|p-384 pin:bytes? signal';

/** Data in one piece, or in several that are read one after the other, such as the stream of a file. */
export type DataToSign = Uint8Array | AsyncIterable<Uint8Array>;

/** The data to sign, and the form of the signature. */
export interface SignOptions<Data extends DataToSign = Uint8Array> extends SignalOptions {
  /** Hashed first. */
  readonly data: Data;
  /** Default `sha256`. */
  readonly hash?: 'sha256' | 'sha384' | 'sha512' | undefined;
  /** For RSA: RSASSA-PKCS1-v1_5 (the default), or RSASSA-PSS with a salt at least as long as the digest. */
  readonly padding?: 'pkcs1' | 'pss' | undefined;
  /** For EC: `der`, an Ecdsa-Sig-Value (the default), or `raw`: r and s, big endian, each as long as the field. */
  readonly format?: 'der' | 'raw' | undefined;
  /** Required if the key has a PIN. The caller wipes it. */
  readonly pin?: Uint8Array | undefined;
}

/** The members of {@link SignOptions}, and `force` for a key in a TPM, for `checkMembers`. */
export const SIGN_MEMBERS =
  'data:data hash:=sha256|sha384|sha512? padding:=pkcs1|pss? format:=der|raw? pin:bytes? force:boolean? signal';

/** The old and the new PIN. */
export interface ChangePinOptions extends SignalOptions {
  /** The current PIN in UTF-8. The caller wipes it. */
  readonly pin: Uint8Array;
  /** The new PIN in UTF-8, at least one byte. The caller wipes it. */
  readonly newPin: Uint8Array;
}

/** The members of {@link ChangePinOptions}, and `force` for a key in a TPM, for `checkMembers`. */
export const CHANGE_PIN_MEMBERS = 'pin:bytes newPin:bytes force:boolean? signal';

/** Makes keys, signs with them and changes their PINs. */
export interface KeyProvider {
  readonly backend: Backend;
  readonly assurance: Assurance;
  /** Tells whether this provider can make keys of that algorithm. @throws like `Tpm.run` if a TPM cannot answer. */
  supports(algorithm: KeyAlgorithm, options?: SignalOptions): Promise<boolean>;
  /**
   * Makes a key.
   * @throws KeyprovError `algorithm-unsupported` if `supports` is false; `pin-required` for a software key without a
   * PIN if the provider has no wrapping secret.
   */
  create(options: CreateKeyOptions): Promise<ProvidedKey>;
  /**
   * Returns the bare signature: for RSA, as long as the modulus; for EC, in the requested format.
   * @throws KeyprovError `pin-required`; `key-invalid` for a private key that is damaged or belongs to another
   * provider. PinError `pin-wrong`, or `pin-last-try` or `key-locked` if the PIN was not tried; TpmError `tpm-lockout`.
   */
  sign(key: ProvidedKey, options: SignOptions<DataToSign>): Promise<Bytes>;
  /**
   * Gives a key another PIN. The key itself stays the same, and so does its registration. Keep the returned key instead
   * of the old one. As long as the old one's bytes exist, the old PIN opens them.
   * @throws like {@link sign}; KeyprovError `key-invalid` for a key without a PIN, RangeError for an empty new PIN.
   */
  changePin(key: ProvidedKey, options: ChangePinOptions): Promise<ProvidedKey>;
}
