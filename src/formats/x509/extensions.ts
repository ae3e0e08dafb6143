import type { Bytes } from '../../bytes.ts';
import type { DerNode } from '../../crypto/der-read.ts';
import { DER_TRUE, derOctets, derOid, derSequence, derValue, TAG } from '../../crypto/der-write.ts';
import { EXTENSION } from '../../crypto/x509.ts';
import { type AlternativeName, encodeAlternativeNames } from './alternative-names.ts';

/** An extension of a certificate: its value is DER. RFC 5280, 4.2. */
export interface Extension {
  readonly oid: string;
  /** Default false. */
  readonly critical?: boolean;
  readonly value: Uint8Array;
}

/** Extensions of a request or a certificate in DER. @throws TypeError for a wrong OID. */
export function encodeExtensions(extensions: readonly Extension[]): Bytes {
  return derSequence(
    ...extensions.map(({ oid, critical = false, value }) =>
      derSequence(derOid(oid), ...(critical ? [DER_TRUE] : []), derOctets(value)),
    ),
  );
}

/** The inverse of {@link encodeExtensions}. @throws KeyprovError `request-invalid` for anything else. */
export function decodeExtensions(node: DerNode): Extension[] {
  return node.list(TAG.SEQUENCE).map((one) =>
    one.read(TAG.SEQUENCE, (fields) => ({
      oid: fields.next().oid(),
      critical: fields.optional(TAG.BOOLEAN)?.boolean() ?? false,
      value: fields.next().octets(),
    })),
  );
}

/** subjectAltName. RFC 5280, 4.2.1.6. */
export const subjectAltName = (names: readonly AlternativeName[], critical: boolean): Extension => ({
  oid: EXTENSION.SUBJECT_ALT_NAME,
  critical,
  value: encodeAlternativeNames(names),
});

/** basicConstraints of a subject that is not a CA. Critical. RFC 5280, 4.2.1.9. */
export const noAuthority = (): Extension => ({
  oid: EXTENSION.BASIC_CONSTRAINTS,
  critical: true,
  value: derSequence(),
});

/** extKeyUsage, not critical. RFC 5280, 4.2.1.12. */
export const extendedKeyUsage = (...purposes: readonly string[]): Extension => ({
  oid: EXTENSION.EXTENDED_KEY_USAGE,
  value: derSequence(...purposes.map(derOid)),
});

/** keyUsage with one bit below 8, by its number. Critical. RFC 5280, 4.2.1.3. */
export const keyUsage = (bit: number): Extension => ({
  oid: EXTENSION.KEY_USAGE,
  critical: true,
  value: derValue(TAG.BIT_STRING, new Uint8Array([7 - bit, 0x80 >>> bit])),
});
