import { type Bytes, checkObject, copy } from '../../bytes.ts';
import type { DerNode } from '../../crypto/der-read.ts';
import { derOid, derSequence, derSetOf, TAG } from '../../crypto/der-write.ts';
import { requestInvalid } from './in-request.ts';

/** An attribute of a certificate request: its OID, and its values (usually one), each in DER. RFC 2986, 4.1. */
export interface Attribute {
  readonly oid: string;
  readonly values: readonly Uint8Array[];
}

/** An attribute in DER. @throws TypeError for a wrong OID. */
export const encodeAttribute = (attribute: Attribute): Bytes => {
  const { oid, values } = checkObject(attribute, 'an attribute', 'oid', 'values:list');
  return derSequence(derOid(oid), derSetOf(...values));
};

/** The inverse of {@link encodeAttribute}. @throws KeyprovError `request-invalid` for anything else. */
export function decodeAttribute(node: DerNode): Attribute {
  const [oid, values] = node.read(TAG.SEQUENCE, (fields) => [fields.next().oid(), fields.next().list(TAG.SET)]);
  return { oid, values: values.map(({ der }) => copy(der)) };
}

/**
 * The value of the attribute with that OID, in DER; `undefined` if there is none.
 * @throws KeyprovError `request-invalid` if the attribute appears more than once, or does not have exactly one value.
 *
 * @example
 * ```ts
 * import { ATTESTATION_ATTRIBUTE, findAttribute, parseCertificateRequest } from 'keyprov/formats/x509';
 *
 * declare const der: Uint8Array; // a certificate request
 * console.log(findAttribute(parseCertificateRequest(der).attributes, ATTESTATION_ATTRIBUTE)); // the value in DER
 * ```
 */
export function findAttribute(attributes: readonly Attribute[], oid: string): Uint8Array | undefined {
  if (!Array.isArray(attributes)) throw new TypeError('attributes must be an array of attributes');
  const found = attributes.filter((one) => one.oid === oid);
  const [value, ...more] = found.flatMap(({ values }) => values);
  if (found.length > 1 || more.length > 0 || (found.length === 1 && value === undefined)) {
    throw requestInvalid(`attribute ${oid}`, 'it must appear once and have one value');
  }
  return value;
}
