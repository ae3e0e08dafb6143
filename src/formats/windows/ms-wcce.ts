import { type Bytes, checkObject, copy, equal } from '../../bytes.ts';
import { DerNode } from '../../crypto/der-read.ts';
import { DER_NULL, derOctets, derOid, derSequence, derText, TAG } from '../../crypto/der-write.ts';
import { digest } from '../../crypto/kdf.ts';
import { decodeSpki, encodeSpki, type PublicKey } from '../../crypto/public-key.ts';
import { checkMembers } from '../../known-members.ts';
import { type Attribute, findAttribute } from '../x509/attributes.ts';
import {
  buildEnvelope,
  ENVELOPE_MEMBERS,
  type Envelope,
  type EnvelopeOptions,
  parseEnvelope,
} from '../x509/enveloped-data.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';

/** OIDs of the attributes of a request with key attestation, and of the response to it. MS-WCCE 2.2.2.7, 2.2.2.8.1. */
export const ENROLL = {
  EK_INFO: '1.3.6.1.4.1.311.21.23',
  /** The OID in the Windows SDK's wincrypt.h, and in Windows' own requests. In wincrypt.h, .33 has another meaning. */
  ATTESTATION_STATEMENT_SDK: '1.3.6.1.4.1.311.21.24',
  KSP_NAME: '1.3.6.1.4.1.311.21.25',
  CAXCHGCERT_HASH: '1.3.6.1.4.1.311.21.27',
  ATTESTATION_CHALLENGE: '1.3.6.1.4.1.311.21.28',
  ENCRYPTION_ALGORITHM: '1.3.6.1.4.1.311.21.29',
  /** The OID in MS-WCCE. */
  ATTESTATION_STATEMENT: '1.3.6.1.4.1.311.21.33',
  AIK_INFO: '1.3.6.1.4.1.311.21.39',
} as const;

/** The provider that AD CS demands for an attested key. */
export const PLATFORM_KSP = 'Microsoft Platform Crypto Provider';

/** EndorsementKeyInfo, MS-WCCE 2.2.2.7.12: the endorsement key, and its certificates in DER. */
export interface EndorsementKeyInfo {
  readonly publicKey: PublicKey;
  /** From the maker of the TPM. */
  readonly manufacturerCertificate?: Uint8Array;
  /** From other issuers, at most three. */
  readonly otherCertificates?: readonly Uint8Array[];
}

/**
 * EndorsementKeyInfo in DER.
 * @throws RangeError for more than three other certificates.
 *
 * @example
 * ```ts
 * import { decodeEndorsementKeyInfo, encodeEndorsementKeyInfo } from 'keyprov/formats/windows';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const [publicKey, manufacturerCertificate]: [PublicKey, Uint8Array]; // the endorsement key's
 * const der = encodeEndorsementKeyInfo({ publicKey, manufacturerCertificate });
 * console.log(decodeEndorsementKeyInfo(der).publicKey.kty);
 * ```
 */
export function encodeEndorsementKeyInfo(info: EndorsementKeyInfo): Bytes {
  checkObject(info, 'an endorsement key', 'publicKey', 'otherCertificates:list?');
  const { publicKey, manufacturerCertificate = DER_NULL, otherCertificates = [] } = info;
  if (otherCertificates.length > 3)
    throw new RangeError('there can be at most three certificates from issuers other than the manufacturer');
  return derSequence(encodeSpki(publicKey), manufacturerCertificate, ...otherCertificates);
}

/** The inverse of {@link encodeEndorsementKeyInfo}. @throws KeyprovError `request-invalid` for anything else. */
export function decodeEndorsementKeyInfo(der: Uint8Array): EndorsementKeyInfo {
  const node = DerNode.lenient(der, 'EndorsementKeyInfo');
  const [spki, manufacturer, ...others] = node.list(TAG.SEQUENCE);
  if (spki === undefined || manufacturer === undefined || others.length > 3)
    throw node.wrong('it must have 2 to 5 parts');
  const isMissing = equal(manufacturer.der, DER_NULL);
  return {
    publicKey: inRequest(node.what, () => decodeSpki(spki.der)),
    ...(!isMissing && { manufacturerCertificate: copy(manufacturer.expect(TAG.SEQUENCE).der) }),
    otherCertificates: others.map((one) => copy(one.expect(TAG.SEQUENCE).der)),
  };
}

/** AttestationIdentityKeyInfo, MS-WCCE 2.2.2.7.15: the attestation key, and its certificate in DER. */
export interface AttestationKeyInfo {
  readonly publicKey: PublicKey;
  readonly certificate?: Uint8Array;
}

