import { checkObject, toHex, utf8 } from '../../bytes.ts';
import { digest } from '../../crypto/kdf.ts';
import { JsonMembers, showJson } from '../../json.ts';
import { checkTextSize, LIMIT } from '../../limits.ts';
import { type AlternativeName, EK_IDENTIFIER } from '../x509/alternative-names.ts';
import { requestInvalid } from '../x509/in-request.ts';

/** A device name in a subjectAltName. */
export type DeviceName = Extract<AlternativeName, { kind: 'permanent-identifier' | 'hardware-module' }>;

/** An identifier of an ACME order for a device. RFC 8555, 7.1.3. */
export interface AcmeIdentifier {
  readonly type: DeviceName['kind'];
  /** The identifier or serial number; then a slash and an OID, if there is one. */
  readonly value: string;
}

/** An OID as draft-ietf-acme-device-attest writes it. */
const OID = /^(?:[01]\.[1-3]?\d|2\.(?:0|[1-9]\d*))(?:\.(?:0|[1-9]\d*))*$/;

/** Returns the device name for a TPM's EK certificate (DER): its SHA-256 in hexadecimal. @throws TypeError for text. */
export function computeEkDeviceName(ekCertificate: Uint8Array): DeviceName {
  return { kind: 'permanent-identifier', value: toHex(digest('sha256', ekCertificate)), assigner: EK_IDENTIFIER };
}

/**
 * Encodes the name as the identifier of an ACME order. draft-ietf-acme-device-attest, Representation in Order
 * resources.
 * @throws TypeError for a name that is empty, too long or has a slash, a serial number that is not UTF-8, or a wrong OID.
 *
 * @example
 * ```ts
 * import { computeEkDeviceName, decodeAcmeIdentifier, encodeAcmeIdentifier } from 'keyprov/formats/services';
 *
 * declare const ekCertificate: Uint8Array;
 * const identifier = encodeAcmeIdentifier(computeEkDeviceName(ekCertificate));
 * console.log(identifier.type, decodeAcmeIdentifier(identifier).kind); // permanent-identifier permanent-identifier
 * ```
 */
export function encodeAcmeIdentifier(name: DeviceName): AcmeIdentifier {
  checkObject(name, 'a device name', 'kind');
  const { kind: type } = name;
  const [text, oid] =
    type === 'hardware-module'
      ? [textOf(checkObject(name, 'a device name', 'serialNumber:bytes').serialNumber), name.type]
      : [checkObject(name, 'a device name', 'value:string?').value, name.assigner];
  if (!text || text.includes('/')) throw new TypeError(`${JSON.stringify(text)} cannot be an ACME identifier`);
  if (oid !== undefined && !OID.test(oid)) throw new TypeError(`${JSON.stringify(oid)} is not an object identifier`);
  const value = oid === undefined ? text : `${text}/${oid}`;
  checkTextSize(value, LIMIT.line, (problem) => new TypeError(`the ACME identifier: ${problem}`));
  return { type, value };
}

/** Reads an identifier of an ACME order. @throws KeyprovError `request-invalid` for another type or form of value. */
export function decodeAcmeIdentifier(identifier: { readonly type: string; readonly value: string }): DeviceName {
  const members = new JsonMembers('ACME identifier', identifier, requestInvalid);
  const [kind, text] = [members.text('type'), members.text('value')];
  checkTextSize(text, LIMIT.line, (problem) => members.wrong('value', problem));
  const [value = '', oid, ...more] = text.split('/', 3);
  const isForm = value !== '' && more.length === 0 && (oid === undefined || OID.test(oid));
  if (isForm && kind === 'permanent-identifier') return { kind, value, ...(oid !== undefined && { assigner: oid }) };
  if (isForm && kind === 'hardware-module' && oid !== undefined) return { kind, type: oid, serialNumber: utf8(value) };
  throw requestInvalid('ACME identifier', `${showJson(text)} of type ${showJson(kind)} is not a device name`);
}

const textOf = (bytes: Uint8Array): string => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
