import { type Bytes, byteCount, checkObject, concat, EMPTY, equal, uint32s, utf8 } from '../../bytes.ts';
import { digest } from '../../crypto/kdf.ts';
import { checkSize, LIMIT } from '../../limits.ts';
import { randomBytes } from '../../primitives.ts';
import { decode } from '../../tpm/codec/index.ts';
import { HASHES, TPM_ALG } from '../../tpm/constants.ts';
import { TPMT_SIGNATURE } from '../../tpm/structures/algorithm.ts';
import { TPMS_ATTEST } from '../../tpm/structures/attest.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';
import { withoutSize } from '../x509/lamps-attestation.ts';
import { PartReader } from '../x509/part-reader.ts';

/** The hash algorithms of a content. */
export type ContentHash = typeof TPM_ALG.SHA256 | typeof TPM_ALG.SHA384 | typeof TPM_ALG.SHA512;

/**
 * TCG_IDEVID_CONTENT: a request for certificates of a device's IDevID (initial device identity key) and IAK (initial
 * attestation key). TCG "TPM 2.0 Keys for Device Identity and Attestation", 13.1, with the names of its fields. Unknown
 * fields are empty.
 */
export interface IdevidContent {
  readonly hashAlgoId: ContentHash;
  readonly prodModel: string;
  readonly prodSerial: string;
  /** Data for the CA, in the maker's own form. */
  readonly prodCaData: Uint8Array;
  readonly bootEvntLog: Uint8Array;
  /** The EK certificate in DER. */
  readonly ekCert: Uint8Array;
  /** TPMT_PUBLIC of the IAK. */
  readonly attestPub: Uint8Array;
  readonly atCreateTkt: Uint8Array;
  readonly atCertifyInfo: Uint8Array;
  readonly atCertifyInfoSignature: Uint8Array;
  /** TPMT_PUBLIC of the IDevID, which signs the request. */
  readonly signingPub: Uint8Array;
  /** TPMS_ATTEST of TPM2_Certify of the IDevID by the IAK. */
  readonly sgnCertifyInfo: Uint8Array;
  /** TPMT_SIGNATURE over it. */
  readonly sgnCertifyInfoSignature: Uint8Array;
  /** Random bytes after the rest. */
  readonly pad: Uint8Array;
}

const STRUCT_VER = 0x00000100;
const PAD_TO = 16;
const WHAT = 'TCG-CSR-IDEVID';

const PARTS = [
  'prodModel',
  'prodSerial',
  'prodCaData',
  'bootEvntLog',
  'ekCert',
  'attestPub',
  'atCreateTkt',
  'atCertifyInfo',
  'atCertifyInfoSignature',
  'signingPub',
  'sgnCertifyInfo',
  'sgnCertifyInfoSignature',
  'pad',
] as const;

/** The content without its padding, which {@link encodeIdevidContent} can make. */
export type IdevidContentToPad = Omit<IdevidContent, 'pad'> & { readonly pad?: Uint8Array };

/**
 * The bytes of a content, with its digest. Without `pad`, random bytes fill them to a multiple of 16.
 * @throws TypeError if a part is missing.
 */
export function encodeIdevidContent(content: IdevidContentToPad): Bytes {
  const { hashAlgoId, prodModel, prodSerial } = checkObject(
    content,
    'an IDevID content',
    ...(['hashAlgoId', 'prodModel:string', 'prodSerial:string', 'pad:bytes?'] as const),
    ...PARTS.slice(2, -1).map((part) => `${part}:bytes` as const),
  );
  if (!isContentHash(hashAlgoId))
    throw new TypeError('hashAlgoId must be TPM_ALG_SHA256, TPM_ALG_SHA384 or TPM_ALG_SHA512');
  const { name, size } = HASHES[hashAlgoId];
  const all = { ...content, prodModel: utf8(prodModel), prodSerial: utf8(prodSerial), pad: EMPTY };
  const parts = PARTS.map((part) => all[part]);
  const length = parts.reduce((sum, part) => sum + part.length, 12 + size + 4 * PARTS.length);
  parts[PARTS.indexOf('pad')] = content.pad ?? randomBytes((PAD_TO - (length % PAD_TO)) % PAD_TO);
  const hashed = concat(uint32s(...parts.map((part) => part.length)), ...parts);
  return concat(uint32s(STRUCT_VER, hashAlgoId, size), digest(name, hashed), hashed);
}

