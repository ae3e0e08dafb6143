import { byteCount, EMPTY, isBytes } from '../../bytes.ts';
import {
  bitField,
  bytes16,
  type Codec,
  CodecError,
  list,
  oneOf,
  struct,
  unsigned,
  unsigned64,
} from '../codec/index.ts';
import { TPM_ALG, TPM_CAP, TPM_ST, type TpmAlgs } from '../constants.ts';

/** An unsigned number of one byte. BYTE and UINT8, Part 2, 5.1. */
export const UINT8: Codec<number> = unsigned('UINT8', 1);
/** An unsigned number of two bytes, big endian. UINT16, Part 2, 5.1. */
export const UINT16: Codec<number> = unsigned('UINT16', 2);
/** An unsigned number of four bytes, big endian. UINT32, Part 2, 5.1. */
export const UINT32: Codec<number> = unsigned('UINT32', 4);
/** An unsigned number of eight bytes, big endian. UINT64, Part 2, 5.1. */
export const UINT64: Codec<bigint> = unsigned64('UINT64');
/** An algorithm with any number. TPM_ALG_ID, Part 2, 6.3. */
export const TPM_ALG_ID: Codec<number> = unsigned('TPM_ALG_ID', 2);
/** A command code with any number. TPM_CC, Part 2, 6.5. */
export const TPM_CC_CODE: Codec<number> = unsigned('TPM_CC', 4);
/** A handle with any number. TPM_HANDLE, Part 2, 7.1. */
export const TPM_HANDLE: Codec<number> = unsigned('TPM_HANDLE', 4);
/** No or yes: 0 or 1. TPMI_YES_NO, Part 2, 9.2. */
export const TPMI_YES_NO: Codec<0 | 1> = oneOf('TPMI_YES_NO', 1, 0, 1);

/** The value of {@link TPMI_ALG_HASH}. */
export type TpmiAlgHash = TpmAlgs[`SHA${1 | 256 | 384 | 512}` | 'SM3_256' | `SHA3_${256 | 384 | 512}`];
const HASH_ALGS = ['SHA1', 'SHA256', 'SHA384', 'SHA512', 'SM3_256', 'SHA3_256', 'SHA3_384', 'SHA3_512'] as const;
const HASH_NUMBERS: readonly TpmiAlgHash[] = HASH_ALGS.map((name) => TPM_ALG[name]);
/** A hash algorithm. TPMI_ALG_HASH, Part 2, 9.27. */
export const TPMI_ALG_HASH: Codec<TpmiAlgHash> = oneOf('TPMI_ALG_HASH', 2, ...HASH_NUMBERS);
/** A hash algorithm, or TPM_ALG_NULL. TPMI_ALG_HASH+, Part 2, 9.27. */
export const TPMI_ALG_HASH_NULL: Codec<TpmiAlgHash | typeof TPM_ALG.NULL> = oneOf(
  'TPMI_ALG_HASH+',
  2,
  ...HASH_NUMBERS,
  TPM_ALG.NULL,
);

/** The largest digest of any algorithm, in bytes: that of SHA-512. TPMU_HA, Part 2, 10.3.1. */
export const MAX_DIGEST = 64;
/** sizeof(TPMT_HA): the algorithm and the largest digest. */
const MAX_TPMT_HA = 2 + MAX_DIGEST;

/** A digest of up to 64 bytes. TPM2B_DIGEST, Part 2, 10.4.2. */
export const TPM2B_DIGEST: Codec<Uint8Array> = bytes16('TPM2B_DIGEST', MAX_DIGEST);
/** A digest that is a secret: the response of TPM2_ActivateCredential. TPM2B_DIGEST, Part 2, 10.4.2. */
export const TPM2B_DIGEST_SECRET: Codec<Uint8Array> = bytes16('TPM2B_DIGEST', MAX_DIGEST, { secret: true });
/** Data of at most the size of a TPMT_HA. TPM2B_DATA, Part 2, 10.4.3. */
export const TPM2B_DATA: Codec<Uint8Array> = bytes16('TPM2B_DATA', MAX_TPMT_HA);
/** A nonce, at most as long as a digest. TPM2B_NONCE, Part 2, 10.4.4. */
export const TPM2B_NONCE: Codec<Uint8Array> = bytes16('TPM2B_NONCE', MAX_DIGEST);
/** An authorization value. TPM2B_AUTH, Part 2, 10.4.5. */
export const TPM2B_AUTH: Codec<Uint8Array> = bytes16('TPM2B_AUTH', MAX_DIGEST, { secret: true });
/** An event to extend a PCR with, at most 1024 bytes. TPM2B_EVENT, Part 2, 10.4.7. */
export const TPM2B_EVENT: Codec<Uint8Array> = bytes16('TPM2B_EVENT', 1024);
/** Data for a command, at most 1024 bytes. TPM2B_MAX_BUFFER, Part 2, 10.4.8. */
export const TPM2B_MAX_BUFFER: Codec<Uint8Array> = bytes16('TPM2B_MAX_BUFFER', 1024);
/**
 * Contents of an NV index: at most 2048 bytes, the most that any tested TPM 2.0 has reported. TPM2B_MAX_NV_BUFFER,
 * Part 2, 10.4.9.
 */
