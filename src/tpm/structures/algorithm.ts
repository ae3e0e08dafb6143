import { bytes16, type Codec, fixedBytes, oneOf, struct, tagged } from '../codec/index.ts';
import { TPM_ALG, TPM_ECC, type TpmAlgs } from '../constants.ts';
import { TPM_ALG_ID, TPMI_ALG_HASH, type TpmiAlgHash, UINT16 } from './base.ts';

/** The value of {@link TPMT_SYM_DEF_OBJECT}. */
export type TpmtSymDefObject =
  | { algorithm: TpmAlgs['AES' | 'SM4' | 'CAMELLIA']; keyBits: number; mode: TpmiAlgSymMode }
  | { algorithm: TpmAlgs['NULL'] };

/** The value of {@link TPMI_ALG_SYM_MODE}. */
export type TpmiAlgSymMode = TpmAlgs['CTR' | 'OFB' | 'CBC' | 'CFB' | 'ECB' | 'NULL'];
/** A mode of a block cipher, or TPM_ALG_NULL. TPMI_ALG_SYM_MODE+, Part 2, 9.31. */
export const TPMI_ALG_SYM_MODE: Codec<TpmiAlgSymMode> = oneOf(
  'TPMI_ALG_SYM_MODE',
  2,
  TPM_ALG.CTR,
  TPM_ALG.OFB,
  TPM_ALG.CBC,
  TPM_ALG.CFB,
  TPM_ALG.ECB,
  TPM_ALG.NULL,
);

const BLOCK_CIPHER = { keyBits: UINT16, mode: TPMI_ALG_SYM_MODE };

/** A block cipher with its key size in bits and its mode. TPMT_SYM_DEF_OBJECT, Part 2, 11.1.7. */
export const TPMT_SYM_DEF_OBJECT: Codec<TpmtSymDefObject> = tagged(
  'TPMT_SYM_DEF_OBJECT',
  ['algorithm', 'TPMI_ALG_SYM_OBJECT'],
  {
    [TPM_ALG.AES]: BLOCK_CIPHER,
    [TPM_ALG.SM4]: BLOCK_CIPHER,
    [TPM_ALG.CAMELLIA]: BLOCK_CIPHER,
    [TPM_ALG.NULL]: {},
  },
);

/** The value of {@link TPMT_SYM_DEF}. */
export type TpmtSymDef = TpmtSymDefObject | { algorithm: TpmAlgs['XOR']; keyBits: TpmiAlgHash };
/** A cipher for sessions: also XOR with a hash. TPMT_SYM_DEF, Part 2, 11.1.6. */
export const TPMT_SYM_DEF: Codec<TpmtSymDef> = tagged('TPMT_SYM_DEF', ['algorithm', 'TPMI_ALG_SYM'], {
  [TPM_ALG.AES]: BLOCK_CIPHER,
  [TPM_ALG.SM4]: BLOCK_CIPHER,
  [TPM_ALG.CAMELLIA]: BLOCK_CIPHER,
  [TPM_ALG.XOR]: { keyBits: TPMI_ALG_HASH },
  [TPM_ALG.NULL]: {},
});

/** The value of {@link TPMS_SCHEME_HASH}. */
export interface TpmsSchemeHash {
  hashAlg: TpmiAlgHash;
}
/** A scheme that needs only a hash. TPMS_SCHEME_HASH, Part 2, 11.1.17. */
export const TPMS_SCHEME_HASH: Codec<TpmsSchemeHash> = struct('TPMS_SCHEME_HASH', { hashAlg: TPMI_ALG_HASH });

/** The value of {@link TPMS_SCHEME_ECDAA}. */
export interface TpmsSchemeEcdaa {
  hashAlg: TpmiAlgHash;
  count: number;
}
/** How to sign with ECDAA: a hash algorithm and a counter. TPMS_SCHEME_ECDAA, Part 2, 11.1.18. */
export const TPMS_SCHEME_ECDAA: Codec<TpmsSchemeEcdaa> = struct('TPMS_SCHEME_ECDAA', {
  hashAlg: TPMI_ALG_HASH,
  count: UINT16,
});

/** The value of {@link TPMS_SCHEME_XOR}. */
export interface TpmsSchemeXor {
  hashAlg: TpmiAlgHash;
  kdf: number;
}
/** How to obfuscate with XOR: a hash algorithm and a key derivation. TPMS_SCHEME_XOR, Part 2, 11.1.21. */
export const TPMS_SCHEME_XOR: Codec<TpmsSchemeXor> = struct('TPMS_SCHEME_XOR', {
  hashAlg: TPMI_ALG_HASH,
  kdf: TPM_ALG_ID,
});

