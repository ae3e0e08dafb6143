import { checkObject, toBase64, toHex } from '../bytes.ts';
import { encodeSpkiPem } from '../crypto/public-key.ts';
import { KeyprovError } from '../errors.ts';
import { JsonMembers, type JsonRefusal, showJson } from '../json.ts';
import { decode } from '../tpm/codec/index.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import { TPMT_SIGNATURE } from '../tpm/structures/algorithm.ts';
import { TPMS_ATTEST } from '../tpm/structures/attest.ts';
import { TPMT_PUBLIC, type TpmtPublic } from '../tpm/structures/object.ts';
import { encodeBareSignature } from './signature.ts';

/** Something that a TPM attests, signed by an attestation key. */
export interface Certification {
  /** TPMS_ATTEST: the signed bytes. Part 2, 10.12.12. */
  readonly certInfo: Uint8Array;
  /** TPMT_SIGNATURE over `certInfo`. Part 2, 11.3.4. */
  readonly signature: Uint8Array;
}

/** The public part of a TPM key: its public area, and its certificates if any. */
export interface PublicPart {
  /** TPMT_PUBLIC. Part 2, 12.2.4. */
  readonly pubArea: Uint8Array;
  /** X.509 in DER: the certificate of the key, then those up to the root, which may be left out. */
  readonly certificates?: readonly Uint8Array[];
}

/** A certified proof of where and how a key was made, from TPM2_CertifyCreation. */
export interface CreationProof extends Certification {
  /** TPMS_CREATION_DATA. Part 2, 15.1. */
  readonly creationData: Uint8Array;
}

/**
 * The claim that a key is in a TPM, as plain data. Trust nothing in it before `verifyStatement`. `certInfo` and
 * `signature` come from TPM2_Certify of the key by the attestation key.
 */
export interface AttestationStatement extends Certification {
  readonly version: 1;
  /** TPMT_PUBLIC of the key. */
  readonly pubArea: Uint8Array;
  /** The attestation key. */
  readonly ak: PublicPart;
  /** TPM2_CertifyCreation of the key by the attestation key. */
  readonly creation?: CreationProof;
  /** TPM2_CertifyCreation of the attestation key by itself. */
  readonly akCreation?: CreationProof;
  /** The endorsement key of the TPM. */
  readonly ek?: PublicPart;
}

/** A {@link Certification} as JSON: hexadecimal. */
export interface CertificationJson {
  readonly certInfo: string;
  readonly signature: string;
}

/** A {@link PublicPart} as JSON. */
export interface PublicPartJson {
  readonly pubArea: string;
  /** Derived: the public key in `pubArea` as PEM `PUBLIC KEY`. */
  readonly publicKey: string;
  /** Base64 of DER, as in the `x5c` of RFC 7515, 4.1.6. */
  readonly certificates?: readonly string[];
}

/** A {@link CreationProof} as JSON. */
export interface CreationProofJson extends CertificationJson {
  readonly creationData: string;
}

/**
 * A statement as JSON. TPM structures are in hexadecimal, as TPM tools print them. `extraData`, `bareSignature` (the
 * bytes of an RSA signature, the DER of an ECDSA signature) and each `publicKey` repeat parts of the structures, for
 * tools that cannot read those.
 */
export interface StatementJson extends CertificationJson {
  readonly version: 1;
  readonly pubArea: string;
  readonly publicKey: string;
  readonly extraData: string;
  readonly bareSignature: string;
  readonly ak: PublicPartJson;
  readonly creation?: CreationProofJson;
  readonly akCreation?: CreationProofJson;
  readonly ek?: PublicPartJson;
}