export const TPM2B_MAX_NV_BUFFER: Codec<Uint8Array> = bytes16('TPM2B_MAX_NV_BUFFER', 2048);
/** A time-out in a form that only the TPM can read. TPM2B_TIMEOUT, Part 2, 10.4.10. */
export const TPM2B_TIMEOUT: Codec<Uint8Array> = bytes16('TPM2B_TIMEOUT', 8);
/** An initial value of a block cipher. TPM2B_IV, Part 2, 10.4.11. */
export const TPM2B_IV: Codec<Uint8Array> = bytes16('TPM2B_IV', 16);
/** An algorithm and a digest, or a handle. TPM2B_NAME, Part 2, 10.5.3. */
export const TPM2B_NAME: Codec<Uint8Array> = bytes16('TPM2B_NAME', MAX_TPMT_HA);

/** A list of digests. TPML_DIGEST, Part 2, 10.9.5. */
export const TPML_DIGEST: Codec<readonly Uint8Array[]> = list('TPML_DIGEST', TPM2B_DIGEST, 8);

/** The value of {@link TPMA_LOCALITY}. */
export interface TpmaLocality {
  locZero?: boolean;
  locOne?: boolean;
  locTwo?: boolean;
  locThree?: boolean;
  locFour?: boolean;
  extended?: number;
}
/** Localities 0 to 4 as bits; `extended` holds the three highest bits. TPMA_LOCALITY, Part 2, 8.5. */
export const TPMA_LOCALITY: Codec<TpmaLocality> = bitField('TPMA_LOCALITY', 1, {
  locZero: 0,
  locOne: 1,
  locTwo: 2,
  locThree: 3,
  locFour: 4,
  extended: [5, 3],
});

/** The value of {@link TPMS_PCR_SELECTION}. */
export interface TpmsPcrSelection {
  hash: TpmiAlgHash;
  pcrSelect: Uint8Array;
}
/** A bitmap of PCRs with its UINT8 length; at most 4 bytes, 32 PCRs. TPMS_PCR_SELECT, Part 2, 10.6.1. */
export const PCR_SELECT: Codec<Uint8Array> = {
  name: 'pcrSelect',
  shape: { kind: 'bytes', max: 4, lengthSize: 1, secret: false },
  write: (out, value) => {
    if (!isBytes(value)) throw new CodecError('pcrSelect', 'must be a Uint8Array');
    if (value.length > 4) throw new CodecError('pcrSelect', `${byteCount(value.length)}; the limit is 4`);
    out.uint(1, value.length);
    out.raw(value);
  },
  read: (input) => {
    const size = input.uint(1, 'sizeofSelect');
    if (size > 4) throw new CodecError('pcrSelect', `${byteCount(size)}; the limit is 4`);
    return input.take(size, 'pcrSelect');
  },
};
/** PCRs of one bank: bit n of the bitmap (least significant bit first) is PCR n. TPMS_PCR_SELECTION, Part 2, 10.6.2. */
export const TPMS_PCR_SELECTION: Codec<TpmsPcrSelection> = struct('TPMS_PCR_SELECTION', {
  hash: TPMI_ALG_HASH,
  pcrSelect: PCR_SELECT,
});
/** PCRs of several banks. TPML_PCR_SELECTION, Part 2, 10.9.7. */
export const TPML_PCR_SELECTION: Codec<readonly TpmsPcrSelection[]> = list(
  'TPML_PCR_SELECTION',
  TPMS_PCR_SELECTION,
  16,
);

