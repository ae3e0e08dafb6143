import { type Bytes, checkObject, copy } from '../../bytes.ts';
import { DerNode } from '../../crypto/der-read.ts';
import { contextTag, sortedForSet, TAG } from '../../crypto/der-write.ts';
import type { DistinguishedName } from '../../crypto/distinguished-name.ts';
import { decodeSpki, encodeSpki, type PublicKey } from '../../crypto/public-key.ts';
import { verifySignature } from '../../crypto/verify-signature.ts';
import { EXTENSION } from '../../crypto/x509.ts';
import { readOr } from '../../errors.ts';
import { checkMembers } from '../../known-members.ts';
import type { SigningKey } from '../services/jws.ts';
import { type AlternativeName, decodeAlternativeNames } from './alternative-names.ts';
import { type Attribute, decodeAttribute, encodeAttribute, findAttribute } from './attributes.ts';
import { type DerQuirk, findDerQuirks } from './der-quirks.ts';
import { decodeExtensions, type Extension, encodeExtensions, subjectAltName } from './extensions.ts';
import { decodeName, encodeName } from './names.ts';
import { type SigningHash, signatureAlgorithmOf } from './signature-algorithm.ts';
import { asn1jsBlock, pkijsSigning } from './signing-engine.ts';

/** Content of a certificate request. */
export interface CertificateRequestOptions {
  /** May be empty if the alternative names are enough. */
  readonly subject: DistinguishedName;
  /** Requested as subjectAltName, which is critical if the subject is empty. */
  readonly alternativeNames?: readonly AlternativeName[] | undefined;
  /** Further requested extensions. */
  readonly extensions?: readonly Extension[] | undefined;
  readonly attributes?: readonly Attribute[] | undefined;
  /** Default: SHA-256; for P-384 SHA-384, for P-521 SHA-512. */
  readonly hash?: SigningHash | undefined;
}

/** extensionRequest of PKCS#9 (RFC 2985, 5.4.2), and the older one that Windows also writes. */
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const MICROSOFT_EXTENSION_REQUEST = '1.3.6.1.4.1.311.2.1.14';

/**
 * Builds a PKCS#10 certificate request in DER, with pkijs. RFC 2986.
 * @throws TypeError for a name, an extension or an attribute that cannot be written, or appears twice.
 * @throws KeyprovError `key-invalid` if `key` does not sign with its public key; errors of signing.
 *
 * @example
 * ```ts
 * import { buildCertificateRequest, buildCommonName, parseCertificateRequest } from 'keyprov/formats/x509';
 * import { type SigningKey, verifyCertificateRequest } from 'keyprov/formats/x509';
 *
 * declare const key: SigningKey;
 * const alternativeNames = [{ kind: 'dns', value: 'host.example' }] as const;
 * const der = await buildCertificateRequest({ subject: buildCommonName('host'), alternativeNames }, key);
 * console.log(verifyCertificateRequest(parseCertificateRequest(der))); // true
 * ```
 */
export async function buildCertificateRequest(options: CertificateRequestOptions, key: SigningKey): Promise<Bytes> {
  const members =
    'subject:objects alternativeNames:objects? extensions:objects? attributes:objects? hash:=sha256|sha384|sha512?';
  options = checkMembers('buildCertificateRequest', options, members);
  const { subject, alternativeNames = [], extensions = [], attributes = [] } = options;
  const names = alternativeNames.length > 0 ? [subjectAltName(alternativeNames, subject.length === 0)] : [];
  const asked = [...names, ...extensions];
  const all = [
    ...(asked.length > 0 ? [{ oid: EXTENSION_REQUEST, values: [encodeExtensions(asked)] }] : []),
    ...attributes,
  ];
  for (const list of [asked, all]) {
    const twice = list.find(({ oid }, i) => list.findIndex((one) => one.oid === oid) < i);
    if (twice !== undefined) throw new TypeError(`${twice.oid} appears twice`);
  }
  const pkijs = await import('pkijs');
  const signing = await pkijsSigning(key, options.hash);
  const encoded = sortedForSet(all.map(encodeAttribute));
  const request = new pkijs.CertificationRequest({
    version: 0,
    subject: new pkijs.RelativeDistinguishedNames({ valueBeforeDecode: encodeName(subject).buffer }),
    subjectPublicKeyInfo: pkijs.PublicKeyInfo.fromBER(encodeSpki(key.publicKey)),
    attributes: await Promise.all(encoded.map(async (der) => new pkijs.Attribute({ schema: await asn1jsBlock(der) }))),
  });
  await request.sign(signing.key, undefined, signing.engine);
  return new Uint8Array(request.toSchema(true).toBER());
}

