const MARKS = [
  { mark: [0xef, 0xbb, 0xbf], encoding: 'utf-8' },
  { mark: [0xff, 0xfe], encoding: 'utf-16le' },
  { mark: [0xfe, 0xff], encoding: 'utf-16be' },
] as const;

/** The encoding that a byte order mark says. Unicode Standard, section 23.8. */
export function markedEncoding(bytes: Uint8Array): 'utf-8' | 'utf-16le' | 'utf-16be' | undefined {
  return MARKS.find(({ mark }) => mark.every((byte, index) => bytes[index] === byte))?.encoding;
}

/**
 * The text of a file that a person or a program of Windows has written, without byte order mark: UTF-8; UTF-16, as the `>` of
 * Windows PowerShell 5.1 writes it; else a code page, in which only ASCII is sure. `undefined` for what has zeros in it,
 * which no text has.
 */
export function decodeFileText(bytes: Uint8Array): string | undefined {
  const [first, second] = bytes;
  const unmarked = second === 0 ? 'utf-16le' : first === 0 ? 'utf-16be' : 'utf-8';
  const text = decodeAs(markedEncoding(bytes) ?? unmarked, bytes) ?? decodeAs('windows-1252', bytes);
  return text?.includes('\0') ? undefined : text;
}

/** The text in that encoding; `undefined` for bytes that it does not have. */
export function decodeAs(encoding: string, bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
