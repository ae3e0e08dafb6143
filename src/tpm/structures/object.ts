import { bitField, bytes16, type Codec, CodecError, sized, struct, tagged } from '../codec/index.ts';
import { TPM_ALG, type TpmAlgs } from '../constants.ts';
import {
  TPM2B_ECC_PARAMETER_SECRET,
  TPM2B_PRIVATE_KEY_RSA,
  TPM2B_PUBLIC_KEY_RSA,
  TPMI_ECC_CURVE,
  TPMS_ECC_POINT,
  TPMS_ECC_POINT_SECRET,
  TPMT_ECC_SCHEME,
  TPMT_KDF_SCHEME,
  TPMT_KEYEDHASH_SCHEME,
  TPMT_RSA_SCHEME,
  TPMT_SYM_DEF_OBJECT,
  type TpmiEccCurve,
  type TpmsEccPoint,
  type TpmtEccScheme,
  type TpmtKdfScheme,
  type TpmtKeyedhashScheme,
  type TpmtRsaScheme,
  type TpmtSymDefObject,
} from './algorithm.ts';
import {
  MAX_DIGEST,
  TPM_ALG_ID,
  TPM2B_AUTH,
  TPM2B_DATA,
  TPM2B_DIGEST,
  TPM2B_DIGEST_SECRET,
  TPM2B_NAME,
  TPMA_LOCALITY,
  TPMI_ALG_HASH_NULL,
  TPML_PCR_SELECTION,
  type TpmaLocality,
  type TpmiAlgHash,
  type TpmsPcrSelection,
  UINT16,
  UINT32,
} from './base.ts';

/** The value of {@link TPMA_OBJECT}. */
export interface TpmaObject {
  fixedTPM?: boolean;
  stClear?: boolean;
  fixedParent?: boolean;
  sensitiveDataOrigin?: boolean;
  userWithAuth?: boolean;
  adminWithPolicy?: boolean;
  noDA?: boolean;
  encryptedDuplication?: boolean;
  restricted?: boolean;
  decrypt?: boolean;
  sign?: boolean;
  x509sign?: boolean;
}
/** The allowed uses of an object. TPMA_OBJECT, Part 2, 8.3. */
export const TPMA_OBJECT: Codec<TpmaObject> = bitField('TPMA_OBJECT', 4, {
  fixedTPM: 1,
  stClear: 2,
  fixedParent: 4,
  sensitiveDataOrigin: 5,
  userWithAuth: 6,
  adminWithPolicy: 7,
  noDA: 10,
  encryptedDuplication: 11,
  restricted: 16,
  decrypt: 17,
  sign: 18,
  x509sign: 19,
});

/** The value of {@link TPMS_RSA_PARMS}. */
export interface TpmsRsaParms {
  symmetric: TpmtSymDefObject;
  scheme: TpmtRsaScheme;
  keyBits: number;
  exponent: number;
}
/** Parameters of an RSA key; `exponent` 0 means 65537. TPMS_RSA_PARMS, Part 2, 12.2.3.5. */
export const TPMS_RSA_PARMS: Codec<TpmsRsaParms> = struct('TPMS_RSA_PARMS', {
  symmetric: TPMT_SYM_DEF_OBJECT,
  scheme: TPMT_RSA_SCHEME,
  keyBits: UINT16,
  exponent: UINT32,
});

/** The value of {@link TPMS_ECC_PARMS}. */
export interface TpmsEccParms {
  symmetric: TpmtSymDefObject;
  scheme: TpmtEccScheme;
  curveID: TpmiEccCurve;
  kdf: TpmtKdfScheme;
}
/** Parameters of an ECC key. TPMS_ECC_PARMS, Part 2, 12.2.3.6. */
export const TPMS_ECC_PARMS: Codec<TpmsEccParms> = struct('TPMS_ECC_PARMS', {
  symmetric: TPMT_SYM_DEF_OBJECT,
  scheme: TPMT_ECC_SCHEME,
  curveID: TPMI_ECC_CURVE,
  kdf: TPMT_KDF_SCHEME,
});

