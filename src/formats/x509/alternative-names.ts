import { type Bytes, checkBytes, checkList, checkObject, copy, equal, utf8 } from '../../bytes.ts';
import { DerNode } from '../../crypto/der-read.ts';
import { derExplicit, derOctets, derOid, derSequence, derText, derValue, ia5, TAG } from '../../crypto/der-write.ts';
import type { DistinguishedName } from '../../crypto/distinguished-name.ts';
import { checkSize, LIMIT } from '../../limits.ts';
import { latin1 } from '../../primitives.ts';
import { inRequest, requestInvalid } from './in-request.ts';
import { decodeName, encodeName } from './names.ts';

/** A name in a certificate or request. RFC 5280, 4.2.1.6. */
export type AlternativeName =
  | { readonly kind: 'dns' | 'email' | 'uri'; readonly value: string }
  /** 4 or 16 bytes. */
  | { readonly kind: 'ip'; readonly value: Uint8Array }
  | { readonly kind: 'directory'; readonly value: DistinguishedName }
  /**
   * PermanentIdentifier, RFC 4043, 2. For a TPM: the SHA-256 of its EK certificate in hexadecimal, and
   * {@link EK_IDENTIFIER} as the assigner.
   */
  | { readonly kind: 'permanent-identifier'; readonly value?: string; readonly assigner?: string }
  /** HardwareModuleName, RFC 4108, 5. Type for a TPM: {@link TPM_2_0_HARDWARE}. */
  | { readonly kind: 'hardware-module'; readonly type: string; readonly serialNumber: Uint8Array }
  /** Another otherName: its OID, and its value in DER. */
  | { readonly kind: 'other-name'; readonly type: string; readonly value: Uint8Array }
  /** A name of an unsupported kind, in DER. */
  | { readonly kind: 'unknown'; readonly value: Uint8Array };

/** tcg-on-ekPermIdSha256: the assigner of a PermanentIdentifier made from an EK certificate. */
export const EK_IDENTIFIER = '2.23.133.12.1';
/** The hwType of a TPM 2.0 in a HardwareModuleName. */
export const TPM_2_0_HARDWARE = '2.23.133.1.2';

const PERMANENT_IDENTIFIER = '1.3.6.1.5.5.7.8.3';
const HARDWARE_MODULE = '1.3.6.1.5.5.7.8.4';

const WHAT = 'alternative names';
const OTHER_NAME = 0xa0;
const VALUE = 0xa0;
const DIRECTORY = 0xa4;
const IP = 0x87;
const TEXTS = { email: 0x81, dns: 0x82, uri: 0x86 } as const;

/**
 * GeneralNames in DER: the value of a subjectAltName. @throws TypeError for a name that cannot be written, no names, or too many.
 *
 * @example
 * ```ts
 * import { decodeAlternativeNames, EK_IDENTIFIER, encodeAlternativeNames } from 'keyprov/formats/x509';
 *
 * const name = { kind: 'permanent-identifier', value: '0123abcd', assigner: EK_IDENTIFIER } as const;
 * console.log(decodeAlternativeNames(encodeAlternativeNames([name]))); // the list with `name`
 * ```
 */
export function encodeAlternativeNames(names: readonly AlternativeName[]): Bytes {
  if (checkList(names, 'the alternative names').length === 0)
    throw new TypeError('there must be at least one alternative name');
  const der = derSequence(...names.map(encodeAlternativeName));
  checkSize(der, LIMIT.message, (problem) => new TypeError(`alternative names: ${problem}`));
  return der;
}

function encodeAlternativeName(name: AlternativeName): Bytes {
  checkObject(name, 'an alternative name', 'kind');
  switch (name.kind) {
    case 'dns':
    case 'email':
    case 'uri':
      return derValue(TEXTS[name.kind], ia5(checkObject(name, `a ${name.kind} name`, 'value:string').value));
    case 'ip':
      checkBytes(name.value, 'an IP address');
      if (name.value.length !== 4 && name.value.length !== 16) throw new TypeError('an IP address has 4 or 16 bytes');
      return derValue(IP, name.value);
    case 'directory':
      return derValue(DIRECTORY, encodeName(name.value));
    case 'permanent-identifier': {
      const value = name.value === undefined ? [] : [derText('utf8', name.value)];
      const assigner = name.assigner === undefined ? [] : [derOid(name.assigner)];
      return encodeOtherName(PERMANENT_IDENTIFIER, derSequence(...value, ...assigner));
    }
    case 'hardware-module':
      return encodeOtherName(HARDWARE_MODULE, derSequence(derOid(name.type), derOctets(name.serialNumber)));
    case 'other-name':
      return encodeOtherName(name.type, name.value);
    case 'unknown':
      return copy(name.value);
  }
}

const encodeOtherName = (type: string, value: Uint8Array): Bytes =>
  derValue(OTHER_NAME, derOid(type), derExplicit(0, value));

/**
 * The inverse of {@link encodeAlternativeNames}. @throws KeyprovError `request-invalid` for anything else, including a
 * name that cannot be written: one with bytes other than ASCII, or an IP address without 4 or 16 bytes.
 */
export function decodeAlternativeNames(der: Uint8Array): AlternativeName[] {
  const list = DerNode.lenient(der, WHAT).list(TAG.SEQUENCE);
  if (list.length === 0) throw requestInvalid(WHAT, 'there is none');
  const names = list.map(decodeAlternativeName);
  inRequest(WHAT, () => encodeAlternativeNames(names));
  return names;
}

function decodeAlternativeName(node: DerNode): AlternativeName {
  const text = latin1(node.content);
  switch (node.tag) {
    case TEXTS.email:
      return { kind: 'email', value: text };
    case TEXTS.dns:
      return { kind: 'dns', value: text };
    case TEXTS.uri:
      return { kind: 'uri', value: text };
    case IP:
      return { kind: 'ip', value: copy(node.content) };
    case DIRECTORY:
      return { kind: 'directory', value: node.read(DIRECTORY, (fields) => decodeName(fields.next())) };
    case OTHER_NAME:
      return decodeOtherName(node);
    default:
      return { kind: 'unknown', value: copy(node.der) };
  }
}

function decodeOtherName(node: DerNode): AlternativeName {
  const [type, value] = node.read(OTHER_NAME, (fields) => [
    fields.next().oid(),
    fields.next().read(VALUE, (wrapped) => wrapped.next()),
  ]);
  if (type === PERMANENT_IDENTIFIER) {
    return value.read(TAG.SEQUENCE, (parts) => {
      const identifier = parts.optional(TAG.UTF8_STRING);
      const text = identifier?.text();
      // Else different identifiers would read as the same.
      if (identifier && !equal(utf8(text ?? ''), identifier.content)) throw identifier.wrong('the text is not UTF-8');
      const assigner = parts.optional(TAG.OID)?.oid();
      const kind = 'permanent-identifier';
      return { kind, ...(text !== undefined && { value: text }), ...(assigner !== undefined && { assigner }) };
    });
  }
  if (type === HARDWARE_MODULE) {
    return value.read(TAG.SEQUENCE, (parts) => ({
      ...{ kind: 'hardware-module', type: parts.next().oid(), serialNumber: parts.next().octets() },
    }));
  }
  return { kind: 'other-name', type, value: copy(value.der) };
}