/** The value of {@link TPMT_KEYEDHASH_SCHEME}. */
export type TpmtKeyedhashScheme =
  | { scheme: TpmAlgs['HMAC']; details: TpmsSchemeHash }
  | { scheme: TpmAlgs['XOR']; details: TpmsSchemeXor }
  | { scheme: TpmAlgs['NULL'] };
/** The scheme of a keyed hash object: HMAC, XOR, or none. TPMT_KEYEDHASH_SCHEME, Part 2, 11.1.23. */
export const TPMT_KEYEDHASH_SCHEME: Codec<TpmtKeyedhashScheme> = tagged(
  'TPMT_KEYEDHASH_SCHEME',
  ['scheme', 'TPMI_ALG_KEYEDHASH_SCHEME'],
  {
    [TPM_ALG.HMAC]: { details: TPMS_SCHEME_HASH },
    [TPM_ALG.XOR]: { details: TPMS_SCHEME_XOR },
    [TPM_ALG.NULL]: {},
  },
);

/** The signing schemes with a hash. */
export type HashSigning = TpmAlgs['RSASSA' | 'RSAPSS' | 'ECDSA' | 'SM2' | 'ECSCHNORR'];

/** The value of {@link TPMT_SIG_SCHEME}. */
export type TpmtSigScheme =
  | { scheme: HashSigning | TpmAlgs['HMAC']; details: TpmsSchemeHash }
  | { scheme: TpmAlgs['ECDAA']; details: TpmsSchemeEcdaa }
  | { scheme: TpmAlgs['NULL'] };

const HASH_DETAILS = { details: TPMS_SCHEME_HASH };

/** A signing scheme. TPMT_SIG_SCHEME, Part 2, 11.2.1.5. */
export const TPMT_SIG_SCHEME: Codec<TpmtSigScheme> = tagged('TPMT_SIG_SCHEME', ['scheme', 'TPMI_ALG_SIG_SCHEME'], {
  [TPM_ALG.RSASSA]: HASH_DETAILS,
  [TPM_ALG.RSAPSS]: HASH_DETAILS,
  [TPM_ALG.ECDSA]: HASH_DETAILS,
  [TPM_ALG.ECDAA]: { details: TPMS_SCHEME_ECDAA },
  [TPM_ALG.SM2]: HASH_DETAILS,
  [TPM_ALG.ECSCHNORR]: HASH_DETAILS,
  [TPM_ALG.HMAC]: HASH_DETAILS,
  [TPM_ALG.NULL]: {},
});

/** The value of {@link TPMT_RSA_SCHEME}. */
export type TpmtRsaScheme =
  | { scheme: TpmAlgs['RSASSA' | 'RSAPSS' | 'OAEP']; details: TpmsSchemeHash }
  | { scheme: TpmAlgs['RSAES' | 'NULL'] };
/** The signing or encryption scheme of an RSA key. TPMT_RSA_SCHEME, Part 2, 11.2.4.2. */
export const TPMT_RSA_SCHEME: Codec<TpmtRsaScheme> = tagged('TPMT_RSA_SCHEME', ['scheme', 'TPMI_ALG_RSA_SCHEME'], {
  [TPM_ALG.RSASSA]: HASH_DETAILS,
  [TPM_ALG.RSAES]: {},
  [TPM_ALG.RSAPSS]: HASH_DETAILS,
  [TPM_ALG.OAEP]: HASH_DETAILS,
  [TPM_ALG.NULL]: {},
});

/** How to pad for TPM2_RSA_Decrypt: the same values. TPMT_RSA_DECRYPT, Part 2, 11.2.4.4. */
export type TpmtRsaDecrypt = TpmtRsaScheme;

/** The value of {@link TPMT_ECC_SCHEME}. */
export type TpmtEccScheme =
  | { scheme: TpmAlgs['ECDSA' | 'SM2' | 'ECSCHNORR' | 'ECDH' | 'ECMQV']; details: TpmsSchemeHash }
  | { scheme: TpmAlgs['ECDAA']; details: TpmsSchemeEcdaa }
  | { scheme: TpmAlgs['NULL'] };
