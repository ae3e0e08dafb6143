import { type Bytes, copy } from '../bytes.ts';
import { isKeyprovError, KeyprovError, rethrowAs } from '../errors.ts';
import { checkSize, LIMIT } from '../limits.ts';
import { type CertificateSignature, isSignedWith, readSignature } from './certificate-signature.ts';
import { type DerFields, DerNode } from './der-read.ts';
import { contextTag, TAG } from './der-write.ts';
import type { DistinguishedName } from './distinguished-name.ts';
import type { GeneralName, NameConstraints } from './general-name.ts';
import type { HashName } from './kdf.ts';
import { decodePkcs1, decodeSpki, type PublicKey } from './public-key.ts';
import { readAlternativeNames, readName, readNameConstraints } from './x509-names.ts';

/** The numbers of the KeyUsage bits in use. RFC 5280, 4.2.1.3. */
export const KEY_USAGE = { digitalSignature: 0, keyEncipherment: 2, keyAgreement: 4, keyCertSign: 5 } as const;

/** A parsed X.509 certificate. RFC 5280, 4.1. Trust nothing in it before `verifyChain`. */
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
  /** Hash of the signature; `undefined` for an unknown algorithm. */
  readonly signatureHash: HashName | undefined;
  /** OIDs of the critical extensions. */
  readonly critical: readonly string[];
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | undefined } | undefined;
  /** Numbers of the bits that are set, such as 0 for digitalSignature and 5 for keyCertSign. RFC 5280, 4.2.1.3. */
  readonly keyUsage: ReadonlySet<number> | undefined;
  /** OIDs of the purposes. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly subjectAltNames: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | undefined;
  /** Identifier of its own key, for certificates below it. RFC 5280, 4.2.1.2. */
  readonly subjectKeyId: Bytes | undefined;
  /** Identifier of the key of its issuer, which is only a hint. RFC 5280, 4.2.1.1. */
  readonly authorityKeyId: Bytes | undefined;
  /** Values of the subjectDirectoryAttributes, each in DER, by OID. */
  readonly directoryAttributes: ReadonlyMap<string, readonly Bytes[]>;
  /** The subject's key. @throws KeyprovError `key-invalid` for anything but an RSA, P-256, P-384 or P-521 key. */
  publicKey(): PublicKey;
  /** Whether the key of `issuer` signed it. Does not compare names. */
  isSignedBy(issuer: Certificate): boolean;
}

/** The extensions that {@link parseCertificate} reads. RFC 5280, 4.2.1. */
export const EXTENSION = {
  DIRECTORY_ATTRIBUTES: '2.5.29.9',
  SUBJECT_KEY_ID: '2.5.29.14',
  KEY_USAGE: '2.5.29.15',
  SUBJECT_ALT_NAME: '2.5.29.17',
  BASIC_CONSTRAINTS: '2.5.29.19',
  NAME_CONSTRAINTS: '2.5.29.30',
  AUTHORITY_KEY_ID: '2.5.29.35',
  EXTENDED_KEY_USAGE: '2.5.29.37',
} as const;

/**
 * Reads exactly one X.509 certificate in DER.
 * @throws KeyprovError `certificate-invalid` for anything else, an unreadable or repeated extension, more than 64 KiB, or
 * more than 1024 names.
 */
export async function parseCertificate(der: Uint8Array): Promise<Certificate> {
  if (typeof der === 'string') {
    throw new TypeError(
      'X.509 certificate: it must be a Uint8Array in DER, not a string; for PEM, pass new X509Certificate(pem).raw of ' +
        'node:crypto, or for CA certificates call loadTpmRoots(file) of keyprov/registration',
    );
  }
  checkSize(der, LIMIT.certificate, invalid);
  return reading('it', () => read(copy(der)));
}

/** Runs `work`, and gives its errors the code for certificates. */
function reading<T>(what: string, work: () => T): T {
  return rethrowAs(work, (cause) =>
    isKeyprovError(cause) && cause.code !== 'certificate-invalid'
      ? invalid(`${what} cannot be read: ${cause.message}`, cause)
      : undefined,
  );
}

function read(der: Bytes): Certificate {
  const signature = readSignature(der);
  // Accepts longer forms of lengths inside the signed bytes, because some makers wrote them.
  const fields = new DerNode('lenient', signature.tbs, 'certificate').fields(TAG.SEQUENCE);
  const version = fields.optional(contextTag(0, 'constructed'))?.first(contextTag(0, 'constructed')).natural() ?? 0;
  fields.next(TAG.INTEGER);
  fields.next(TAG.SEQUENCE);
  const issuer = readName(fields.next());
  const [notBefore, notAfter] = fields
    .next()
    .read(TAG.SEQUENCE, (times) => [readTime(times.next()), readTime(times.next())] as const);
  const subject = readName(fields.next());
  const spki = copy(fields.next(TAG.SEQUENCE).der);
  const extensions = readExtensions(fields);
  const value = <T>(id: string, from: (value: DerNode) => T): T | undefined => {
    const found = extensions.get(id);
    return found && reading(`the extension ${id}`, () => from(DerNode.lenient(found.value, 'its value')));
  };
  return {
    der,
    version: version + 1,
    issuer,
    subject,
    notBefore,
    notAfter,
    spki,
    signatureHash: signature.hash,
    critical: [...extensions].filter(([, { critical }]) => critical).map(([id]) => id),
    basicConstraints: value(EXTENSION.BASIC_CONSTRAINTS, readBasicConstraints),
    keyUsage: value(EXTENSION.KEY_USAGE, readBits),
    extendedKeyUsage: value(EXTENSION.EXTENDED_KEY_USAGE, (list) => list.list(TAG.SEQUENCE).map((one) => one.oid())),
    subjectAltNames: value(EXTENSION.SUBJECT_ALT_NAME, readAlternativeNames) ?? [],
    nameConstraints: value(EXTENSION.NAME_CONSTRAINTS, readNameConstraints),
    subjectKeyId: value(EXTENSION.SUBJECT_KEY_ID, (id) => id.octets()),
    authorityKeyId: value(EXTENSION.AUTHORITY_KEY_ID, readAuthorityKeyId),
    directoryAttributes: value(EXTENSION.DIRECTORY_ATTRIBUTES, readAttributes) ?? new Map(),
    publicKey: () => readPublicKey(spki),
    isSignedBy: (other) => isSignedWith(() => keyFor(signature, other), signature),
  };
}