/** The value of {@link TPMS_KEYEDHASH_PARMS}. */
export interface TpmsKeyedhashParms {
  scheme: TpmtKeyedhashScheme;
}
/** Parameters of a keyed hash or sealed data object. TPMS_KEYEDHASH_PARMS, Part 2, 12.2.3.3. */
export const TPMS_KEYEDHASH_PARMS: Codec<TpmsKeyedhashParms> = struct('TPMS_KEYEDHASH_PARMS', {
  scheme: TPMT_KEYEDHASH_SCHEME,
});

/** The value of {@link TPMS_SYMCIPHER_PARMS}. */
export interface TpmsSymcipherParms {
  sym: TpmtSymDefObject;
}
/** Parameters of a symmetric key. TPMS_SYMCIPHER_PARMS, Part 2, 11.1.9. */
export const TPMS_SYMCIPHER_PARMS: Codec<TpmsSymcipherParms> = struct('TPMS_SYMCIPHER_PARMS', {
  sym: TPMT_SYM_DEF_OBJECT,
});

/** The first fields of every public area. TPMT_PUBLIC, Part 2, 12.2.4. */
export interface PublicHead {
  nameAlg: TpmiAlgHash | TpmAlgs['NULL'];
  objectAttributes: TpmaObject;
  authPolicy: Uint8Array;
}

/** The public area of an RSA key; `unique` is the modulus, big endian. TPMT_PUBLIC, Part 2, 12.2.4. */
export interface TpmtPublicRsa extends PublicHead {
  type: TpmAlgs['RSA'];
  parameters: TpmsRsaParms;
  unique: Uint8Array;
}

/** The public area of an ECC key. TPMT_PUBLIC, Part 2, 12.2.4. */
export interface TpmtPublicEcc extends PublicHead {
  type: TpmAlgs['ECC'];
  parameters: TpmsEccParms;
  unique: TpmsEccPoint;
}

/** The value of {@link TPMT_PUBLIC}. */
export type TpmtPublic =
  | TpmtPublicRsa
  | TpmtPublicEcc
  | (PublicHead & { type: TpmAlgs['KEYEDHASH']; parameters: TpmsKeyedhashParms; unique: Uint8Array })
  | (PublicHead & { type: TpmAlgs['SYMCIPHER']; parameters: TpmsSymcipherParms; unique: Uint8Array });

/** The public area of any object. TPMT_PUBLIC, Part 2, 12.2.4. */
export const TPMT_PUBLIC: Codec<TpmtPublic> = tagged(
  'TPMT_PUBLIC',
  ['type', 'TPMI_ALG_PUBLIC'],
  {
    [TPM_ALG.RSA]: { parameters: TPMS_RSA_PARMS, unique: TPM2B_PUBLIC_KEY_RSA },
    [TPM_ALG.ECC]: { parameters: TPMS_ECC_PARMS, unique: TPMS_ECC_POINT },
    [TPM_ALG.KEYEDHASH]: { parameters: TPMS_KEYEDHASH_PARMS, unique: TPM2B_DIGEST },
    [TPM_ALG.SYMCIPHER]: { parameters: TPMS_SYMCIPHER_PARMS, unique: TPM2B_DIGEST },
  },
  { head: { nameAlg: TPMI_ALG_HASH_NULL, objectAttributes: TPMA_OBJECT, authPolicy: TPM2B_DIGEST } },
);

/** A public area after its length. TPM2B_PUBLIC, Part 2, 12.2.5. */
export const TPM2B_PUBLIC: Codec<TpmtPublic> = sized('TPM2B_PUBLIC', TPMT_PUBLIC);

