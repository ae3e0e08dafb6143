import { byteCount, toHex } from '../bytes.ts';
import { type DistinguishedName, describeName } from '../crypto/distinguished-name.ts';
import { digest } from '../crypto/kdf.ts';
import { sayError } from '../errors.ts';
import { ENROLL } from '../formats/windows/ms-wcce.ts';
import { SMART_CARD_LOGON } from '../formats/windows/pkinit-certificate.ts';
import type { DerQuirk } from '../formats/x509/der-quirks.ts';
import { decodeContentEncryption, type Envelope } from '../formats/x509/enveloped-data.ts';
import { readTbs } from '../formats/x509/issue-certificate.ts';
import { ATTESTATION_ATTRIBUTE } from '../formats/x509/lamps-attestation.ts';
import { decodeName } from '../formats/x509/names.ts';
import { bytesField, field, group, hexOf, listOf, nameField, unreadable } from './fields.ts';
import type { Field, Part } from './inspection.ts';

const OIDS: ReadonlyMap<string, string> = new Map([
  ['1.3.6.1.5.5.7.3.1', 'TLS server'],
  ['1.3.6.1.5.5.7.3.2', 'TLS client'],
  ['2.23.133.8.1', 'endorsement key'],
  ['2.23.133.8.3', 'attestation key'],
  [SMART_CARD_LOGON, 'smart card logon'],
  ['2.5.29.9', 'subjectDirectoryAttributes'],
  ['2.5.29.14', 'subjectKeyIdentifier'],
  ['2.5.29.15', 'keyUsage'],
  ['2.5.29.17', 'subjectAltName'],
  ['2.5.29.19', 'basicConstraints'],
  ['2.5.29.31', 'cRLDistributionPoints'],
  ['2.5.29.32', 'certificatePolicies'],
  ['2.5.29.35', 'authorityKeyIdentifier'],
  ['2.5.29.37', 'extKeyUsage'],
  ['1.2.840.113549.1.9.7', 'challengePassword'],
  ['1.2.840.113549.1.9.14', 'extensionRequest'],
  ['1.3.6.1.4.1.311.2.1.14', "Microsoft's extensionRequest"],
  ['1.3.6.1.4.1.311.13.2.3', 'osVersion'],
  ['1.3.6.1.4.1.311.21.20', 'requestClientInfo'],
  [ATTESTATION_ATTRIBUTE, 'attestation bundle'],
  ...Object.entries(ENROLL).map(([name, oid]) => [oid, name] as const),
]);
/** The name of an object identifier, or itself. */
export const nameOid = (oid: string): string => OIDS.get(oid) ?? oid;

/** Describes the oddities of a value in DER, for people. */
export const quirksOf = (quirks: readonly DerQuirk[]): string[] =>
  quirks.map(({ kind, offset }) => `${QUIRKS[kind]} at offset ${offset}`);
const QUIRKS: Readonly<Record<DerQuirk['kind'], string>> = {
  'length-not-minimal': 'a length with more bytes than DER allows',
  'nul-in-string': 'a string with a NUL',
  'common-name-too-long': 'a common name of more than 64 characters',
};

/** The text of a name of any kind. */
export function nameText(value: string | number | Uint8Array | DistinguishedName): string {
  if (typeof value === 'object') return value instanceof Uint8Array ? hexOf(value) : describeName(value);
  return String(value);
}

/** A certificate inside another structure: its subject, its issuer, and its digest. */
export function certificateField(name: string, der: Uint8Array): Field {
  const { issuer, subject } = readTbs(der);
  const [to, by] = [subject, issuer].map((node) => describeName(decodeName(node)));
  const digestField = field('SHA-256', toHex(digest('sha256', der)));
  return group(name, [field('subject', to ?? ''), field('issuer', by ?? ''), field('size', der.length), digestField]);
}

/** A list of certificates. Shows the bytes of a certificate that cannot be read. */
export const certificatesField = (name: string, certificates: readonly Uint8Array[]): Part =>
  listOf(name, certificates, (i, der) => {
    try {
      return certificateField(i, der);
    } catch (error) {
      return unreadable(i, der, `${name} ${i}: ${sayError(error)}`);
    }
  });

/** CMS EnvelopedData. Does not try to decrypt it. */
export function envelopeFields({ recipients, contentEncryption, iv, encryptedContent }: Envelope): Field[] {
  const recipient = (
    name: string,
    { issuer, serialNumber, keyEncryption, encryptedKey }: Envelope['recipients'][number],
  ) =>
    group(name, [
      nameField('issuer', issuer),
      bytesField('serial number', serialNumber),
      field('key encryption', keyEncryption.oid),
      field('encrypted key', `${byteCount(encryptedKey.length)}`),
    ]);
  return [
    listOf('recipients', recipients, recipient),
    field('cipher', decodeContentEncryption(contentEncryption) ?? contentEncryption),
    bytesField('IV', iv),
    field('encrypted content', `${byteCount(encryptedContent.length)}`),
  ];
}
