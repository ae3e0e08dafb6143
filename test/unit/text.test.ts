import { describe, expect, it } from 'vitest';
import { decodeFileText } from '../../src/text.ts';

const TEXT = 'NgcSet : NÓ\r\n';
const utf16le = (text: string) => new Uint8Array(Buffer.from(text, 'utf16le'));
const utf16be = (text: string) => new Uint8Array(Buffer.from(text, 'utf16le').swap16());

describe('the text of a file', () => {
  it.each([
    ['UTF-8', new Uint8Array(Buffer.from(TEXT))],
    ['UTF-8 with a mark', new Uint8Array(Buffer.from(`\ufeff${TEXT}`))],
    ['UTF-16LE with a mark, of PowerShell', utf16le(`\ufeff${TEXT}`)],
    ['UTF-16LE', utf16le(TEXT)],
    ['UTF-16BE with a mark', utf16be(`\ufeff${TEXT}`)],
    ['UTF-16BE', utf16be(TEXT)],
    ['a code page', new Uint8Array(Buffer.from(TEXT, 'latin1'))],
  ])('is read: %s', (_, bytes) => {
    expect(decodeFileText(bytes)).toBe(TEXT);
  });

  it('is not found among zeros', () => {
    expect(decodeFileText(new Uint8Array([0x30, 0x82, 0, 1]))).toBeUndefined();
    expect(decodeFileText(new Uint8Array(0))).toBe('');
  });
});
