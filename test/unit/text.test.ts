import { describe, expect, it } from 'vitest';
import { decodeFileText, isMarkedText } from '../../src/text.ts';

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

describe('a password that a program has encoded', () => {
  it.each([
    ['UTF-8 with a mark', new Uint8Array(Buffer.from('\ufeffsecret\n'))],
    ['UTF-16LE with a mark, of PowerShell', utf16le('\ufeffsecret\r\n')],
    ['UTF-16LE with a mark, without a newline', utf16le('\ufeffsecret')],
    ['UTF-16BE with a mark', utf16be('\ufeffsecret')],
    ['UTF-16LE with a mark, not in ASCII', utf16le('\ufeffпароль\r\n')],
  ])('is recognized: %s', (_, bytes) => {
    expect(isMarkedText(bytes)).toBe(true);
  });

  it.each([
    ['nothing', ''],
    ['a mark alone', 'fffe'],
    ['text', '7365637265740d0a'],
    ['bytes that could be UTF-16', '4100'],
    ['bytes that begin like a mark of UTF-16LE', 'fffe8c41d7539b02'],
    ['an odd number of them', 'fffe41'],
    ['bytes that begin like a mark of UTF-16BE', 'feff8c41d7539b02'],
    ['bytes that begin like a mark of UTF-8', 'efbbbf8c41d7539b'],
  ])('is not seen in %s', (_, hex) => {
    expect(isMarkedText(Buffer.from(hex, 'hex'))).toBe(false);
  });
});
