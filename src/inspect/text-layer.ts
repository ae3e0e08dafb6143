import { type Bytes, fromHex, toBase64, unpadded } from '../bytes.ts';
import { pemBlocks } from '../crypto/pem.ts';
import { decodeAs, markedEncoding } from '../text.ts';
import { shortened } from './fields.ts';

/** The bytes of an encoded text. */
export interface Decoded {
  /** `hex`, `base64`, `base64url` or `PEM LABEL`. */
  readonly encoding: string;
  readonly bytes: Bytes;
  readonly problems: readonly string[];
  /** The algorithm by which a PEM block is encrypted, if its headers name one. */
  readonly encryption?: string;
}

/** Decodes text: UTF-8 without control characters, or UTF-16 with a byte order mark. `undefined` if it is not text. */
export function decodedText(bytes: Uint8Array): string | undefined {
  const encoding = markedEncoding(bytes) ?? 'utf-8';
  if (encoding === 'utf-8' && bytes.some((byte) => byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d)) {
    return undefined;
  }
  return decodeAs(encoding, bytes);
}

/** The bytes that a text without white space may encode, the most distinctive encoding first. */
export function decodeText(text: string): Decoded[] {
  // `0x` and colons, as tools print digests and serial numbers.
  const digits = text.replace(/^0x/, '').replaceAll(':', '');
  const found: Decoded[] = [];
  if (digits.length > 0 && digits.length % 2 === 0 && /^[0-9a-fA-F]*$/.test(digits)) {
    found.push({ encoding: 'hex', bytes: fromHex(digits), problems: [] });
  }
  if (text.length >= 4 && /^[A-Za-z0-9+/]*=*$/.test(text)) found.push(fromAnyBase64(text, 'base64'));
  else if (text.length >= 4 && /^[A-Za-z0-9_-]*=*$/.test(text)) found.push(fromAnyBase64(text, 'base64url'));
  return found;
}

/** Padding is optional. Any other oddity is a problem. */
function fromAnyBase64(text: string, encoding: 'base64' | 'base64url'): Decoded {
  const bytes = new Uint8Array(Buffer.from(text, encoding));
  const standard = unpadded(text.replaceAll('-', '+').replaceAll('_', '/'));
  const isCanonical = standard === unpadded(toBase64(bytes));
  return { encoding, bytes, problems: isCanonical ? [] : [`the ${encoding} is not canonical`] };
}

const MAX_BLOCKS = 50;

/** The PEM blocks in a text (RFC 7468), with any text around them. */
export function decodePemBlocks(text: string): Decoded[] {
  const found: Decoded[] = [];
  for (const { label, body, isWhole, start } of pemBlocks(text)) {
    if (found.length === MAX_BLOCKS) break;
    const { encryption, base64 } = withoutHeaders(body);
    const { bytes, problems } = fromAnyBase64(base64.replaceAll(/\s/g, ''), 'base64');
    const block = `the PEM block ${shortened(label)} in line ${lineAt(text, start)}`;
    const foreign = encryption === undefined ? body.search(/[^A-Za-z0-9+/=\s]/) : -1;
    const place = foreign < 0 ? '' : `: see line ${lineAt(text, text.indexOf(body, start) + foreign)}`;
    const all = [
      ...problems.map(() => `the base64 of ${block} is not canonical${place}`),
      ...(isWhole ? [] : [`${block} has no end`]),
    ];
    found.push({ encoding: `PEM ${label}`, bytes, problems: all, ...(encryption !== undefined && { encryption }) });
  }
  return found;
}

/** The number of the line with that character. */
const lineAt = (text: string, at: number): number => text.slice(0, at).split('\n').length;

/** Takes the headers off that the traditional form of encrypted keys has, up to an empty line. RFC 1421, 4.6. */
function withoutHeaders(body: string): { readonly encryption?: string; readonly base64: string } {
  const [first = '', ...lines] = body.split('\n').map((line) => line.trim());
  if (first !== '' || lines[0] !== 'Proc-Type: 4,ENCRYPTED') return { base64: body };
  const end = lines.indexOf('');
  const info = lines.slice(0, end).find((line) => line.startsWith(DEK_INFO)) ?? '';
  const [algorithm = ''] = info.slice(DEK_INFO.length).split(',', 1);
  return { encryption: algorithm, base64: lines.slice(end).join('') };
}

const DEK_INFO = 'DEK-Info: ';
