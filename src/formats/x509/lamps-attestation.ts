import { encodeBareSignature } from '../../attestation/signature.ts';
import type { AttestationStatement, Certification, PublicPart } from '../../attestation/statement.ts';
import { type Bytes, checkObject, copy } from '../../bytes.ts';
import { DerNode } from '../../crypto/der-read.ts';
import { contextTag, derOctets, derOid, derSequence, TAG } from '../../crypto/der-write.ts';
import { decode } from '../../tpm/codec/index.ts';
import { TPMT_SIGNATURE } from '../../tpm/structures/algorithm.ts';
import { TPMS_ATTEST } from '../../tpm/structures/attest.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import { fullSignature } from '../tcg/certified-ak.ts';
import { type Attribute, findAttribute } from './attributes.ts';
import { inRequest, requestInvalid } from './in-request.ts';

/** id-aa-attestation: the attribute of a request that holds an AttestationBundle. draft-ietf-lamps-csr-attestation. */
export const ATTESTATION_ATTRIBUTE = '1.2.840.113549.1.9.16.2.59';
/** tcg-attest-tpm-certify: the type of a statement that is a {@link TpmCertify}. */
export const TPM_CERTIFY_STATEMENT = '2.23.133.20.1';

/** A statement in an {@link AttestationBundle}. Optional members are from older drafts, and never written. */
export interface BundledStatement {
  readonly type: string;
  /** The statement in DER, in the form that `type` names. */
  readonly statement: Uint8Array;
  /** Who can verify it (drafts 09 to 21). */
  readonly hint?: string;
  /** Whether it is about the key of the request (draft 23, where it defaults to true). */
  readonly bindsPublicKey?: boolean;
  /** `attrs` in DER (draft 23). */
  readonly attributes?: Uint8Array;
}

/** Statements, and certificates to verify them, in no particular order. */
export interface AttestationBundle {
  readonly attestations: readonly BundledStatement[];
  /** X.509 in DER. */
  readonly certificates: readonly Uint8Array[];
  /** Certificates of other formats, each as OtherCertificateFormat in DER with its tag [3]. */
  readonly otherCertificates?: readonly Uint8Array[];
}

/**
 * Writes an AttestationBundle in DER, by drafts 24 to 29: without hints and the other members that they dropped.
 * @throws TypeError without a statement.
 *
 * @example
 * ```ts
 * import { decodeAttestationBundles, encodeAttestationBundle, encodeTpmCertify } from 'keyprov/formats/x509';
 * import { TPM_CERTIFY_STATEMENT, type TpmCertify } from 'keyprov/formats/x509';
 *
 * declare const [certify, akCertificate]: [TpmCertify, Uint8Array];
 * const attestations = [{ type: TPM_CERTIFY_STATEMENT, statement: encodeTpmCertify(certify) }];
 * const der = encodeAttestationBundle({ attestations, certificates: [akCertificate] });
 * console.log(decodeAttestationBundles(der)[0]?.certificates.length); // 1
 * ```
 */
export function encodeAttestationBundle(bundle: AttestationBundle): Bytes {
  checkObject(bundle, 'an attestation bundle', 'attestations:list', 'certificates:list', 'otherCertificates:list?');
  const { attestations, certificates, otherCertificates = [] } = bundle;
  if (attestations.length === 0) throw new TypeError('an attestation bundle needs at least one statement');
  const statements = attestations.map((one) => {
    const { type, statement } = checkObject(one, 'each statement', 'type', 'statement:bytes');
    return derSequence(derOid(type), statement);
  });
  const all = [...certificates, ...otherCertificates];
  return derSequence(derSequence(...statements), ...(all.length > 0 ? [derSequence(...all)] : []));
}

const WHAT = 'attestation bundle';

