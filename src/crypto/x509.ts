import type { Certificate as PkijsCertificate } from 'pkijs';
import { type Bytes, equal } from '../bytes.ts';
import { isKeyprovError, KeyprovError } from '../errors.ts';
import { splitCertificates } from './certificate-bytes.ts';
import { isSignedWith, readSignature } from './certificate-signature.ts';
import type { DistinguishedName } from './distinguished-name.ts';
import type { GeneralName, NameConstraints } from './general-name.ts';
import type { HashName } from './kdf.ts';
import { decodePkcs1, decodeSpki, type PublicKey } from './public-key.ts';
import { X509Names } from './x509-names.ts';

/** The bits of a KeyUsage that matter here, by their number. RFC 5280, 4.2.1.3. */
export const KEY_USAGE = { digitalSignature: 0, keyEncipherment: 2, keyAgreement: 4, keyCertSign: 5 } as const;

/** What an X.509 certificate says. RFC 5280, 4.1. Nothing of it is true because it is there: see `verifyChain`. */
export interface Certificate {
  readonly der: Bytes;
  /** 1, 2 or 3. */
  readonly version: number;
  readonly issuer: DistinguishedName;
  readonly subject: DistinguishedName;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** The subject's key as SubjectPublicKeyInfo in DER. */
  readonly spki: Bytes;
  /** Hash of the signature; `undefined` for an algorithm that is not known here. */
  readonly signatureHash: HashName | undefined;
  /** OIDs of the extensions that must be understood. */
  readonly critical: readonly string[];
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | undefined } | undefined;
  /** Numbers of the bits that are set: see {@link KEY_USAGE}. */
  readonly keyUsage: ReadonlySet<number> | undefined;
  /** OIDs of the purposes. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly subjectAltNames: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | undefined;
  /** Values of the subjectDirectoryAttributes, each in DER, by OID. */
  readonly directoryAttributes: ReadonlyMap<string, readonly Bytes[]>;
  /** The subject's key. @throws KeyprovError `key-invalid` for anything but an RSA, P-256, P-384 or P-521 key. */
  publicKey(): PublicKey;
  /** Whether it was signed with the key of `issuer`; names are not compared. */
  isSignedBy(issuer: Certificate): boolean;
}

/** The extensions that {@link parseCertificate} reads. RFC 5280, 4.2.1. */
export const EXTENSION = {
  DIRECTORY_ATTRIBUTES: '2.5.29.9',
  KEY_USAGE: '2.5.29.15',
  SUBJECT_ALT_NAME: '2.5.29.17',
  BASIC_CONSTRAINTS: '2.5.29.19',
  NAME_CONSTRAINTS: '2.5.29.30',
  EXTENDED_KEY_USAGE: '2.5.29.37',
} as const;

/**
 * Reads one X.509 certificate in DER, with nothing before or behind it. pkijs is loaded at the first call.
 * @throws KeyprovError `certificate-invalid` for anything else, an extension that cannot be read, or one that comes twice.
 */
export async function parseCertificate(der: Uint8Array): Promise<Certificate> {
  const [only] = splitCertificates(der);
  if (only === undefined || !equal(only, der)) throw invalid('it is not one DER SEQUENCE');
  const [pkijs, asn1js] = await Promise.all([import('pkijs'), import('asn1js')]);
  try {
    return read(pkijs, asn1js, only);
  } catch (cause) {
    throw isKeyprovError(cause, 'certificate-invalid') ? cause : invalid('it cannot be read', cause);
  }
}

type Pkijs = typeof import('pkijs');
type Asn1js = typeof import('asn1js');