/**
 * AttestationIdentityKeyInfo in DER.
 * @throws KeyprovError `key-invalid` for an invalid key.
 *
 * @example
 * ```ts
 * import { decodeAttestationKeyInfo, encodeAttestationKeyInfo } from 'keyprov/formats/windows';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const publicKey: PublicKey; // the attestation key's
 * console.log(decodeAttestationKeyInfo(encodeAttestationKeyInfo({ publicKey })).certificate); // undefined
 * ```
 */
export function encodeAttestationKeyInfo(info: AttestationKeyInfo): Bytes {
  const { publicKey, certificate } = checkObject(info, 'an attestation key', 'publicKey');
  return derSequence(encodeSpki(publicKey), ...(certificate === undefined ? [] : [certificate]));
}

/** The inverse of {@link encodeAttestationKeyInfo}. @throws KeyprovError `request-invalid` for anything else. */
export function decodeAttestationKeyInfo(der: Uint8Array): AttestationKeyInfo {
  const node = DerNode.lenient(der, 'AttestationIdentityKeyInfo');
  return node.read(TAG.SEQUENCE, (fields) => {
    const publicKey = inRequest(node.what, () => decodeSpki(fields.next().der));
    const certificate = fields.optional(TAG.SEQUENCE);
    return { publicKey, ...(certificate !== undefined && { certificate: copy(certificate.der) }) };
  });
}

/** Content of a request with key attestation, besides the key. */
export interface WcceRequestOptions extends EnvelopeOptions {
  /** A KeyAttestationStatement ("KAST"): a claim of authority and subject with `ek`, of the subject only with `aik`. */
  readonly kast: Uint8Array;
  /**
   * How the CA recognizes the TPM: by the endorsement key, which it challenges, or by the certified attestation key.
   */
  readonly keyInfo: { readonly ek: EndorsementKeyInfo } | { readonly aik: AttestationKeyInfo };
  /**
   * The CA exchange certificate in DER. The caller has verified it: its chain, and its purpose CA_EXCHANGE
   * (1.3.6.1.4.1.311.21.5) or PRIVACY_CA (1.3.6.1.4.1.311.21.36).
   */
  readonly exchangeCertificate: Uint8Array;
  /** Default `Microsoft Platform Crypto Provider`, which AD CS demands. */
  readonly kspName?: string | undefined;
  /** The statement's OID: from MS-WCCE (default), or from the Windows SDK. */
  readonly statementOid?: typeof ENROLL.ATTESTATION_STATEMENT | typeof ENROLL.ATTESTATION_STATEMENT_SDK | undefined;
}

/**
 * Builds the attributes of a certificate request with key attestation to AD CS. MS-WCCE 3.1.1.4.3.4.
 * @throws KeyprovError `request-invalid` for an unusable exchange certificate; RangeError for more than three other
 * certificates of the endorsement key.
 *
 * @example
 * ```ts
 * import { buildWcceAttributes, parseWcceAttributes } from 'keyprov/formats/windows';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const [kast, exchangeCertificate, ekKey]: [Uint8Array, Uint8Array, PublicKey];
 * const attributes = buildWcceAttributes({ kast, keyInfo: { ek: { publicKey: ekKey } }, exchangeCertificate });
 * console.log(parseWcceAttributes(attributes).ekInfo?.contentEncryption);
 * ```
 */
export function buildWcceAttributes(options: WcceRequestOptions): Attribute[] {
  options = checkMembers(
    'buildWcceAttributes',
    options,
    'kast:bytes keyInfo exchangeCertificate:bytes kspName:text? statementOid:=1.3.6.1.4.1.311.21.33|1.3.6.1.4.1.311.21.24?',
    ENVELOPE_MEMBERS,
  );
  const { kast, keyInfo, exchangeCertificate, statementOid, kspName = PLATFORM_KSP, ...encryption } = options;
  checkObject(keyInfo, 'keyInfo');
  const [oid, info] =
    'ek' in keyInfo
      ? [ENROLL.EK_INFO, encodeEndorsementKeyInfo(keyInfo.ek)]
      : [ENROLL.AIK_INFO, encodeAttestationKeyInfo(keyInfo.aik)];
  return [
    { oid, values: [buildEnvelope(info, exchangeCertificate, encryption)] },
    { oid: statementOid ?? ENROLL.ATTESTATION_STATEMENT, values: [derOctets(kast)] },
    { oid: ENROLL.KSP_NAME, values: [derText('bmp', kspName)] },
  ];
}

