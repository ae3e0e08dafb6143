const MARKS = [
  { mark: [0xef, 0xbb, 0xbf], encoding: 'utf-8' },
  { mark: [0xff, 0xfe], encoding: 'utf-16le' },
  { mark: [0xfe, 0xff], encoding: 'utf-16be' },
] as const;

/** The encoding that a byte order mark indicates. Unicode Standard, section 23.8. */
export function markedEncoding(bytes: Uint8Array): 'utf-8' | 'utf-16le' | 'utf-16be' | undefined {
  return MARKS.find(({ mark }) => mark.every((byte, index) => bytes[index] === byte))?.encoding;
}

/**
 * Decodes a text file written by a person or a Windows program, without its byte order mark: UTF-8; UTF-16, as written
 * by `>` in Windows PowerShell 5.1; otherwise a code page, of which only ASCII is certain. Returns `undefined` for
 * bytes with zeros, which no text contains.
 */
export function decodeFileText(bytes: Uint8Array): string | undefined {
  const [first, second] = bytes;
  const unmarked = second === 0 ? 'utf-16le' : first === 0 ? 'utf-16be' : 'utf-8';
  const text = decodeAs(markedEncoding(bytes) ?? unmarked, bytes) ?? decodeAs('windows-1252', bytes);
  return text?.includes('\0') ? undefined : text;
}

/**
 * Whether bytes, such as a password, are a byte order mark and text in its encoding: ASCII, or anything with a newline at
 * the end. Random bytes that begin like a mark are practically never both.
 */
export function isMarkedText(bytes: Uint8Array): boolean {
  const encoding = markedEncoding(bytes);
  return encoding !== undefined && /\n$|^[ -~]+$/.test(decodeAs(encoding, bytes) ?? '');
}

/** Decodes bytes in that encoding; `undefined` if they are not valid in it. */
export function decodeAs(encoding: string, bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
