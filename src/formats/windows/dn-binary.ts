import { type Bytes, checkObject, fromHex, toHex } from '../../bytes.ts';
import { checkTextSize, LIMIT } from '../../limits.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';

/** A value of a directory attribute of syntax Object(DN-Binary). MS-ADTS 3.1.1.2.2.2.3. */
export interface DnBinary {
  /** At least one byte. */
  readonly binary: Bytes;
  /** The distinguished name of the object that has the value, as the directory writes it (RFC 4514). */
  readonly dn: string;
}

/**
 * `B:828:…:CN=…`: the number of hexadecimal digits, the digits in upper case, and the name. @throws TypeError for empty
 * parts, and for a name that is not a distinguished name, has a line break, or is longer than {@link decodeDnBinary} reads.
 *
 * @example
 * ```ts
 * import { decodeDnBinary, encodeDnBinary } from 'keyprov/formats/windows';
 *
 * const value = encodeDnBinary({ binary: new Uint8Array([0xa5]), dn: 'CN=Ada,DC=example' });
 * console.log(value, decodeDnBinary(value).dn); // B:2:A5:CN=Ada,DC=example CN=Ada,DC=example
 * ```
 */
export function encodeDnBinary(value: { readonly binary: Uint8Array; readonly dn: string }): string {
  const { binary, dn } = checkObject(value, 'a DN-Binary value', 'binary:bytes', 'dn:string');
  if (binary.length === 0 || dn === '') throw new TypeError('a DN-Binary value needs bytes and a name');
  const text = `B:${2 * binary.length}:${toHex(binary).toUpperCase()}:${dn}`;
  checkTextSize(text, MAX_SIZE, asTypeError);
  checkName(dn, asTypeError);
  return text;
}

const MAX_SIZE = LIMIT.message + LIMIT.line;
const asTypeError = (problem: string): Error => new TypeError(`DN-Binary value: ${problem}`);
const invalid = (problem: string): Error => requestInvalid('DN-Binary value', problem);

/** Directories escape it in names; in a text, it separates values. */
const LINE_BREAK = /[\r\n]/;
/** One attribute of a name. It may have unescaped characters that RFC 4514, 3 wants escaped, as directories differ. */
const ATTRIBUTE = String.raw` *(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)*) *=(?:\\[^\0]|[^\\,+\0])*`;
const NAME = new RegExp(`^${ATTRIBUTE}(?:[,+]${ATTRIBUTE})*$`);

/** Both directions refuse the same names. */
function checkName(dn: string, refuse: (problem: string) => Error): void {
  checkTextSize(dn, LIMIT.line, (problem) => refuse(`its name: ${problem}`));
  if (LINE_BREAK.test(dn))
    throw refuse('it has a line break: pass one value at a time, and write one in a name as \\0A');
  if (!NAME.test(dn)) throw refuse('its name is not a distinguished name, such as CN=Ada,DC=example');
}

/** Reads a DN-Binary value, also with lower case digits. @throws KeyprovError `request-invalid` for anything else. */
export function decodeDnBinary(text: string): DnBinary {
  checkTextSize(text, MAX_SIZE, invalid);
  const [, count, hex = '', dn] = /^B:(0|[1-9]\d*):([0-9A-Fa-f]+):(.+)$/s.exec(text) ?? [];
  if (count === undefined || dn === undefined) throw invalid('it does not have the form B:count:digits:name');
  checkName(dn, invalid);
  if (Number(count) !== hex.length) throw invalid(`it has ${hex.length} digits, but its count is ${count}`);
  return { binary: inRequest('DN-Binary value', () => fromHex(hex)), dn };
}