/** A CA's response to a request with an endorsement key. MS-WCCE 2.2.2.8.1. */
export interface WcceChallenge {
  /** The SHA-1 of its exchange certificate. */
  readonly exchangeCertificateHash: Uint8Array;
  /** The credential for the TPM to decrypt. */
  readonly challenge: Uint8Array;
  /** OID of the cipher of the envelope in which to return the secret. */
  readonly encryptionAlgorithm: string;
}

/**
 * Builds the attributes of a CA's response to a request with an endorsement key. MS-WCCE 2.2.2.8.1.
 * @throws TypeError if `encryptionAlgorithm` is not an object identifier.
 *
 * @example
 * ```ts
 * import { buildWcceChallenge, computeExchangeCertificateHash } from 'keyprov/formats/windows';
 * import { encodeContentEncryption } from 'keyprov/formats/x509';
 *
 * declare const [exchangeCertificate, challenge]: [Uint8Array, Uint8Array]; // challenge: from encodeTachChallenge
 * const exchangeCertificateHash = computeExchangeCertificateHash(exchangeCertificate);
 * const encryptionAlgorithm = encodeContentEncryption('aes-256-cbc');
 * console.log(buildWcceChallenge({ exchangeCertificateHash, challenge, encryptionAlgorithm }).length); // attributes: 3
 * ```
 */
export function buildWcceChallenge(content: WcceChallenge): Attribute[] {
  checkObject(content, 'a challenge', 'exchangeCertificateHash', 'challenge', 'encryptionAlgorithm');
  const { exchangeCertificateHash, challenge, encryptionAlgorithm } = content;
  return [
    { oid: ENROLL.CAXCHGCERT_HASH, values: [derOctets(exchangeCertificateHash)] },
    { oid: ENROLL.ATTESTATION_CHALLENGE, values: [derOctets(challenge)] },
    { oid: ENROLL.ENCRYPTION_ALGORITHM, values: [derOid(encryptionAlgorithm)] },
  ];
}

/** The SHA-1 that identifies an exchange certificate. */
export const computeExchangeCertificateHash = (certificate: Uint8Array): Bytes => digest('sha1', certificate);

/** The attributes of a request or a response. A part is present if its attribute is. */
export interface WcceAttributes extends Partial<WcceChallenge> {
  /** The KeyAttestationStatement, for `decodeKast`. */
  readonly kast?: Bytes;
  readonly kspName?: string;
  /** Holds an {@link EndorsementKeyInfo}. */
  readonly ekInfo?: Envelope;
  /** Holds an {@link AttestationKeyInfo}. */
  readonly aikInfo?: Envelope;
}

/**
 * Reads the attributes of a request with key attestation, or of the response to it, and ignores other attributes.
 * Accepts the statement with either OID.
 * @throws KeyprovError `request-invalid` if one cannot be read or appears twice.
 */
export function parseWcceAttributes(attributes: readonly Attribute[]): WcceAttributes {
  const node = (oid: string): DerNode | undefined => {
    const value = findAttribute(attributes, oid);
    return value && DerNode.lenient(value, `attribute ${oid}`);
  };
  const statements = [node(ENROLL.ATTESTATION_STATEMENT), node(ENROLL.ATTESTATION_STATEMENT_SDK)].filter(
    (one) => one !== undefined,
  );
  if (statements.length > 1) throw requestInvalid('attestation statement', 'there are two, but one is expected');
  const kast = statements[0]?.octets();
  const ksp = node(ENROLL.KSP_NAME);
  const ekInfo = node(ENROLL.EK_INFO);
  const aikInfo = node(ENROLL.AIK_INFO);
  const hash = node(ENROLL.CAXCHGCERT_HASH)?.octets();
  const challenge = node(ENROLL.ATTESTATION_CHALLENGE)?.octets();
  const algorithm = node(ENROLL.ENCRYPTION_ALGORITHM);
  return {
    ...(kast && { kast }),
    ...(ksp && { kspName: nameIn(ksp) }),
    ...(ekInfo && { ekInfo: parseEnvelope(ekInfo.der) }),
    ...(aikInfo && { aikInfo: parseEnvelope(aikInfo.der) }),
    ...(hash && { exchangeCertificateHash: hash }),
    ...(challenge && { challenge }),
    // wincrypt.h says that it is an OID. MS-WCCE does not say, so an AlgorithmIdentifier is accepted too.
    ...(algorithm && {
      encryptionAlgorithm: (algorithm.tag === TAG.SEQUENCE ? algorithm.first(TAG.SEQUENCE) : algorithm).oid(),
    }),
  };
}

/** Reads the name. wincrypt.h says that it ends with a NUL, which some writers may take literally. */
function nameIn(node: DerNode): string {
  const text = node.text();
  if (text === undefined) throw node.wrong('the provider name is not a string');
  return text.replace(/\0$/, '');
}