/** The scheme of an ECC key. TPMT_ECC_SCHEME, Part 2, 11.2.5.6. */
export const TPMT_ECC_SCHEME: Codec<TpmtEccScheme> = tagged('TPMT_ECC_SCHEME', ['scheme', 'TPMI_ALG_ECC_SCHEME'], {
  [TPM_ALG.ECDSA]: HASH_DETAILS,
  [TPM_ALG.ECDH]: HASH_DETAILS,
  [TPM_ALG.ECDAA]: { details: TPMS_SCHEME_ECDAA },
  [TPM_ALG.SM2]: HASH_DETAILS,
  [TPM_ALG.ECSCHNORR]: HASH_DETAILS,
  [TPM_ALG.ECMQV]: HASH_DETAILS,
  [TPM_ALG.NULL]: {},
});

/** The value of {@link TPMT_KDF_SCHEME}. */
export type TpmtKdfScheme =
  | { scheme: TpmAlgs['MGF1' | 'KDF1_SP800_56A' | 'KDF2' | 'KDF1_SP800_108']; details: TpmsSchemeHash }
  | { scheme: TpmAlgs['NULL'] };
/** A key derivation function. TPMT_KDF_SCHEME, Part 2, 11.2.3.3. */
export const TPMT_KDF_SCHEME: Codec<TpmtKdfScheme> = tagged('TPMT_KDF_SCHEME', ['scheme', 'TPMI_ALG_KDF'], {
  [TPM_ALG.MGF1]: HASH_DETAILS,
  [TPM_ALG.KDF1_SP800_56A]: HASH_DETAILS,
  [TPM_ALG.KDF2]: HASH_DETAILS,
  [TPM_ALG.KDF1_SP800_108]: HASH_DETAILS,
  [TPM_ALG.NULL]: {},
});

/** An RSA public modulus or signature, big endian, up to 4096 bits. TPM2B_PUBLIC_KEY_RSA, Part 2, 11.2.4.5. */
export const TPM2B_PUBLIC_KEY_RSA: Codec<Uint8Array> = bytes16('TPM2B_PUBLIC_KEY_RSA', 512);
/**
 * A plaintext recovered by TPM2_RSA_Decrypt: the same structure, but secret. TPM2B_PUBLIC_KEY_RSA, Part 2, 11.2.4.5.
 */
export const TPM2B_PUBLIC_KEY_RSA_SECRET: Codec<Uint8Array> = bytes16('TPM2B_PUBLIC_KEY_RSA', 512, { secret: true });
/** One prime of an RSA key. TPM2B_PRIVATE_KEY_RSA, Part 2, 11.2.4.7. */
export const TPM2B_PRIVATE_KEY_RSA: Codec<Uint8Array> = bytes16('TPM2B_PRIVATE_KEY_RSA', 1280, { secret: true });
/** A coordinate or a signature component, big endian, up to 638 bits. TPM2B_ECC_PARAMETER, Part 2, 11.2.5.1. */
export const TPM2B_ECC_PARAMETER: Codec<Uint8Array> = bytes16('TPM2B_ECC_PARAMETER', 128);
/** A private ECC scalar: the same structure, but secret. TPM2B_ECC_PARAMETER, Part 2, 11.2.5.1. */
export const TPM2B_ECC_PARAMETER_SECRET: Codec<Uint8Array> = bytes16('TPM2B_ECC_PARAMETER', 128, { secret: true });

/** The value of {@link TPMS_ECC_POINT}. */
export interface TpmsEccPoint {
  x: Uint8Array;
  y: Uint8Array;
}
/** A point on a curve. TPMS_ECC_POINT, Part 2, 11.2.5.2. */
export const TPMS_ECC_POINT: Codec<TpmsEccPoint> = struct('TPMS_ECC_POINT', {
  x: TPM2B_ECC_PARAMETER,
  y: TPM2B_ECC_PARAMETER,
});
/** A shared point: the same structure, but secret. TPMS_ECC_POINT, Part 2, 11.2.5.2. */
export const TPMS_ECC_POINT_SECRET: Codec<TpmsEccPoint> = struct('TPMS_ECC_POINT', {
  x: TPM2B_ECC_PARAMETER_SECRET,
  y: TPM2B_ECC_PARAMETER_SECRET,
});

