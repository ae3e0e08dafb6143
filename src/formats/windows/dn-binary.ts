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
 * parts, and for a name with a line break.
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
  if (LINE_BREAK.test(dn)) throw new TypeError('the name in a DN-Binary value has a line break: write it as \\0A');
  return `B:${2 * binary.length}:${toHex(binary).toUpperCase()}:${dn}`;
}

/** Directories escape it in names; in a text, it separates values. */
const LINE_BREAK = /[\r\n]/;

/** Reads a DN-Binary value, also with lower case digits. @throws KeyprovError `request-invalid` for anything else. */
export function decodeDnBinary(text: string): DnBinary {
  checkTextSize(text, LIMIT.message + LIMIT.line, (problem) => requestInvalid('DN-Binary value', problem));
  const [, count, hex = '', dn] = /^B:(0|[1-9]\d*):([0-9A-Fa-f]+):(.+)$/s.exec(text) ?? [];
  if (count === undefined || dn === undefined)
    throw requestInvalid('DN-Binary value', 'it does not have the form B:count:digits:name');
  checkTextSize(dn, LIMIT.line, (problem) => requestInvalid('DN-Binary value', `its name: ${problem}`));
  if (LINE_BREAK.test(dn)) {
    throw requestInvalid('DN-Binary value', 'it has a line break: pass one value at a time');
  }
  if (Number(count) !== hex.length)
    throw requestInvalid('DN-Binary value', `it has ${hex.length} digits, but its count is ${count}`);
  return { binary: inRequest('DN-Binary value', () => fromHex(hex)), dn };
}
