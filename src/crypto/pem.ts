import { type Bytes, fromBase64, toBase64 } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';

/** The textual form of `bytes` (RFC 7468, section 2): label lines, 64 characters a line, a line break at the end. */
export function encodePem(label: string, bytes: Uint8Array): string {
  const lines = toBase64(bytes).match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/**
 * The bytes of the one block that `text` must be, white space around it aside.
 * @throws KeyprovError `key-invalid` for another label, more than the block, or base64 that is not canonical.
 */
export function decodePem(text: string, label: string): Bytes {
  const [first, ...lines] = text.trim().split(/[ \t]*\r?\n/);
  if (first !== `-----BEGIN ${label}-----` || lines.pop() !== `-----END ${label}-----`) {
    throw new KeyprovError('key-invalid', `not one PEM block with the label ${label}`);
  }
  try {
    return fromBase64(lines.join(''));
  } catch (cause) {
    throw new KeyprovError('key-invalid', `the PEM block ${label} is not canonical base64`, { cause });
  }
}