/** The value of {@link TPMI_ECC_CURVE}. */
export type TpmiEccCurve = (typeof TPM_ECC)[keyof typeof TPM_ECC];
/** A curve that the TPM implements. TPMI_ECC_CURVE, Part 2, 11.2.5.5. */
export const TPMI_ECC_CURVE: Codec<TpmiEccCurve> = oneOf('TPMI_ECC_CURVE', 2, ...Object.values(TPM_ECC));

/** The value of {@link TPMS_SIGNATURE_RSA}. */
export interface TpmsSignatureRsa {
  hash: TpmiAlgHash;
  sig: Uint8Array;
}
/** An RSA signature. TPMS_SIGNATURE_RSA, Part 2, 11.3.1. */
export const TPMS_SIGNATURE_RSA: Codec<TpmsSignatureRsa> = struct('TPMS_SIGNATURE_RSA', {
  hash: TPMI_ALG_HASH,
  sig: TPM2B_PUBLIC_KEY_RSA,
});

/** The value of {@link TPMS_SIGNATURE_ECC}. */
export interface TpmsSignatureEcc {
  hash: TpmiAlgHash;
  signatureR: Uint8Array;
  signatureS: Uint8Array;
}
/** An ECC signature. TPMS_SIGNATURE_ECC, Part 2, 11.3.2. */
export const TPMS_SIGNATURE_ECC: Codec<TpmsSignatureEcc> = struct('TPMS_SIGNATURE_ECC', {
  hash: TPMI_ALG_HASH,
  signatureR: TPM2B_ECC_PARAMETER,
  signatureS: TPM2B_ECC_PARAMETER,
});

/** The value of {@link TPMT_HA}. */
export interface TpmtHa {
  hashAlg: TpmiAlgHash;
  digest: Uint8Array;
}
const digestOf = (length: number) => ({ digest: fixedBytes('digest', length) });
/**
 * A digest with its algorithm. The algorithm gives the size of the digest, which has no length prefix. TPMT_HA, Part 2,
 * 10.3.2.
 */
export const TPMT_HA: Codec<TpmtHa> = tagged('TPMT_HA', ['hashAlg', 'TPMI_ALG_HASH'], {
  [TPM_ALG.SHA1]: digestOf(20),
  [TPM_ALG.SHA256]: digestOf(32),
  [TPM_ALG.SHA384]: digestOf(48),
  [TPM_ALG.SHA512]: digestOf(64),
  [TPM_ALG.SM3_256]: digestOf(32),
  [TPM_ALG.SHA3_256]: digestOf(32),
  [TPM_ALG.SHA3_384]: digestOf(48),
  [TPM_ALG.SHA3_512]: digestOf(64),
});

/** The value of {@link TPMT_SIGNATURE}. */
export type TpmtSignature =
  | { sigAlg: TpmAlgs['RSASSA' | 'RSAPSS']; signature: TpmsSignatureRsa }
  | { sigAlg: TpmAlgs['ECDSA' | 'ECDAA' | 'SM2' | 'ECSCHNORR']; signature: TpmsSignatureEcc }
  | { sigAlg: TpmAlgs['HMAC']; signature: TpmtHa }
  | { sigAlg: TpmAlgs['NULL'] };

const RSA_SIGNATURE = { signature: TPMS_SIGNATURE_RSA };
const ECC_SIGNATURE = { signature: TPMS_SIGNATURE_ECC };

/** A signature of any algorithm. TPMT_SIGNATURE, Part 2, 11.3.4. */
export const TPMT_SIGNATURE: Codec<TpmtSignature> = tagged('TPMT_SIGNATURE', ['sigAlg', 'TPMI_ALG_SIG_SCHEME'], {
  [TPM_ALG.RSASSA]: RSA_SIGNATURE,
  [TPM_ALG.RSAPSS]: RSA_SIGNATURE,
  [TPM_ALG.ECDSA]: ECC_SIGNATURE,
  [TPM_ALG.ECDAA]: ECC_SIGNATURE,
  [TPM_ALG.SM2]: ECC_SIGNATURE,
  [TPM_ALG.ECSCHNORR]: ECC_SIGNATURE,
  [TPM_ALG.HMAC]: { signature: TPMT_HA },
  [TPM_ALG.NULL]: {},
});

/** A secret, such as a salt or a seed, encrypted to a key of the TPM. TPM2B_ENCRYPTED_SECRET, Part 2, 11.4.33. */
export const TPM2B_ENCRYPTED_SECRET: Codec<Uint8Array> = bytes16('TPM2B_ENCRYPTED_SECRET', 512);
