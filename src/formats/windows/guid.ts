import { type Bytes, byteCount, checkBytes, fromHex, isGuid, toHex } from '../../bytes.ts';
import { requestInvalid } from '../x509/in-request.ts';

/** Byte order of a GUID in Windows' structures: the first three numbers are little endian. MS-DTYP 2.3.4.2. */
const ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

const reordered = (bytes: Uint8Array): Bytes => new Uint8Array(ORDER.map((at) => bytes[at] ?? 0));

/**
 * The 16 bytes of a GUID in Windows' byte order. @throws TypeError for text that is not a GUID.
 *
 * @example
 * ```ts
 * import { decodeGuid, encodeGuid } from 'keyprov/formats/windows';
 *
 * const bytes = encodeGuid('00112233-4455-6677-8899-aabbccddeeff'); // 33 22 11 00 55 44 77 66 88 99 …
 * console.log(decodeGuid(bytes)); // 00112233-4455-6677-8899-aabbccddeeff
 * ```
 */
export function encodeGuid(guid: string): Bytes {
  checkGuid(guid, 'the text');
  return reordered(fromHex(guid.replaceAll('-', '')));
}

/** Refuses anything but a GUID as an argument of that name. @throws TypeError */
export function checkGuid(guid: string, name: string): void {
  if (!isGuid(guid)) throw new TypeError(`${name} must be a GUID, not ${JSON.stringify(guid)}`);
}

/** The text of a GUID in lower case. @throws KeyprovError `request-invalid` if it does not have 16 bytes. */
export function decodeGuid(bytes: Uint8Array): string {
  checkBytes(bytes, 'a GUID');
  if (bytes.length !== 16) throw requestInvalid('GUID', `${byteCount(bytes.length)}; a GUID has 16`);
  return toHex(reordered(bytes)).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
