import { decodeBareSignature, findSignatureProblem, signingSchemeOf } from '../../attestation/signature.ts';
import type { AttestationStatement } from '../../attestation/statement.ts';
import { type Bytes, checkObject, concat, EMPTY, equal, uint32s } from '../../bytes.ts';
import { encodeSpki } from '../../crypto/public-key.ts';
import { readOr } from '../../errors.ts';
import { checkMembers } from '../../known-members.ts';
import { decode, encode } from '../../tpm/codec/index.ts';
import { TPM_ALG } from '../../tpm/constants.ts';
import { publicKeyOf } from '../../tpm/public-key.ts';
import { TPMT_SIGNATURE } from '../../tpm/structures/algorithm.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import type { SigningKey } from '../services/jws.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';
import { fullSignature } from './certified-ak.ts';
import {
  type ContentHash,
  decodeIdevidContent,
  encodeIdevidContent,
  type IdevidContent,
  idevidReader,
  isContentHash,
} from './idevid-content.ts';

/** The content with its signature, TCG-CSR-IDEVID. */
export interface TcgCsrIdevid {
  readonly content: IdevidContent;
  /** The signed bytes of the content. */
  readonly contentBytes: Bytes;
  /** TPMT_SIGNATURE of the IDevID over it. */
  readonly signature: Uint8Array;
}

const STRUCT_VER = 0x00000100;
/** The outer version that one implementation writes. The specification's own value could not be seen. */
const OTHER_STRUCT_VER = 0x01000100;
const WHAT = 'TCG-CSR-IDEVID';

/** Options of {@link buildTcgCsrIdevid}. */
export interface BuildTcgCsrIdevidOptions {
  /** The statement about the IDevID, certified by the IAK. Its certificates are not used. */
  readonly statement: AttestationStatement;
  /** The IDevID. Its public area names its signing scheme. */
  readonly key: SigningKey;
  readonly prodModel: string;
  readonly prodSerial: string;
  readonly prodCaData?: Uint8Array | undefined;
  readonly bootEvntLog?: Uint8Array | undefined;
  readonly ekCert?: Uint8Array | undefined;
  /** Default: the hash of the key's scheme. */
  readonly hashAlgoId?: ContentHash | undefined;
}

/**
 * Builds a TCG-CSR-IDEVID for the key of a statement (the IDevID) and its attestation key (the IAK), signed by the
 * IDevID.
 * @throws KeyprovError `request-invalid` if the IDevID's public area has no scheme, or `key` is not the IDevID.
 *
 * @example
 * ```ts
 * import { type BuildTcgCsrIdevidOptions, buildTcgCsrIdevid, parseTcgCsrIdevid } from 'keyprov/formats/tcg';
 * import { statementFromIdevid, verifyTcgCsrIdevid } from 'keyprov/formats/tcg';
 *
 * declare const options: BuildTcgCsrIdevidOptions; // contains a statement about the IDevID; the IDevID signs the request
 * const csr = parseTcgCsrIdevid(await buildTcgCsrIdevid(options));
 * console.log(verifyTcgCsrIdevid(csr), statementFromIdevid(csr.content).pubArea.length);
 * ```
 */