interface RawExtension {
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/** The extensions, which unique identifiers may precede. RFC 5280, 4.1. */
function readExtensions(fields: DerFields): ReadonlyMap<string, RawExtension> {
  fields.optional(contextTag(1, 'primitive'));
  fields.optional(contextTag(2, 'primitive'));
  const tag = contextTag(3, 'constructed');
  const list = fields.optional(tag)?.first(tag).list(TAG.SEQUENCE) ?? [];
  fields.end();
  const extensions = new Map<string, RawExtension>();
  for (const one of list) {
    const parts = one.fields(TAG.SEQUENCE);
    const id = parts.next().oid();
    const critical = parts.optional(TAG.BOOLEAN)?.boolean() ?? false;
    if (extensions.has(id)) throw invalid('an extension appears twice');
    extensions.set(id, { critical, value: parts.next(TAG.OCTET_STRING).content });
    parts.end();
  }
  return extensions;
}

/** A time in the only form for certificates: to the second, in UTC. RFC 5280, 4.1.2.5. */
function readTime(node: DerNode): Date {
  const text = new TextDecoder().decode(node.content);
  const century = node.tag === TAG.UTC_TIME ? (text < '5' ? '20' : '19') : '';
  const [, year, month, day, hours, minutes, seconds] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(`${century}${text}`) ?? [];
  const iso = `${year}-${month}-${day}T${hours}:${minutes}:${seconds}.000Z`;
  const time = new Date(iso);
  const isTime = node.tag === TAG.UTC_TIME || node.tag === TAG.GENERALIZED_TIME;
  if (!isTime || Number.isNaN(time.getTime()) || time.toISOString() !== iso) throw node.wrong('a time is malformed');
  return time;
}

function readBasicConstraints(node: DerNode): Certificate['basicConstraints'] {
  return node.read(TAG.SEQUENCE, (fields) => ({
    ca: fields.optional(TAG.BOOLEAN)?.boolean() ?? false,
    pathLength: fields.optional(TAG.INTEGER)?.natural(),
  }));
}

/** The numbers of the set bits, up to bit 31. */
function readBits(node: DerNode): ReadonlySet<number> {
  const [unused = 8, ...bytes] = node.expect(TAG.BIT_STRING).content.subarray(0, 1 + 4);
  if (unused > 7) throw node.wrong('a BIT STRING is malformed');
  const numbers = Array.from({ length: bytes.length * 8 }, (_, i) => i);
  return new Set(numbers.filter((i) => ((bytes[i >>> 3] ?? 0) & (0x80 >>> (i & 7))) !== 0));
}

function readAuthorityKeyId(node: DerNode): Bytes | undefined {
  const id = node.fields(TAG.SEQUENCE).optional(contextTag(0, 'primitive'));
  return id && copy(id.content);
}

function readAttributes(node: DerNode): ReadonlyMap<string, readonly Bytes[]> {
  const values = (set: DerNode): Bytes[] => set.list(TAG.SET).map(({ der }) => copy(der));
  const attributes = node
    .list(TAG.SEQUENCE)
    .map((one) => one.read(TAG.SEQUENCE, (fields) => [fields.next().oid(), values(fields.next())] as const));
  return new Map(attributes);
}

/**
 * Some certificates name an RSA key by id-RSAES-OAEP (RFC 4055, 4.1) or id-RSASSA-PSS (3.1). Both are read as RSA keys, but
 * the latter verifies only PSS signatures.
 */
const PSS_KEY = '1.2.840.113549.1.1.10';
const RSA_KEY = new Set(['1.2.840.113549.1.1.1', '1.2.840.113549.1.1.7', PSS_KEY]);

/** The key of the issuer, if it may verify that signature. @throws KeyprovError `key-invalid` */
function keyFor({ format }: CertificateSignature, { spki, publicKey }: Certificate): PublicKey {
  const key = publicKey();
  const algorithm = DerNode.strict(spki, 'SPKI').fields(TAG.SEQUENCE).next().first(TAG.SEQUENCE).oid();
  if (algorithm !== PSS_KEY || format === 'pss') return key;
  throw new KeyprovError('key-invalid', 'certificate: its issuer has a key for RSASSA-PSS only');
}

function readPublicKey(spki: Bytes): PublicKey {
  const parts = DerNode.strict(spki, 'SPKI').fields(TAG.SEQUENCE);
  if (!RSA_KEY.has(parts.next().first(TAG.SEQUENCE).oid())) return decodeSpki(spki);
  const { content } = parts.next(TAG.BIT_STRING);
  parts.end();
  if (content[0] !== 0) throw new KeyprovError('key-invalid', 'SPKI: the key is not a whole number of bytes');
  return decodePkcs1(content.subarray(1));
}

const invalid = (problem: string, cause?: unknown): KeyprovError =>
  new KeyprovError('certificate-invalid', `X.509 certificate: ${problem}`, { cause });
