import type { webcrypto } from 'node:crypto';
import type { Bytes } from '../bytes.ts';
import type { Curve } from '../crypto/curve.ts';
import type { EcPublicKey } from '../crypto/public-key.ts';
import type { Assurance, ProvidedKey } from '../keys/provider.ts';

export type WebHashName = 'SHA-1' | 'SHA-256' | 'SHA-384' | 'SHA-512';

export type AlgorithmName =
  | 'RSASSA-PKCS1-v1_5'
  | 'RSA-PSS'
  | 'RSA-OAEP'
  | 'ECDSA'
  | 'ECDH'
  | 'Ed25519'
  | 'X25519'
  | 'AES-CTR'
  | 'AES-CBC'
  | 'AES-GCM'
  | 'AES-KW'
  | 'HMAC'
  | 'HKDF'
  | 'PBKDF2'
  | WebHashName;

/** A key's algorithm; its members depend on the name. */
export interface WebKeyAlgorithm {
  readonly name: AlgorithmName;
  readonly hash?: { readonly name: WebHashName };
  /** Bits. */
  readonly modulusLength?: number;
  /** Big endian. */
  readonly publicExponent?: Bytes;
  readonly namedCurve?: Curve;
  /** Bits. */
  readonly length?: number;
}

/** A normalized algorithm: all members that the operation requires are there, converted and copied. */
export interface NormalizedAlgorithm extends Omit<WebKeyAlgorithm, 'namedCurve'> {
  /** Not checked. */
  readonly namedCurve?: string;
  readonly saltLength?: number;
  readonly label?: Bytes;
  readonly public?: KeySlots;
  readonly iv?: Bytes;
  readonly counter?: Bytes;
  readonly tagLength?: number;
  readonly additionalData?: Bytes;
  readonly salt?: Bytes;
  readonly info?: Bytes;
  readonly iterations?: number;
}

/** A key in this process. */
export interface SoftwareKey {
  readonly type: webcrypto.KeyType;
  readonly algorithm: WebKeyAlgorithm;
  /** `public`: SPKI in DER. `private`: PKCS#8 in DER. `secret`: the bytes of the key. */
  readonly bytes: Bytes;
}

/** A caller's requirements for a key, besides its algorithm. */
export interface WantedKey {
  readonly extractable: boolean;
  readonly usages: readonly webcrypto.KeyUsage[];
}

/** Uses the private keys that a provider holds. */
export interface HeldKeyUser {
  sign(key: ProvidedKey, keyAlgorithm: WebKeyAlgorithm, algorithm: NormalizedAlgorithm, data: Bytes): Promise<Bytes>;
  decrypt(key: ProvidedKey, keyAlgorithm: WebKeyAlgorithm, algorithm: NormalizedAlgorithm, data: Bytes): Promise<Bytes>;
  agree(key: ProvidedKey, point: EcPublicKey): Promise<Bytes>;
}

/** The material of a key: bytes in this process, or a key that its provider holds. */
export type KeyHandle =
  | { readonly kind: 'software'; readonly material: SoftwareKey }
  | {
      readonly kind: 'held';
      readonly key: ProvidedKey;
      readonly assurance: Assurance;
      readonly holder: HeldKeyUser;
    };

/** The internal slots of a CryptoKey, which scripts cannot change. */
export interface KeySlots {
  readonly type: webcrypto.KeyType;
  readonly extractable: boolean;
  readonly algorithm: WebKeyAlgorithm;
  readonly usages: readonly webcrypto.KeyUsage[];
  readonly handle: KeyHandle;
}
