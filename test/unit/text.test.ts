import { describe, expect, it } from 'vitest';
import { decodeFileText, isReencoded } from '../../src/text.ts';

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
    ['UTF-8 with a mark', Buffer.from('\ufeffsecret')],
    ['UTF-16LE with a mark', utf16le('\ufeffgeheim Ω\r\n')],
    ['UTF-16LE', utf16le('secret\r\n')],
    ['UTF-16BE with a mark', utf16be('\ufeffsecret')],
    ['UTF-16BE', utf16be('secret\r\n')],
  ])('is recognized: %s', (_, bytes) => {
    expect(isReencoded(bytes)).toBe(true);
  });

  it.each([
    ['nothing', Buffer.from('')],
    ['text', Buffer.from('secret\r\n')],
    ['random bytes, some of them zero', Buffer.from('00ff0011', 'hex')],
    ['zeros at odd places only, but an odd number of bytes', Buffer.from('4100420043', 'hex')],
  ])('is not seen in %s', (_, bytes) => {
    expect(isReencoded(bytes)).toBe(false);
  });
});
