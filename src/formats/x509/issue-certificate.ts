import { type Bytes, checkObject, copy } from '../../bytes.ts';
import { DerNode } from '../../crypto/der-read.ts';
import { contextTag, derOctets, derSequence, derUnsigned, derValue, TAG } from '../../crypto/der-write.ts';
import { digest } from '../../crypto/kdf.ts';
import { encodeSpki, type PublicKey } from '../../crypto/public-key.ts';
import { EXTENSION } from '../../crypto/x509.ts';
import { randomBytes } from '../../primitives.ts';
import type { SigningKey } from '../services/jws.ts';
import { decodeExtensions, type Extension } from './extensions.ts';
import type { SigningHash } from './signature-algorithm.ts';
import { pkijsSigning } from './signing-engine.ts';

/** Content of a certificate. Names are in DER, since an issuer's name must equal its subject byte for byte. */
export interface CertificateContent {
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly publicKey: PublicKey;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly extensions: readonly Extension[];
  /** A number of 1 to 20 bytes in DER, big endian, not zero. Default: 16 random bytes. */
  readonly serialNumber?: Uint8Array | undefined;
  /** Default: SHA-256; for P-384 SHA-384, for P-521 SHA-512. */
  readonly hash?: SigningHash | undefined;
}

/** A CA: its signing key, and its own certificate in DER. */
export interface CertificateAuthority {
  readonly key: SigningKey;
  readonly certificate: Uint8Array;
}

/**
 * Issues an X.509 certificate of version 3 in DER, with pkijs. RFC 5280, 4.1. Rounds times down to whole seconds.
 * @throws RangeError for a serial number or a time that cannot be written; KeyprovError `key-invalid` if `key` does not
 * sign with its public key; errors of signing.
 */
export async function issueCertificate(content: CertificateContent, key: SigningKey): Promise<Bytes> {
  const { issuer, subject, publicKey, notBefore, notAfter, extensions, serialNumber = randomSerial() } = content;
  const serial = DerNode.strict(derUnsigned(serialNumber), 'serial number').content;
  if (serial.length > 20 || serial.every((byte) => byte === 0)) {
    throw new RangeError('a serial number needs 1 to 20 bytes, and must not be zero');
  }
  const [pkijs, { Integer }] = await Promise.all([import('pkijs'), import('asn1js')]);
  const signing = await pkijsSigning(key, content.hash);
  const name = (der: Uint8Array) => new pkijs.RelativeDistinguishedNames({ valueBeforeDecode: copy(der).buffer });
  const time = (value: Date) =>
    new pkijs.Time({ value: wholeSeconds(value), type: value.getUTCFullYear() < 2050 ? 0 : 1 });
  const certificate = new pkijs.Certificate({
    version: 2,
    serialNumber: new Integer({ valueHex: copy(serial).buffer }),
    issuer: name(issuer),
    subject: name(subject),
    notBefore: time(notBefore),
    notAfter: time(notAfter),
    subjectPublicKeyInfo: pkijs.PublicKeyInfo.fromBER(encodeSpki(publicKey)),
    ...(extensions.length > 0 && {
      extensions: extensions.map(
        ({ oid, critical = false, value }) =>
          new pkijs.Extension({ extnID: oid, critical, extnValue: copy(value).buffer }),
      ),
    }),
  });
  await certificate.sign(signing.key, undefined, signing.engine);
  return new Uint8Array(certificate.toSchema(true).toBER());
}

/**
 * Issues a certificate under a CA. Its issuer is the CA's subject. Its authorityKeyIdentifier is the
 * CA's subjectKeyIdentifier, or computed from the CA's key if it has none. RFC 5280, 4.2.1.1. Throws as
 * {@link issueCertificate} does, and KeyprovError `request-invalid` if the CA's certificate is not one.
 */
export async function issueUnder(
  authority: CertificateAuthority,
  content: Omit<CertificateContent, 'issuer'>,
): Promise<Bytes> {
  const { key, certificate } = checkObject(authority, 'a CA', 'key', 'certificate:bytes');
  const { subject, spki, extensions } = readTbs(certificate);
  const own = extensions().find(({ oid }) => oid === EXTENSION.SUBJECT_KEY_ID);
  const id = own === undefined ? keyIdentifier(spki) : DerNode.lenient(own.value, 'subjectKeyIdentifier').octets();
  const keyId = derSequence(derValue(contextTag(0, 'primitive'), id));
  const authorityKeyId: Extension = { oid: EXTENSION.AUTHORITY_KEY_ID, value: keyId };
  const all = [...content.extensions, authorityKeyId];
  return await issueCertificate({ ...content, issuer: subject.der, extensions: all }, key);
}

/** subjectKeyIdentifier, for the certificate of a CA. RFC 5280, 4.2.1.2. */
export const subjectKeyId = (publicKey: PublicKey): Extension => ({
  oid: EXTENSION.SUBJECT_KEY_ID,
  value: derOctets(keyIdentifier(DerNode.strict(encodeSpki(publicKey), 'public key'))),
});

/** SHA-1 of the bits of the public key, only as an identifier. RFC 5280, 4.2.1.2, (1). */
function keyIdentifier(spki: DerNode): Bytes {
  const fields = spki.fields(TAG.SEQUENCE);
  fields.next();
  return digest('sha1', fields.next(TAG.BIT_STRING).content.subarray(1));
}

/** Parts of a certificate, unchanged. */
export interface TbsParts {
  /** 1, 2 or 3. */
  readonly version: number;
  readonly serialNumber: DerNode;
  readonly issuer: DerNode;
  readonly subject: DerNode;
  readonly spki: DerNode;
  /** Reads the extensions. */
  readonly extensions: () => readonly Extension[];
}

/**
 * Reads the parts of a certificate. RFC 5280, 4.1.
 * @throws KeyprovError `request-invalid` if it is not a certificate.
 */
export function readTbs(certificate: Uint8Array): TbsParts {
  const fields = DerNode.lenient(certificate, 'certificate').first(TAG.SEQUENCE).fields(TAG.SEQUENCE);
  const version = fields.optional(contextTag(0, 'constructed'))?.children()[0]?.natural() ?? 0;
  const serialNumber = fields.next(TAG.INTEGER);
  fields.next(TAG.SEQUENCE);
  const issuer = fields.next(TAG.SEQUENCE);
  fields.next(TAG.SEQUENCE);
  const [subject, spki] = [fields.next(TAG.SEQUENCE), fields.next(TAG.SEQUENCE)];
  const list = fields.rest().find(({ tag }) => tag === contextTag(3, 'constructed'));
  const extensions = () => list?.children().flatMap(decodeExtensions) ?? [];
  return { version: version + 1, serialNumber, issuer, subject, spki, extensions };
}

/** A random serial number: positive, and without padding in DER. */
function randomSerial(): Bytes {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

function wholeSeconds(value: Date): Date {
  const year = value.getUTCFullYear();
  if (!(year >= 1950 && year <= 9999)) throw new RangeError('the time must be a date from 1950 to 9999');
  return new Date(Math.floor(value.getTime() / 1000) * 1000);
}
