import { type Bytes, fromBase64, toBase64 } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { checkTextSize, LIMIT } from '../limits.ts';

const DASHES = '-----';
const BEGIN = `${DASHES}BEGIN `;
/** Labels in use have up to 30 characters. */
const MAX_LABEL = 64;

/** A PEM block in a text (RFC 7468). Its content is not checked. */
export interface PemBlock {
  readonly label: string;
  /** The text between the two label lines, or up to the end of the text if the second is missing. */
  readonly body: string;
  readonly isWhole: boolean;
  /** Its start and end in the text. */
  readonly start: number;
  readonly end: number;
}

/** Yields the PEM blocks in a text, with any text around them, in linear time. */
export function* pemBlocks(text: string): Generator<PemBlock, undefined> {
  for (let start = text.indexOf(BEGIN); start >= 0; ) {
    const labelStart = start + BEGIN.length;
    const labelEnd = text.indexOf(DASHES, labelStart);
    if (labelEnd < 0) return;
    if (labelEnd - labelStart > MAX_LABEL) {
      start = text.indexOf(BEGIN, labelStart);
      continue;
    }
    const label = text.slice(labelStart, labelEnd);
    const from = labelEnd + DASHES.length;
    const last = `${DASHES}END ${label}${DASHES}`;
    const found = text.indexOf(last, from);
    const isWhole = found >= 0;
    const end = isWhole ? found + last.length : text.length;
    yield { label, body: text.slice(from, isWhole ? found : end), isWhole, start, end };
    start = text.indexOf(BEGIN, end);
  }
}

/** The textual form of `bytes` (RFC 7468, section 2): label lines, 64 characters a line, a line break at the end. */
export function encodePem(label: string, bytes: Uint8Array): string {
  const lines = toBase64(bytes).match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

/**
 * Decodes a text that is one PEM block, with white space around it.
 * @throws KeyprovError `key-invalid` for another label, other text, or base64 that is not canonical.
 */
export function decodePem(text: string, label: string): Bytes {
  checkTextSize(text, LIMIT.message, (problem) => new KeyprovError('key-invalid', `PEM block ${label}: ${problem}`));
  const trimmed = text.trim();
  const [block] = pemBlocks(trimmed);
  if (block?.label !== label || !block.isWhole || block.start > 0 || block.end < trimmed.length) {
    throw new KeyprovError('key-invalid', `the text must be one PEM block with the label ${label}`);
  }
  return decodePemBody(block);
}

/**
 * Decodes a block: canonical base64 in lines of any length, with trailing blanks.
 * @throws KeyprovError `key-invalid` for anything else.
 */
export function decodePemBody({ label, body }: Pick<PemBlock, 'label' | 'body'>): Bytes {
  const [rest, ...lines] = body.split('\n').map((line) => line.trimEnd());
  try {
    if (rest !== '' || lines.pop() !== '') throw new TypeError('base64 on the same line as the label');
    return fromBase64(lines.join(''));
  } catch (cause) {
    throw new KeyprovError('key-invalid', `the PEM block ${label} is not canonical base64`, { cause });
  }
}
