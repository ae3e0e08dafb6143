import { constants, createCipheriv, createDecipheriv, publicEncrypt, randomBytes } from 'node:crypto';
import { type Bytes, checkBytes, checkObject, concat, copy, view, wipe } from '../../bytes.ts';
import { DerNode } from '../../crypto/der-read.ts';
import {
  contextTag,
  DER_NULL,
  derExplicit,
  derInteger,
  derOctets,
  derOid,
  derSequence,
  derSetOf,
  derValue,
  TAG,
} from '../../crypto/der-write.ts';
import type { DistinguishedName } from '../../crypto/distinguished-name.ts';
import { importPublicKey } from '../../crypto/key-object.ts';
import { decodeSpki } from '../../crypto/public-key.ts';
import { checkMembers } from '../../known-members.ts';
import { inRequest, requestInvalid } from './in-request.ts';
import { readTbs } from './issue-certificate.ts';
import { decodeName } from './names.ts';

/** Encryption of the content key to an RSA key: RSAES-PKCS1-v1_5 (RFC 3370, 4.2.1) or RSAES-OAEP (RFC 4055, 4.1). */
export type KeyEncryption = 'rsaes-pkcs1' | 'rsaes-oaep-sha1' | 'rsaes-oaep-sha256';
/** Encryption of the content, padded as in RFC 5652, 6.3. */
export type ContentEncryption = 'aes-128-cbc' | 'aes-256-cbc' | 'des-ede3-cbc';

/** Options of {@link buildEnvelope}. */
export interface EnvelopeOptions {
  /** Default `rsaes-pkcs1`, which every CMS implementation accepts. */
  readonly keyEncryption?: KeyEncryption | undefined;
  /** Default `aes-256-cbc`. */
  readonly contentEncryption?: ContentEncryption | undefined;
}

/** The members of {@link EnvelopeOptions}, for `checkMembers`. */
export const ENVELOPE_MEMBERS =
  'keyEncryption:=rsaes-pkcs1|rsaes-oaep-sha1|rsaes-oaep-sha256? contentEncryption:=aes-128-cbc|aes-256-cbc|des-ede3-cbc?';

const ENVELOPED_DATA = '1.2.840.113549.1.7.3';
const DATA = '1.2.840.113549.1.7.1';
const RSA = '1.2.840.113549.1.1.1';
const OAEP = '1.2.840.113549.1.1.7';
const MGF1 = '1.2.840.113549.1.1.8';
const SHA256 = '2.16.840.1.101.3.4.2.1';

/** OID, and sizes of key and IV in bytes. RFC 3565, 4.1; RFC 3370, 5.1. */
const CIPHERS: Readonly<Record<ContentEncryption, { oid: string; keySize: number; ivSize: number }>> = {
  'aes-128-cbc': { oid: '2.16.840.1.101.3.4.1.2', keySize: 16, ivSize: 16 },
  'aes-256-cbc': { oid: '2.16.840.1.101.3.4.1.42', keySize: 32, ivSize: 16 },
  'des-ede3-cbc': { oid: '1.2.840.113549.3.7', keySize: 24, ivSize: 8 },
};

/** The name of a cipher by its OID; `undefined` for an unsupported cipher. */
export const decodeContentEncryption = (oid: string): ContentEncryption | undefined =>
  (Object.keys(CIPHERS) as ContentEncryption[]).find((name) => CIPHERS[name].oid === oid);

/**
 * The OID of a cipher.
 * @throws TypeError for an unknown cipher.
 *
 * @example
 * ```ts
 * import { decodeContentEncryption, encodeContentEncryption } from 'keyprov/formats/x509';
 *
 * const oid = encodeContentEncryption('aes-256-cbc');
 * console.log(oid, decodeContentEncryption(oid)); // 2.16.840.1.101.3.4.1.42 aes-256-cbc
 * ```
 */
export function encodeContentEncryption(cipher: ContentEncryption): string {
  if (!Object.hasOwn(CIPHERS, cipher)) throw new TypeError(`a cipher must be ${Object.keys(CIPHERS).join(' or ')}`);
  return CIPHERS[cipher].oid;
}