/** A public area for TPM2_CreateLoaded, here always a TPMT_PUBLIC. TPM2B_TEMPLATE, Part 2, 12.2.6. */
export const TPM2B_TEMPLATE: Codec<TpmtPublic> = sized('TPM2B_TEMPLATE', TPMT_PUBLIC);

/** The value of {@link TPMT_PUBLIC_PARMS}. */
export type TpmtPublicParms =
  | { type: TpmAlgs['RSA']; parameters: TpmsRsaParms }
  | { type: TpmAlgs['ECC']; parameters: TpmsEccParms }
  | { type: TpmAlgs['KEYEDHASH']; parameters: TpmsKeyedhashParms }
  | { type: TpmAlgs['SYMCIPHER']; parameters: TpmsSymcipherParms };
/** Algorithm and parameters only, for TPM2_TestParms. TPMT_PUBLIC_PARMS, Part 2, 12.2.3.8. */
export const TPMT_PUBLIC_PARMS: Codec<TpmtPublicParms> = tagged('TPMT_PUBLIC_PARMS', ['type', 'TPMI_ALG_PUBLIC'], {
  [TPM_ALG.RSA]: { parameters: TPMS_RSA_PARMS },
  [TPM_ALG.ECC]: { parameters: TPMS_ECC_PARMS },
  [TPM_ALG.KEYEDHASH]: { parameters: TPMS_KEYEDHASH_PARMS },
  [TPM_ALG.SYMCIPHER]: { parameters: TPMS_SYMCIPHER_PARMS },
});

const TPM2B_SENSITIVE_DATA = bytes16('TPM2B_SENSITIVE_DATA', 256, { secret: true });

/** The value of {@link TPMS_SENSITIVE_CREATE}. */
export interface TpmsSensitiveCreate {
  userAuth: Uint8Array;
  data: Uint8Array;
}
/** The secret values that a caller gives to a new object. TPMS_SENSITIVE_CREATE, Part 2, 11.1.15. */
export const TPMS_SENSITIVE_CREATE: Codec<TpmsSensitiveCreate> = struct('TPMS_SENSITIVE_CREATE', {
  userAuth: TPM2B_AUTH,
  data: TPM2B_SENSITIVE_DATA,
});
/** The secret values for a new object, with their size. TPM2B_SENSITIVE_CREATE, Part 2, 11.1.16. */
export const TPM2B_SENSITIVE_CREATE: Codec<TpmsSensitiveCreate> = sized(
  'TPM2B_SENSITIVE_CREATE',
  TPMS_SENSITIVE_CREATE,
);

/** The first fields of every sensitive area. TPMT_SENSITIVE, Part 2, 12.3.2.4. */
export interface SensitiveHead {
  authValue: Uint8Array;
  seedValue: Uint8Array;
}

/** The value of {@link TPMT_SENSITIVE}. */
export type TpmtSensitive = SensitiveHead & {
  sensitiveType: TpmAlgs['RSA' | 'ECC' | 'KEYEDHASH' | 'SYMCIPHER'];
  sensitive: Uint8Array;
};
/** The private area of an object; `sensitive` is one prime, the scalar, the data or the key. TPMT_SENSITIVE, Part 2, 12.3.2.4. */
export const TPMT_SENSITIVE: Codec<TpmtSensitive> = tagged(
  'TPMT_SENSITIVE',
  ['sensitiveType', 'TPMI_ALG_PUBLIC'],
  {
    [TPM_ALG.RSA]: { sensitive: TPM2B_PRIVATE_KEY_RSA },
    [TPM_ALG.ECC]: { sensitive: TPM2B_ECC_PARAMETER_SECRET },
    [TPM_ALG.KEYEDHASH]: { sensitive: TPM2B_SENSITIVE_DATA },
    [TPM_ALG.SYMCIPHER]: { sensitive: bytes16('TPM2B_SYM_KEY', 32, { secret: true }) },
  },
  { head: { authValue: TPM2B_AUTH, seedValue: TPM2B_DIGEST_SECRET } },
);
/** A private area in clear, with its size. TPM2B_SENSITIVE, Part 2, 12.3.3. */
export const TPM2B_SENSITIVE: Codec<TpmtSensitive> = sized('TPM2B_SENSITIVE', TPMT_SENSITIVE);