/** The statement as JSON. @throws KeyprovError `statement-invalid` if one of its structures cannot be read. */
export function encodeStatement(statement: AttestationStatement): StatementJson {
  checkObject(statement, 'a statement', 'pubArea', 'certInfo', 'signature', 'ak');
  const { pubArea, certInfo, signature, ak, creation, akCreation, ek } = statement;
  try {
    return {
      version: 1,
      pubArea: toHex(pubArea),
      publicKey: publicKeyPem(pubArea),
      certInfo: toHex(certInfo),
      extraData: toHex(decode(TPMS_ATTEST, certInfo).extraData),
      signature: toHex(signature),
      bareSignature: toHex(encodeBareSignature(decode(TPMT_SIGNATURE, signature))),
      ak: publicPartToJson(ak),
      ...(creation && { creation: proofToJson(creation) }),
      ...(akCreation && { akCreation: proofToJson(akCreation) }),
      ...(ek && { ek: publicPartToJson(ek) }),
    };
  } catch (cause) {
    throw invalid('one of its structures cannot be read', cause);
  }
}

/**
 * Reads the JSON of {@link encodeStatement}, parsed or as text, in which no member may appear twice. Checks only the
 * form: all members are known, the structures can be read, and the members that repeat parts of them match. These may
 * be missing.
 *
 * @throws KeyprovError `statement-invalid` for anything else.
 */
export function decodeStatement(json: unknown): AttestationStatement {
  const source = JsonMembers.parse('attestation statement', json, refuse);
  const version = source.value('version');
  if (version !== 1) {
    throw invalid(
      `version ${showJson(version)} is unknown`,
      undefined,
      'read it with the version of keyprov that wrote it',
    );
  }
  const statement: AttestationStatement = {
    version: 1,
    pubArea: source.hex('pubArea'),
    ...certificationFromJson(source),
    ak: publicPartFromJson(source.members('ak')),
    ...(source.value('creation') !== undefined && { creation: proofFromJson(source.members('creation')) }),
    ...(source.value('akCreation') !== undefined && { akCreation: proofFromJson(source.members('akCreation')) }),
    ...(source.value('ek') !== undefined && { ek: publicPartFromJson(source.members('ek')) }),
  };
  checkAgrees(source.all(), { ...encodeStatement(statement) }, '');
  return statement;
}

/**
 * Decodes a public area of a statement for `buildActivationChallenge` and `verifyEkCertificate`. @throws CodecError for
 * anything else.
 */
export function decodePublicArea(pubArea: Uint8Array): TpmtPublic {
  return decode(TPMT_PUBLIC, pubArea);
}

const publicKeyPem = (pubArea: Uint8Array): string => encodeSpkiPem(publicKeyOf(decode(TPMT_PUBLIC, pubArea)));

function publicPartToJson({ pubArea, certificates }: PublicPart): PublicPartJson {
  return {
    pubArea: toHex(pubArea),
    publicKey: publicKeyPem(pubArea),
    ...(certificates && { certificates: certificates.map(toBase64) }),
  };
}

function proofToJson({ creationData, certInfo, signature }: CreationProof): CreationProofJson {
  return { creationData: toHex(creationData), certInfo: toHex(certInfo), signature: toHex(signature) };
}

function publicPartFromJson(source: JsonMembers): PublicPart {
  const pubArea = source.hex('pubArea');
  if (source.value('certificates') === undefined) return { pubArea };
  return { pubArea, certificates: source.base64List('certificates') };
}

const proofFromJson = (source: JsonMembers): CreationProof => ({
  creationData: source.hex('creationData'),
  ...certificationFromJson(source),
});

const certificationFromJson = (source: JsonMembers): Certification => ({
  certInfo: source.hex('certInfo'),
  signature: source.hex('signature'),
});

/** Every member of `given` must be one of `expected`, with the same value. */
function checkAgrees(given: object, expected: object, path: string): void {
  const wanted = new Map<string, unknown>(Object.entries(expected));
  for (const [key, value] of Object.entries(given)) {
    const should = wanted.get(key);
    if (should === undefined) throw invalid(`${path}${key} is an unknown member`);
    if (typeof should === 'object' && should !== null) checkAgrees(Object(value), should, `${path}${key}.`);
    else if (value !== should) throw invalid(`${path}${key} does not match the structures`);
  }
}

const refuse: JsonRefusal = (where, problem, cause) =>
  new KeyprovError('statement-invalid', `${where}: ${problem}`, { cause });

const invalid = (problem: string, cause?: unknown, remedy?: string): KeyprovError =>
  new KeyprovError('statement-invalid', `attestation statement: ${problem}`, {
    cause,
    remedy,
  });
