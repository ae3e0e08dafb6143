import type { AttestationStatement, Certification, CreationProof, PublicPart } from '../../attestation/statement.ts';
import { type Bytes, checkObject, toBase64 } from '../../bytes.ts';
import { JsonMembers, showJson } from '../../json.ts';
import { type Codec, decode } from '../../tpm/codec/index.ts';
import { TPMT_SIGNATURE } from '../../tpm/structures/algorithm.ts';
import { TPMS_ATTEST } from '../../tpm/structures/attest.ts';
import { TPMS_CREATION_DATA, TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';

/** AttestationParameters of google/go-attestation as its JSON: base64 of TPM structures without lengths. */
export interface GoAttestationParameters {
  /** TPMT_PUBLIC of the attestation key. */
  readonly Public: string;
  /** For TPM 1.2 only. */
  readonly UseTCSDActivationFormat: false;
  /** TPMS_CREATION_DATA. */
  readonly CreateData: string;
  /** TPMS_ATTEST of TPM2_CertifyCreation of the attestation key by itself. */
  readonly CreateAttestation: string;
  /** TPMT_SIGNATURE over it. */
  readonly CreateSignature: string;
}

/** CertificationParameters of google/go-attestation as its JSON. */
export interface GoCertificationParameters {
  /** TPMT_PUBLIC of the certified key. */
  readonly Public: string;
  readonly CreateData: null;
  /** TPMS_ATTEST of TPM2_Certify. */
  readonly CreateAttestation: string;
  /** TPMT_SIGNATURE over it. */
  readonly CreateSignature: string;
}

/** Quote of google/go-attestation as its JSON. */
export interface GoQuote {
  /** 2 for TPM 2.0. Newer versions of go-attestation ignore this member. */
  readonly Version: 2;
  /** TPMS_ATTEST of TPM2_Quote. */
  readonly Quote: string;
  /** TPMT_SIGNATURE over it. */
  readonly Signature: string;
}

/** A key with its creation proof. */
export type CreatedKey = Pick<PublicPart, 'pubArea'> & CreationProof;
/** A key with its certification. */
export type CertifiedKey = Pick<PublicPart, 'pubArea'> & Certification;

/**
 * Builds the AttestationParameters of an attestation key with its creation proof.
 * @throws TypeError if a part is missing.
 *
 * @example
 * ```ts
 * import { verifyAttestationKey } from 'keyprov/attestation';
 * import { buildGoAttestationParameters, parseGoAttestationParameters } from 'keyprov/formats/services';
 * import type { CreatedKey } from 'keyprov/formats/services';
 *
 * declare const ak: CreatedKey;
 * const created = parseGoAttestationParameters(JSON.stringify(buildGoAttestationParameters(ak)));
 * console.log(verifyAttestationKey(created.pubArea, created).ok);
 * ```
 */
export function buildGoAttestationParameters(ak: CreatedKey): GoAttestationParameters {
  checkObject(ak, 'an attestation key', 'pubArea:bytes', 'creationData:bytes', 'certInfo:bytes', 'signature:bytes');
  return {
    Public: toBase64(ak.pubArea),
    UseTCSDActivationFormat: false,
    CreateData: toBase64(ak.creationData),
    CreateAttestation: toBase64(ak.certInfo),
    CreateSignature: toBase64(ak.signature),
  };
}

/**
 * Reads AttestationParameters, as text or parsed JSON. Nothing is verified: see `verifyAttestationKey`.
 * @throws KeyprovError `request-invalid` for anything else, including a key of TPM 1.2.
 */
export function parseGoAttestationParameters(json: unknown): CreatedKey {
  const what = 'go-attestation AttestationParameters';
  const names = ['Public', 'UseTCSDActivationFormat', 'CreateData', 'CreateAttestation', 'CreateSignature'];
  const object = JsonMembers.parse(what, json, requestInvalid, names);
  if (object.value('UseTCSDActivationFormat') !== false) throw object.wrong('UseTCSDActivationFormat', 'not false');
  return {
    pubArea: structure(object, 'Public', TPMT_PUBLIC),
    creationData: structure(object, 'CreateData', TPMS_CREATION_DATA),
    ...certification(object, 'CreateAttestation', 'CreateSignature'),
  };
}

/**
 * Builds the CertificationParameters of a certified key, such as an `AttestationStatement`.
 * @throws TypeError if a part is missing.
 *
 * @example
 * ```ts
 * import type { AttestationStatement } from 'keyprov/attestation';
 * import { buildGoCertificationParameters, parseGoCertificationParameters } from 'keyprov/formats/services';
 * import { statementFromGoCertification } from 'keyprov/formats/services';
 *
 * declare const statement: AttestationStatement;
 * const certified = parseGoCertificationParameters(JSON.stringify(buildGoCertificationParameters(statement)));
 * console.log(statementFromGoCertification(certified, statement.ak).certInfo.length);
 * ```
 */
export function buildGoCertificationParameters(key: CertifiedKey): GoCertificationParameters {
  const { pubArea, certInfo, signature } = checkObject(key, 'a certified key', 'pubArea', 'certInfo', 'signature');
  return {
    Public: toBase64(pubArea),
    CreateData: null,
    CreateAttestation: toBase64(certInfo),
    CreateSignature: toBase64(signature),
  };
}

/**
 * Reads CertificationParameters, as text or parsed JSON. Nothing is verified.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseGoCertificationParameters(json: unknown): CertifiedKey {
  const what = 'go-attestation CertificationParameters';
  const object = JsonMembers.parse(what, json, requestInvalid, [
    'Public',
    'CreateData',
    'CreateAttestation',
    'CreateSignature',
  ]);
  if (object.has('CreateData')) throw object.wrong('CreateData', 'not null');
  return {
    pubArea: structure(object, 'Public', TPMT_PUBLIC),
    ...certification(object, 'CreateAttestation', 'CreateSignature'),
  };
}

/**
 * The statement in CertificationParameters, for `verifyStatement` and `verifyEvidence`. `ak` is the attestation key,
 * known from its AttestationParameters.
 * @throws TypeError for an argument of another kind.
 */
export function statementFromGoCertification(key: CertifiedKey, ak: PublicPart): AttestationStatement {
  checkObject(key, 'the certified key', 'pubArea:bytes', 'certInfo:bytes', 'signature:bytes');
  checkObject(ak, 'the attestation key', 'pubArea:bytes');
  return { version: 1, pubArea: key.pubArea, certInfo: key.certInfo, signature: key.signature, ak };
}

/**
 * Builds the Quote of a TPM2_Quote.
 * @throws TypeError if a part is missing.
 *
 * @example
 * ```ts
 * import type { Certification } from 'keyprov/attestation';
 * import { buildGoQuote, parseGoQuote } from 'keyprov/formats/services';
 *
 * declare const quote: Certification; // from TPM2_Quote
 * console.log(parseGoQuote(JSON.stringify(buildGoQuote(quote))).certInfo.length);
 * ```
 */
export function buildGoQuote(quote: Certification): GoQuote {
  const { certInfo, signature } = checkObject(quote, 'a quote', 'certInfo', 'signature');
  return { Version: 2, Quote: toBase64(certInfo), Signature: toBase64(signature) };
}

/**
 * Reads a Quote, as text or parsed JSON. `Version` may be missing. Nothing is verified.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseGoQuote(json: unknown): Certification {
  const object = JsonMembers.parse('go-attestation Quote', json, requestInvalid, ['Version', 'Quote', 'Signature']);
  const version = object.value('Version') ?? 2;
  if (version !== 2) throw requestInvalid('go-attestation Quote: Version', `${showJson(version)}, not 2 (TPM 2.0)`);
  return certification(object, 'Quote', 'Signature');
}

const certification = (object: JsonMembers, certInfo: string, signature: string): Certification => ({
  certInfo: structure(object, certInfo, TPMS_ATTEST),
  signature: structure(object, signature, TPMT_SIGNATURE),
});

/** Reads the bytes of a TPM structure from a base64 member. */
function structure<T>(object: JsonMembers, name: string, codec: Codec<T>): Bytes {
  const bytes = object.base64(name);
  inRequest(`go-attestation ${name}`, () => decode(codec, bytes));
  return bytes;
}