function read(pkijs: Pkijs, asn1js: Asn1js, der: Bytes): Certificate {
  const parsed = pkijs.Certificate.fromBER(der);
  const names = new X509Names(asn1js);
  const { extensions = [] } = parsed;
  // An engine of its own: the one that pkijs keeps for the whole process may be someone else's.
  const engine = new pkijs.CryptoEngine({ name: 'keyprov', crypto: globalThis.crypto });
  const signature = readSignature(der, {
    algorithm: parsed.signatureAlgorithm.algorithmId,
    hash: engine.getHashAlgorithm(parsed.signatureAlgorithm),
  });
  const ids = extensions.map(({ extnID }) => extnID);
  if (new Set(ids).size !== ids.length) throw invalid('an extension comes twice');

  const raw = (id: string): Uint8Array | undefined =>
    extensions.find(({ extnID }) => extnID === id)?.extnValue.valueBlock.valueHexView;
  const value = <T extends object>(id: string, type: new () => T): T | undefined => {
    const found = extensions.find(({ extnID }) => extnID === id);
    if (found === undefined) return undefined;
    const read: unknown = found.parsedValue;
    // pkijs gives an empty value with `parsingError` in place of one that it cannot read.
    if (!(read instanceof type) || 'parsingError' in read) throw invalid(`the extension ${id} cannot be read`);
    return read;
  };
  const basic = value(EXTENSION.BASIC_CONSTRAINTS, pkijs.BasicConstraints);
  const attributes = value(EXTENSION.DIRECTORY_ATTRIBUTES, pkijs.SubjectDirectoryAttributes)?.attributes ?? [];
  return {
    der,
    version: parsed.version + 1,
    issuer: names.name(parsed.issuer.valueBeforeDecode),
    subject: names.name(parsed.subject.valueBeforeDecode),
    notBefore: parsed.notBefore.value,
    notAfter: parsed.notAfter.value,
    spki: new Uint8Array(parsed.subjectPublicKeyInfo.toSchema().toBER()),
    signatureHash: signature.hash,
    critical: extensions.filter(({ critical }) => critical).map(({ extnID }) => extnID),
    basicConstraints: basic && { ca: basic.cA, pathLength: pathLength(basic.pathLenConstraint) },
    keyUsage: bits(value(EXTENSION.KEY_USAGE, asn1js.BitString)?.valueBlock.valueHexView),
    extendedKeyUsage: value(EXTENSION.EXTENDED_KEY_USAGE, pkijs.ExtKeyUsage)?.keyPurposes,
    subjectAltNames: names.alternativeNames(raw(EXTENSION.SUBJECT_ALT_NAME)),
    nameConstraints: names.constraints(raw(EXTENSION.NAME_CONSTRAINTS)),
    directoryAttributes: new Map(
      attributes.map(({ type, values }) => [type, values.map((one) => new Uint8Array(one.toBER()))]),
    ),
    publicKey: () => readPublicKey(parsed),
    isSignedBy: (issuer) => isSignedWith(issuer.publicKey, signature),
  };
}

function pathLength(value: number | object | undefined): number | undefined {
  if (typeof value === 'object' || (value ?? 0) < 0) throw invalid('its path length is not a number from 0 on');
  return value;
}

function bits(bytes: Uint8Array | undefined): ReadonlySet<number> | undefined {
  if (bytes === undefined) return undefined;
  const numbers = Array.from({ length: bytes.length * 8 }, (_, i) => i);
  return new Set(numbers.filter((i) => ((bytes[i >>> 3] ?? 0) & (0x80 >>> (i & 7))) !== 0));
}

/** Some certificates of endorsement keys name an RSA key by id-RSAES-OAEP (RFC 4055, 4.1): it is taken as any RSA key. */
const RSA_KEY = new Set(['1.2.840.113549.1.1.1', '1.2.840.113549.1.1.7']);

function readPublicKey({ subjectPublicKeyInfo: info }: PkijsCertificate): PublicKey {
  if (RSA_KEY.has(info.algorithm.algorithmId)) return decodePkcs1(info.subjectPublicKey.valueBlock.valueHexView);
  return decodeSpki(new Uint8Array(info.toSchema().toBER()));
}

const invalid = (problem: string, cause?: unknown): KeyprovError =>
  new KeyprovError('certificate-invalid', `X.509 certificate: ${problem}`, { cause });