export async function buildTcgCsrIdevid(options: BuildTcgCsrIdevidOptions): Promise<Bytes> {
  options = checkMembers(
    'buildTcgCsrIdevid',
    options,
    'statement key prodModel:text prodSerial:text prodCaData:bytes? bootEvntLog:bytes? ekCert:bytes? hashAlgoId',
  );
  const { statement, key, prodModel, prodSerial } = options;
  checkObject(statement, 'the statement', 'pubArea:bytes', 'ak:object');
  checkObject(key, 'the key of buildTcgCsrIdevid', 'publicKey', 'sign:function');
  const area = inRequest(`${WHAT}: signingPub`, () => decode(TPMT_PUBLIC, statement.pubArea));
  if (!equal(encodeSpki(publicKeyOf(area)), encodeSpki(key.publicKey)))
    throw invalid('the statement is for another key');
  const { sigAlg, hash: hashAlg } = signingSchemeOf(area) ?? {};
  if (hashAlg === undefined || !isContentHash(hashAlg))
    throw invalid("the key's public area has no signing scheme with SHA-256 or a longer hash");
  const padding = sigAlg === TPM_ALG.RSAPSS ? 'pss' : 'pkcs1';
  const contentBytes = encodeIdevidContent({
    hashAlgoId: options.hashAlgoId ?? hashAlg,
    prodModel,
    prodSerial,
    prodCaData: options.prodCaData ?? EMPTY,
    bootEvntLog: options.bootEvntLog ?? EMPTY,
    ekCert: options.ekCert ?? EMPTY,
    attestPub: statement.ak.pubArea,
    atCreateTkt: EMPTY,
    atCertifyInfo: EMPTY,
    atCertifyInfoSignature: EMPTY,
    signingPub: statement.pubArea,
    sgnCertifyInfo: statement.certInfo,
    sgnCertifyInfoSignature: statement.signature,
  });
  const bare = await key.sign({ data: contentBytes, hash: SIGNING_HASHES[hashAlg], padding, format: 'der' });
  const signature = inRequest(WHAT, () => encode(TPMT_SIGNATURE, decodeBareSignature(area, bare)));
  return encodeTcgCsrIdevid({ contentBytes, signature });
}

/** The bytes of a signed content. @throws TypeError if a part is missing. */
export function encodeTcgCsrIdevid(csr: Pick<TcgCsrIdevid, 'contentBytes' | 'signature'>): Bytes {
  const { contentBytes, signature } = checkObject(csr, WHAT, 'contentBytes:bytes', 'signature:bytes');
  return concat(uint32s(STRUCT_VER, contentBytes.length, signature.length), contentBytes, signature);
}

/**
 * Reads a TCG-CSR-IDEVID. Returns the signature as TPMT_SIGNATURE, even if it was bare.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseTcgCsrIdevid(bytes: Uint8Array): TcgCsrIdevid {
  const reader = idevidReader(bytes);
  const version = reader.uint32();
  if (version !== STRUCT_VER && version !== OTHER_STRUCT_VER)
    throw invalid(`unknown version 0x${version.toString(16)}`);
  const [contentSize, signatureSize] = [reader.uint32(), reader.uint32()];
  const contentBytes = reader.take(contentSize);
  const signature = reader.take(signatureSize);
  reader.end();
  const content = decodeIdevidContent(contentBytes);
  const full = inRequest(`${WHAT}: signature`, () => fullSignature(signature, content.signingPub));
  return { content, contentBytes, signature: full };
}

/**
 * Tells whether the IDevID in the content signed it. Use `verifyStatement` with {@link statementFromIdevid}, and a
 * challenge to the endorsement key, to verify that the IDevID is in the TPM and that the IAK belongs to a trusted TPM.
 * Never throws because of the request's content.
 * @throws TypeError for anything but a parsed request.
 */
export function verifyTcgCsrIdevid(csr: TcgCsrIdevid): boolean {
  checkObject(csr, WHAT, 'content', 'contentBytes', 'signature');
  const { content, contentBytes, signature } = csr;
  return readOr(false, () => {
    const area = decode(TPMT_PUBLIC, content.signingPub);
    return findSignatureProblem(area, decode(TPMT_SIGNATURE, signature), contentBytes) === undefined;
  });
}

/** The IAK's statement about the IDevID, for `verifyStatement`. @throws TypeError for an argument of another kind. */
export function statementFromIdevid(content: IdevidContent): AttestationStatement {
  checkObject(
    content,
    'the content',
    'attestPub:bytes',
    'signingPub:bytes',
    'sgnCertifyInfo:bytes',
    'sgnCertifyInfoSignature:bytes',
  );
  const { attestPub, signingPub: pubArea, sgnCertifyInfo: certInfo, sgnCertifyInfoSignature: signature } = content;
  return { version: 1, pubArea, certInfo, signature, ak: { pubArea: attestPub } };
}

const SIGNING_HASHES = {
  [TPM_ALG.SHA256]: 'sha256',
  [TPM_ALG.SHA384]: 'sha384',
  [TPM_ALG.SHA512]: 'sha512',
} as const;

const invalid = (problem: string): Error => requestInvalid(WHAT, problem);