/**
 * Reads a content and checks its digest. Keys and attested structures may be TPM2Bs, as one implementation writes them;
 * they are returned without their sizes.
 * @throws KeyprovError `request-invalid` for anything else, including unreadable TPM structures.
 *
 * @example
 * ```ts
 * import { decodeIdevidContent, encodeIdevidContent, encodeTcgCsrIdevid } from 'keyprov/formats/tcg';
 * import type { TcgCsrIdevid } from 'keyprov/formats/tcg';
 *
 * declare const csr: TcgCsrIdevid; // from parseTcgCsrIdevid
 * const content = decodeIdevidContent(csr.contentBytes);
 * console.log(content.prodModel, content.prodSerial, encodeIdevidContent(content).length === csr.contentBytes.length);
 * console.log(encodeTcgCsrIdevid(csr).length);
 * ```
 */
export function decodeIdevidContent(bytes: Uint8Array): IdevidContent {
  const reader = idevidReader(bytes);
  const version = reader.uint32();
  if (version !== STRUCT_VER) throw invalid(`the content version 0x${version.toString(16)} is unknown`);
  const hashAlgoId = reader.uint32();
  if (!isContentHash(hashAlgoId)) throw invalid(`hash algorithm 0x${hashAlgoId.toString(16)} is unknown`);
  const { name, size } = HASHES[hashAlgoId];
  if (reader.uint32() !== size) throw invalid('the digest size does not match its algorithm');
  const found = reader.take(size);
  if (!equal(found, digest(name, reader.rest()))) throw invalid('the digest does not match the content');
  const sizes = PARTS.map(() => reader.uint32());
  const parts = new Map(PARTS.map((part, i) => [part, reader.take(sizes[i] ?? 0)]));
  reader.end();
  const part = (key: (typeof PARTS)[number]): Bytes => parts.get(key) ?? EMPTY;
  const content: IdevidContent = {
    hashAlgoId,
    prodModel: inRequest(`${WHAT}: prodModel`, () => text(part('prodModel'))),
    prodSerial: inRequest(`${WHAT}: prodSerial`, () => text(part('prodSerial'))),
    prodCaData: part('prodCaData'),
    bootEvntLog: part('bootEvntLog'),
    ekCert: part('ekCert'),
    attestPub: withoutSize(part('attestPub')),
    atCreateTkt: part('atCreateTkt'),
    atCertifyInfo: withoutSize(part('atCertifyInfo')),
    atCertifyInfoSignature: part('atCertifyInfoSignature'),
    signingPub: withoutSize(part('signingPub')),
    sgnCertifyInfo: withoutSize(part('sgnCertifyInfo')),
    sgnCertifyInfoSignature: part('sgnCertifyInfoSignature'),
    pad: part('pad'),
  };
  const check = <T>(key: keyof IdevidContent, work: () => T) => inRequest(`${WHAT}: ${key}`, work);
  check('attestPub', () => decode(TPMT_PUBLIC, content.attestPub));
  check('signingPub', () => decode(TPMT_PUBLIC, content.signingPub));
  check('sgnCertifyInfo', () => decode(TPMS_ATTEST, content.sgnCertifyInfo));
  check('sgnCertifyInfoSignature', () => decode(TPMT_SIGNATURE, content.sgnCertifyInfoSignature));
  return content;
}

/** Whether a content can have that hash algorithm. */
export const isContentHash = (alg: number): alg is ContentHash =>
  alg === TPM_ALG.SHA256 || alg === TPM_ALG.SHA384 || alg === TPM_ALG.SHA512;

/** Reads the parts of a request. Errors are KeyprovError `request-invalid`. */
export function idevidReader(bytes: Uint8Array): PartReader {
  checkSize(bytes, LIMIT.document, invalid);
  return new PartReader(bytes, invalid, (size, _, left) => `: ${byteCount(size)} expected, ${left} left`);
}

const text = (bytes: Bytes): string => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);

const invalid = (problem: string): Error => requestInvalid(WHAT, problem);