/** The value of {@link TPMS_CLOCK_INFO}. */
export interface TpmsClockInfo {
  /** Milliseconds of power since the TPM was made or cleared. */
  clock: bigint;
  /** Number of TPM resets since the TPM was cleared. */
  resetCount: number;
  /** Number of restarts and resumes since the last reset. */
  restartCount: number;
  /**
   * 1 if no higher value of `clock` was reported before, else 0; any byte is accepted (W3C's WebAuthn vectors have
   * 0x33).
   */
  safe: number;
}
/** Clock values of a TPM. TPMS_CLOCK_INFO, Part 2, 10.11.1. */
export const TPMS_CLOCK_INFO: Codec<TpmsClockInfo> = struct('TPMS_CLOCK_INFO', {
  clock: UINT64,
  resetCount: UINT32,
  restartCount: UINT32,
  safe: UINT8,
});

/** The value of {@link TPMS_TIME_INFO}. */
export interface TpmsTimeInfo {
  /** Milliseconds since the TPM was last powered on. */
  time: bigint;
  clockInfo: TpmsClockInfo;
}
/** The time since the TPM started, and its clock. TPMS_TIME_INFO, Part 2, 10.11.6. */
export const TPMS_TIME_INFO: Codec<TpmsTimeInfo> = struct('TPMS_TIME_INFO', {
  time: UINT64,
  clockInfo: TPMS_CLOCK_INFO,
});

/** The value of {@link TPM_CAP_CODE}. */
export type TpmCap = (typeof TPM_CAP)[keyof typeof TPM_CAP];
/** The subject of TPM2_GetCapability. TPM_CAP, Part 2, 6.12. */
export const TPM_CAP_CODE: Codec<TpmCap> = oneOf('TPM_CAP', 4, ...Object.values(TPM_CAP));

/** A ticket: the TPM's proof to itself. Part 2, 10.7. */
export interface Ticket<Tag extends number> {
  tag: Tag;
  hierarchy: number;
  digest: Uint8Array;
}
const ticket = <Tag extends number>(name: string, ...tags: readonly Tag[]): Codec<Ticket<Tag>> =>
  struct<Ticket<Tag>>(name, { tag: oneOf<Tag>('tag', 2, ...tags), hierarchy: TPM_HANDLE, digest: TPM2B_DIGEST });

/** The value of {@link TPMT_TK_CREATION}. */
export type TpmtTkCreation = Ticket<typeof TPM_ST.CREATION>;
/** Proves that the TPM made the object with that creation data. TPMT_TK_CREATION, Part 2, 10.7.3. */
export const TPMT_TK_CREATION: Codec<TpmtTkCreation> = ticket('TPMT_TK_CREATION', TPM_ST.CREATION);
/** The value of {@link TPMT_TK_VERIFIED}. */
export type TpmtTkVerified = Ticket<typeof TPM_ST.VERIFIED>;
/** Proves that the TPM has verified a signature. TPMT_TK_VERIFIED, Part 2, 10.7.4. */
export const TPMT_TK_VERIFIED: Codec<TpmtTkVerified> = ticket('TPMT_TK_VERIFIED', TPM_ST.VERIFIED);
/** The value of {@link TPMT_TK_AUTH}. */
export type TpmtTkAuth = Ticket<typeof TPM_ST.AUTH_SIGNED | typeof TPM_ST.AUTH_SECRET>;
/** Proves that an authorization was given. TPMT_TK_AUTH, Part 2, 10.7.5. */
export const TPMT_TK_AUTH: Codec<TpmtTkAuth> = ticket('TPMT_TK_AUTH', TPM_ST.AUTH_SIGNED, TPM_ST.AUTH_SECRET);
/** The value of {@link TPMT_TK_HASHCHECK}. */
export type TpmtTkHashcheck = Ticket<typeof TPM_ST.HASHCHECK>;
/**
 * Proves that the TPM itself hashed the data, and that it does not begin with TPM_GENERATED_VALUE. TPMT_TK_HASHCHECK,
 * Part 2, 10.7.6.
 */
export const TPMT_TK_HASHCHECK: Codec<TpmtTkHashcheck> = ticket('TPMT_TK_HASHCHECK', TPM_ST.HASHCHECK);

/**
 * The NULL ticket, for data that the TPM has not hashed itself. TPMT_TK_HASHCHECK, Part 2, 10.7.6.
 */
export const NULL_HASHCHECK: Readonly<TpmtTkHashcheck> = {
  tag: TPM_ST.HASHCHECK,
  hierarchy: 0x40000007,
  digest: EMPTY,
};