/** The content of a PKCS#10 request, unverified: see {@link verifyCertificateRequest}. */
export interface CertificateRequest {
  readonly der: Bytes;
  /** The CertificationRequestInfo: the signed bytes. */
  readonly info: Bytes;
  readonly subject: DistinguishedName;
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Bytes;
  /** The key that the request is for; `undefined` for an unsupported key. */
  readonly publicKey: PublicKey | undefined;
  readonly attributes: readonly Attribute[];
  /** The requested extensions. */
  readonly extensions: readonly Extension[];
  /** The requested alternative names. */
  readonly alternativeNames: readonly AlternativeName[];
  /** OID, parameters in DER if any, and the bare signature. */
  readonly signature: { readonly algorithm: string; readonly parameters: Bytes | undefined; readonly value: Bytes };
  /** Violations of the standards; see {@link DerQuirk}. */
  readonly quirks: readonly DerQuirk[];
}

/**
 * Reads a PKCS#10 certificate request in DER, with attributes and names unchanged.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseCertificateRequest(der: Uint8Array): CertificateRequest {
  const [info, [oid, parameters], bits] = DerNode.lenient(der, 'certificate request').read(TAG.SEQUENCE, (outer) => [
    outer.next(TAG.SEQUENCE),
    outer.next().read(TAG.SEQUENCE, (algorithm) => [algorithm.next().oid(), algorithm.optional()]),
    outer.next(TAG.BIT_STRING),
  ]);
  if (bits.content[0] !== 0) throw bits.wrong('the signature is not a whole number of bytes');

  const parts = info.fields(TAG.SEQUENCE);
  const version = parts.next(TAG.INTEGER);
  if (version.content.length !== 1 || version.content[0] !== 0) throw version.wrong('its version is unknown');
  const subject = decodeName(parts.next());
  const spki = parts.next(TAG.SEQUENCE);
  // RFC 2986 requires the field, but some writers leave it out if there are no attributes.
  const list = parts.optional(contextTag(0, 'constructed'));
  parts.end();
  const attributes = list?.children().map(decodeAttribute) ?? [];
  const asked = [EXTENSION_REQUEST, MICROSOFT_EXTENSION_REQUEST].map((id) => findAttribute(attributes, id));
  const extensions = asked.flatMap((value) =>
    value === undefined ? [] : decodeExtensions(DerNode.lenient(value, 'extensions of a certificate request')),
  );
  const names = extensions.filter((one) => one.oid === EXTENSION.SUBJECT_ALT_NAME);
  return {
    der: copy(der),
    info: copy(info.der),
    subject,
    spki: copy(spki.der),
    publicKey: readOr(undefined, () => decodeSpki(spki.der), 'key-invalid'),
    attributes,
    extensions,
    alternativeNames: names.flatMap(({ value }) => decodeAlternativeNames(value)),
    signature: {
      algorithm: oid,
      parameters: parameters && copy(parameters.der),
      value: copy(bits.content.subarray(1)),
    },
    quirks: findDerQuirks(der),
  };
}

/**
 * Tells whether a request was signed with the private key of its public key, which proves that the sender has that key.
 * Accepts only RSASSA-PKCS1-v1_5 and ECDSA, with SHA-256 or longer.
 * @throws KeyprovError `key-invalid` for an invalid key, which {@link parseCertificateRequest} never returns.
 */
export function verifyCertificateRequest(request: CertificateRequest): boolean {
  checkObject(request, 'a certificate request', 'signature', 'info');
  const { algorithm: oid, parameters, value } = request.signature;
  const algorithm = signatureAlgorithmOf(oid);
  if (algorithm === undefined) return false;
  const isNull = parameters?.length === 2 && parameters[0] === TAG.NULL && parameters[1] === 0;
  // RFC 4055 demands NULL with RSA. Some requests lack it, and OpenSSL 3 and pkijs 4 accept them.
  if (parameters !== undefined && !(isNull && algorithm.kty === 'RSA')) return false;
  const key = request.publicKey;
  if (key === undefined || key.kty !== algorithm.kty) return false;
  return verifySignature(key, algorithm.hash, request.info, value, algorithm.format);
}