/**
 * A private area, encrypted and protected by its parent: bytes that only the TPM can read. TPM2B_PRIVATE, Part 2,
 * 12.3.7.
 */
export const TPM2B_PRIVATE: Codec<Uint8Array> = bytes16('TPM2B_PRIVATE', 1600);

/** The value of {@link TPMS_ID_OBJECT}. */
export interface TpmsIdObject {
  integrityHMAC: Uint8Array;
  /** The encrypted TPM2B_DIGEST: all remaining bytes. */
  encIdentity: Uint8Array;
}
const MAX_ENC_IDENTITY = 2 + MAX_DIGEST;
const checkEncIdentity = (length: number): void => {
  if (length > MAX_ENC_IDENTITY) {
    throw new CodecError('encIdentity', `${length} bytes; at most ${MAX_ENC_IDENTITY} are allowed`);
  }
};
/** A credential with its integrity value. TPMS_ID_OBJECT, Part 2, 12.4.2. */
export const TPMS_ID_OBJECT: Codec<TpmsIdObject> = struct('TPMS_ID_OBJECT', {
  integrityHMAC: TPM2B_DIGEST,
  encIdentity: {
    name: 'encIdentity',
    shape: { kind: 'bytes', max: MAX_ENC_IDENTITY, lengthSize: 0, secret: false },
    write: (out, value) => {
      checkEncIdentity(value.length);
      out.raw(value);
    },
    read: (input) => {
      checkEncIdentity(input.left);
      return input.take(input.left, 'encIdentity');
    },
  },
});
/** A credential as the bytes of its TPMS_ID_OBJECT. TPM2B_ID_OBJECT, Part 2, 12.4.3. */
export const TPM2B_ID_OBJECT: Codec<Uint8Array> = bytes16('TPM2B_ID_OBJECT', 2 + MAX_DIGEST + 2 + MAX_DIGEST);

/** The value of {@link TPMS_CREATION_DATA}. */
export interface TpmsCreationData {
  pcrSelect: readonly TpmsPcrSelection[];
  pcrDigest: Uint8Array;
  locality: TpmaLocality;
  parentNameAlg: number;
  parentName: Uint8Array;
  parentQualifiedName: Uint8Array;
  outsideInfo: Uint8Array;
}
/** Where and how an object was made. TPMS_CREATION_DATA, Part 2, 15.1. */
export const TPMS_CREATION_DATA: Codec<TpmsCreationData> = struct('TPMS_CREATION_DATA', {
  pcrSelect: TPML_PCR_SELECTION,
  pcrDigest: TPM2B_DIGEST,
  locality: TPMA_LOCALITY,
  parentNameAlg: TPM_ALG_ID,
  parentName: TPM2B_NAME,
  parentQualifiedName: TPM2B_NAME,
  outsideInfo: TPM2B_DATA,
});
/** The circumstances in which an object was made, with their size. TPM2B_CREATION_DATA, Part 2, 15.2. */
export const TPM2B_CREATION_DATA: Codec<TpmsCreationData> = sized('TPM2B_CREATION_DATA', TPMS_CREATION_DATA);

/** A point on a curve with its size. TPM2B_ECC_POINT, Part 2, 11.2.5.3. */
export const TPM2B_ECC_POINT: Codec<TpmsEccPoint> = sized('TPM2B_ECC_POINT', TPMS_ECC_POINT);
/** A secret point on a curve with its size. TPM2B_ECC_POINT, Part 2, 11.2.5.3. */
export const TPM2B_ECC_POINT_SECRET: Codec<TpmsEccPoint> = sized('TPM2B_ECC_POINT', TPMS_ECC_POINT_SECRET);
