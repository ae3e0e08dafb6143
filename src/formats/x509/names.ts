import { type Bytes, checkList, checkObject, checkText, fromHex } from '../../bytes.ts';
import type { DerNode } from '../../crypto/der-read.ts';
import { derOid, derSequence, derSetOf, derText, type StringKind } from '../../crypto/der-write.ts';
import type { DistinguishedName, NameAttribute } from '../../crypto/distinguished-name.ts';
import { readName } from '../../crypto/x509-names.ts';
import { inRequest } from './in-request.ts';

/** OIDs of attributes of names. RFC 4519, 2; RFC 5280, Appendix A. */
export const NAME_OID = {
  COMMON_NAME: '2.5.4.3',
  SERIAL_NUMBER: '2.5.4.5',
  COUNTRY: '2.5.4.6',
  ORGANIZATION: '2.5.4.10',
  ORGANIZATIONAL_UNIT: '2.5.4.11',
  DN_QUALIFIER: '2.5.4.46',
  DOMAIN_COMPONENT: '0.9.2342.19200300.100.1.25',
  EMAIL: '1.2.840.113549.1.9.1',
} as const;

/** The attributes that must not be UTF8Strings. */
const KINDS: ReadonlyMap<string, StringKind> = new Map([
  [NAME_OID.SERIAL_NUMBER, 'printable'],
  [NAME_OID.COUNTRY, 'printable'],
  [NAME_OID.DN_QUALIFIER, 'printable'],
  [NAME_OID.DOMAIN_COMPONENT, 'ia5'],
  [NAME_OID.EMAIL, 'ia5'],
]);

/** A name with only a common name. @throws TypeError for anything but a text. */
export function buildCommonName(value: string): DistinguishedName {
  checkText(value, 'a common name');
  return [[{ type: NAME_OID.COMMON_NAME, value }]];
}

/**
 * Writes a Name in DER. RFC 5280, 4.1.2.4. Writes values as `strings` says (default UTF8String) unless their attribute
 * fixes the string type. A value of `#` and hexadecimal digits is written as that DER.
 * @throws TypeError for a name that cannot be written.
 */
export function encodeName(name: DistinguishedName, strings: 'utf8' | 'bmp' = 'utf8'): Bytes {
  const relatives = checkList(name, 'a name').map((relative) => checkList(relative, 'each part of a name'));
  return derSequence(...relatives.map((relative) => derSetOf(...relative.map((one) => encodeAttribute(one, strings)))));
}

function encodeAttribute(attribute: NameAttribute, strings: 'utf8' | 'bmp'): Bytes {
  const { type, value } = checkObject(attribute, 'an attribute of a name', 'type', 'value:string');
  const isDer = /^#(?:[0-9a-f]{2})+$/i.test(value);
  return derSequence(derOid(type), isDer ? fromHex(value.slice(1)) : derText(KINDS.get(type) ?? strings, value));
}

/**
 * The inverse of {@link encodeName}, for strings of any type. A text with bytes that are not valid is `#` and its DER in
 * hexadecimal digits, so that different names stay different.
 * @throws KeyprovError `request-invalid` for anything else.
 */
export const decodeName = (node: DerNode): DistinguishedName => inRequest('name', () => readName(node));