/**
 * Reads the value of {@link ATTESTATION_ATTRIBUTE} of any draft from 09 on: a list of bundles up to draft 10, one
 * bundle from draft 16 on.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function decodeAttestationBundles(der: Uint8Array): AttestationBundle[] {
  const node = DerNode.lenient(der, WHAT);
  const [first] = node.list(TAG.SEQUENCE);
  const [inner] = first?.list(TAG.SEQUENCE) ?? [];
  const [type] = inner?.list(TAG.SEQUENCE) ?? [];
  if (type === undefined) throw node.wrong('it has no statement');
  return type.tag === TAG.OID ? [decodeBundle(node)] : node.children().map(decodeBundle);
}

const OTHER_CERTIFICATE = contextTag(3, 'constructed');

function decodeBundle(node: DerNode): AttestationBundle {
  const fields = node.fields(TAG.SEQUENCE);
  const attestations = fields.next().list(TAG.SEQUENCE).map(decodeStatement);
  const certs = fields.optional(TAG.SEQUENCE)?.children();
  fields.end();
  if (attestations.length === 0) throw node.wrong('it has no statement');
  if (certs?.length === 0) throw node.wrong('its list of certificates is empty');
  const other = (certs ?? []).filter(({ tag }) => tag === OTHER_CERTIFICATE);
  const certificates = (certs ?? []).filter(({ tag }) => tag !== OTHER_CERTIFICATE);
  return {
    attestations,
    certificates: certificates.map((one) => copy(one.expect(TAG.SEQUENCE).der)),
    ...(other.length > 0 && { otherCertificates: other.map((one) => copy(one.der)) }),
  };
}

const BINDS_PUBLIC_KEY = contextTag(0, 'primitive');
const ATTRIBUTES = contextTag(1, 'constructed');

function decodeStatement(node: DerNode): BundledStatement {
  const fields = node.fields(TAG.SEQUENCE);
  const type = fields.next().oid();
  const [binds, statement] = [fields.optional(BINDS_PUBLIC_KEY), fields.optional()];
  const hint = fields.optional(TAG.UTF8_STRING, TAG.IA5_STRING)?.text();
  const attributes = fields.optional(ATTRIBUTES);
  fields.end();
  const found = statement ?? binds;
  if (found === undefined) throw node.wrong('a statement is missing');
  return {
    type,
    statement: copy(found.der),
    ...(hint !== undefined && { hint }),
    ...(statement !== undefined && binds !== undefined && { bindsPublicKey: binds.boolean(BINDS_PUBLIC_KEY) }),
    ...(attributes !== undefined && { attributes: copy(attributes.der) }),
  };
}

/** Tcg-csr-tpm-certify: TPM2_Certify of a key. */
export interface TpmCertify extends Certification {
  /** TPMS_ATTEST. */
  readonly certInfo: Uint8Array;
  /** Bare (RSA bytes, DER Ecdsa-Sig-Value) as in the published samples, or a TPMT_SIGNATURE as in the draft's text. */
  readonly signature: Uint8Array;
  /** TPMT_PUBLIC of the key. */
  readonly pubArea?: Uint8Array;
}

/** Writes the statement in DER. @throws TypeError if a part is missing. */
export function encodeTpmCertify(certify: TpmCertify): Bytes {
  const { certInfo, signature, pubArea } = checkObject(certify, 'a tpm-certify statement', 'certInfo', 'signature');
  const area = pubArea === undefined ? [] : [derOctets(pubArea)];
  return derSequence(derOctets(certInfo), derOctets(signature), ...area);
}

/**
 * Reads a {@link TpmCertify}. The public area may be a TPM2B_PUBLIC, as in samples of 2024.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function decodeTpmCertify(der: Uint8Array): TpmCertify {
  const fields = DerNode.lenient(der, WHERE).fields(TAG.SEQUENCE);
  const certInfo = fields.next().octets();
  const signature = fields.next().octets();
  const sized = fields.optional()?.octets();
  fields.end();
  const pubArea = sized && withoutSize(sized);
  inRequest(WHERE, () => [decode(TPMS_ATTEST, certInfo), pubArea && decode(TPMT_PUBLIC, pubArea)]);
  return { certInfo, signature, ...(pubArea !== undefined && { pubArea }) };
}

const WHERE = 'TPM certification in a request';

/** Strips the two length bytes of a TPM2B; returns anything else unchanged. A TPMT_PUBLIC never looks like a TPM2B. */
export function withoutSize(bytes: Bytes): Bytes {
  const [high = 0, low = 0] = bytes;
  return high * 256 + low === bytes.length - 2 ? bytes.subarray(2) : bytes;
}