/**
 * Encrypts `content` to the RSA key of a certificate in DER: CMS EnvelopedData in a ContentInfo. RFC 5652, 6. Does not
 * verify the certificate.
 * @throws KeyprovError `request-invalid` if the certificate cannot be read or has no RSA key.
 *
 * @example
 * ```ts
 * import { privateDecrypt } from 'node:crypto';
 * import { buildEnvelope, decryptEnvelope, parseEnvelope } from 'keyprov/formats/x509';
 *
 * declare const [content, certificate, privateKey]: [Uint8Array, Uint8Array, string]; // privateKey: in PEM
 * const envelope = parseEnvelope(buildEnvelope(content, certificate, { keyEncryption: 'rsaes-oaep-sha256' }));
 * const [recipient] = envelope.recipients;
 * const contentKey = recipient && privateDecrypt({ key: privateKey, oaepHash: 'sha256' }, recipient.encryptedKey);
 * console.log(contentKey && decryptEnvelope(envelope, contentKey));
 * ```
 */
export function buildEnvelope(content: Uint8Array, certificate: Uint8Array, options: EnvelopeOptions = {}): Bytes {
  options = checkMembers('buildEnvelope', options, ENVELOPE_MEMBERS);
  checkBytes(content, 'the content');
  const { keyEncryption = 'rsaes-pkcs1', contentEncryption = 'aes-256-cbc' } = options;
  const { issuer, serialNumber, spki } = readTbs(certificate);
  const publicKey = inRequest('certificate to encrypt to', () => decodeSpki(spki.der));
  if (publicKey.kty !== 'RSA') throw requestInvalid('certificate to encrypt to', 'its key is not an RSA key');
  const { oid, keySize, ivSize } = CIPHERS[contentEncryption];
  const [contentKey, iv] = [randomBytes(keySize), randomBytes(ivSize)];
  try {
    const cipher = createCipheriv(contentEncryption, contentKey, iv);
    const encrypted = concat(cipher.update(content), cipher.final());
    const { padding, oaepHash, algorithm } = KEY_ENCRYPTIONS[keyEncryption];
    const key = importPublicKey(publicKey);
    const encryptedKey = publicEncrypt({ key, padding, ...(oaepHash !== undefined && { oaepHash }) }, contentKey);
    const recipient = derSequence(
      derInteger(0),
      derSequence(issuer.der, serialNumber.der),
      algorithm(),
      derOctets(encryptedKey),
    );
    const encryptedContent = derSequence(
      derOid(DATA),
      derSequence(derOid(oid), derOctets(iv)),
      derValue(CONTENT, encrypted),
    );
    const envelope = derSequence(derInteger(0), derSetOf(recipient), encryptedContent);
    return derSequence(derOid(ENVELOPED_DATA), derExplicit(0, envelope));
  } finally {
    wipe(contentKey);
  }
}

const CONTENT = contextTag(0, 'primitive');
const CONTENT_IN_PIECES = contextTag(0, 'constructed');

const { RSA_PKCS1_PADDING, RSA_PKCS1_OAEP_PADDING } = constants;
const KEY_ENCRYPTIONS: Readonly<Record<KeyEncryption, { padding: number; oaepHash?: string; algorithm: () => Bytes }>> =
  {
    'rsaes-pkcs1': { padding: RSA_PKCS1_PADDING, algorithm: () => derSequence(derOid(RSA), DER_NULL) },
    'rsaes-oaep-sha1': {
      padding: RSA_PKCS1_OAEP_PADDING,
      oaepHash: 'sha1',
      // SHA-1 and MGF1 with SHA-1 are the defaults of RSAES-OAEP-params.
      algorithm: () => derSequence(derOid(OAEP), derSequence()),
    },
    'rsaes-oaep-sha256': {
      padding: RSA_PKCS1_OAEP_PADDING,
      oaepHash: 'sha256',
      algorithm: () => {
        const hash = derSequence(derOid(SHA256), DER_NULL);
        return derSequence(
          derOid(OAEP),
          derSequence(derExplicit(0, hash), derExplicit(1, derSequence(derOid(MGF1), hash))),
        );
      },
    },
  };