/**
 * Builds the attribute for a statement, with the certificates of its attestation key. The CA chooses the
 * challenge with which the key was certified.
 *
 * @param signature Form of the signature: `bare` (default), as in the published samples, or `tpmt`.
 * @throws KeyprovError `statement-invalid` for a signature that has no bare form.
 *
 * @example
 * ```ts
 * import type { AttestationStatement } from 'keyprov/attestation';
 * import { buildLampsAttestation, parseLampsAttestation } from 'keyprov/formats/x509';
 *
 * declare const statement: AttestationStatement;
 * const attribute = buildLampsAttestation(statement); // pass it to buildCertificateRequest
 * const [bundle] = parseLampsAttestation([attribute]);
 * console.log(bundle?.attestations[0]?.type); // 2.23.133.20.1 (TPM_CERTIFY_STATEMENT)
 * ```
 */
export function buildLampsAttestation(statement: AttestationStatement, signature: 'bare' | 'tpmt' = 'bare'): Attribute {
  checkObject(statement, 'a statement', 'pubArea:bytes', 'certInfo:bytes', 'signature:bytes', 'ak:object');
  const { certInfo, pubArea, ak } = statement;
  const written =
    signature === 'bare' ? encodeBareSignature(decode(TPMT_SIGNATURE, statement.signature)) : statement.signature;
  const certify = encodeTpmCertify({ certInfo, signature: written, pubArea });
  const bundle = {
    attestations: [{ type: TPM_CERTIFY_STATEMENT, statement: certify }],
    certificates: checkObject(ak, 'the attestation key', 'certificates:list?').certificates ?? [],
  };
  return { oid: ATTESTATION_ATTRIBUTE, values: [encodeAttestationBundle(bundle)] };
}

/**
 * Reads the bundles in the attributes of a request; empty if there is no such attribute.
 * @throws KeyprovError `request-invalid` if the attribute cannot be read, or appears twice.
 */
export function parseLampsAttestation(attributes: readonly Attribute[]): AttestationBundle[] {
  const value = findAttribute(attributes, ATTESTATION_ATTRIBUTE);
  return value === undefined ? [] : decodeAttestationBundles(value);
}

/**
 * The statement for `verifyStatement`, which needs the request's key as `expectedKey`. The attestation key is known from
 * elsewhere, or found with `findCertifiedAk`.
 * @throws KeyprovError `request-invalid` if the public area of the key is missing, or the signature cannot be read.
 *
 * @example
 * ```ts
 * import type { PublicPart } from 'keyprov/attestation';
 * import { type BundledStatement, decodeTpmCertify, statementFromTpmCertify } from 'keyprov/formats/x509';
 *
 * declare const [received, ak]: [BundledStatement, PublicPart]; // received.type is TPM_CERTIFY_STATEMENT
 * const statement = statementFromTpmCertify(decodeTpmCertify(received.statement), ak);
 * console.log(statement.certInfo.length); // verifyStatement needs the request's key too, as expectedKey
 * ```
 */
export function statementFromTpmCertify(certify: TpmCertify, ak: PublicPart): AttestationStatement {
  checkObject(certify, 'the statement', 'certInfo:bytes', 'signature:bytes');
  checkObject(ak, 'the attestation key', 'pubArea:bytes');
  const { certInfo, pubArea } = certify;
  if (pubArea === undefined) throw requestInvalid(WHERE, "it does not contain the key's public area");
  const signature = inRequest(WHERE, () => fullSignature(certify.signature, ak.pubArea));
  return { version: 1, pubArea, certInfo, signature, ak };
}