/** A recipient of an envelope, with the encrypted content key. */
export interface EnvelopeRecipient {
  /** The certificate's issuer. */
  readonly issuer: DistinguishedName;
  /** The certificate's serial number, big endian. */
  readonly serialNumber: Bytes;
  /** The AlgorithmIdentifier of the key encryption: its OID, and all of it in DER. */
  readonly keyEncryption: { readonly oid: string; readonly der: Bytes };
  readonly encryptedKey: Bytes;
}

/** CMS EnvelopedData to RSA keys. RFC 5652, 6.1. */
export interface Envelope {
  readonly recipients: readonly EnvelopeRecipient[];
  /** The OID of the cipher; see {@link decodeContentEncryption}. */
  readonly contentEncryption: string;
  readonly iv: Bytes;
  readonly encryptedContent: Bytes;
}

const WHAT = 'enveloped data';

/**
 * Reads CMS EnvelopedData for recipients with RSA keys, named by issuer and serial number.
 * @throws KeyprovError `request-invalid` for anything else, including indefinite lengths.
 */
export function parseEnvelope(der: Uint8Array): Envelope {
  const info = DerNode.lenient(der, WHAT).fields(TAG.SEQUENCE);
  const type = info.next();
  if (type.oid() !== ENVELOPED_DATA) throw type.wrong('it is not EnvelopedData');
  const wrapped = info.next().fields(contextTag(0, 'constructed'));
  info.end();
  const fields = wrapped.next().fields(TAG.SEQUENCE);
  wrapped.end();
  fields.next(TAG.INTEGER);
  const recipients = fields.next().list(TAG.SET).map(parseRecipient);
  const content = fields.next().fields(TAG.SEQUENCE);
  fields.optional(contextTag(1, 'constructed'));
  fields.end();
  content.next(TAG.OID);
  const algorithm = content.next().fields(TAG.SEQUENCE);
  const contentEncryption = algorithm.next().oid();
  const iv = algorithm.next().octets();
  algorithm.end();
  const encrypted = content.next();
  content.end();
  const pieces = encrypted.tag === CONTENT_IN_PIECES ? encrypted.children().map((piece) => piece.octets()) : undefined;
  return {
    recipients,
    contentEncryption,
    iv,
    encryptedContent: pieces === undefined ? copy(encrypted.expect(CONTENT).content) : concat(...pieces),
  };
}

function parseRecipient(node: DerNode): EnvelopeRecipient {
  const fields = node.fields(TAG.SEQUENCE);
  fields.next(TAG.INTEGER);
  const id = fields.next().fields(TAG.SEQUENCE);
  const issuer = decodeName(id.next());
  const serialNumber = copy(id.next(TAG.INTEGER).content);
  id.end();
  const algorithm = fields.next();
  const encryptedKey = fields.next().octets();
  fields.end();
  const oid = algorithm.first(TAG.SEQUENCE).oid();
  return { issuer, serialNumber, keyEncryption: { oid, der: copy(algorithm.der) }, encryptedKey };
}

/**
 * Decrypts an envelope.
 * @param contentKey the content key, decrypted with the recipient's private key.
 * @throws KeyprovError `request-invalid` for an unsupported cipher, a key of a wrong size, or a failed decryption.
 */
export function decryptEnvelope(envelope: Envelope, contentKey: Uint8Array): Bytes {
  checkObject(envelope, 'the envelope', 'contentEncryption:string', 'iv:bytes', 'encryptedContent:bytes');
  checkBytes(contentKey, 'the content key');
  const cipher = decodeContentEncryption(envelope.contentEncryption);
  if (cipher === undefined) throw requestInvalid(WHAT, `the cipher ${envelope.contentEncryption} is not supported`);
  try {
    const decipher = createDecipheriv(cipher, contentKey, envelope.iv);
    return view(concat(decipher.update(envelope.encryptedContent), decipher.final()));
  } catch (cause) {
    throw requestInvalid(WHAT, 'the key does not decrypt it', cause);
  }
}
