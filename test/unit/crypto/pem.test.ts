import { describe, expect, it } from 'vitest';
import { decodePem, encodePem, pemBlocks } from '../../../src/crypto/pem.ts';
import { refusal } from '../../refusal.ts';

const bytes = new Uint8Array(100).fill(7);
const pem = encodePem('A', bytes);

describe('encodePem', () => {
  it('writes lines of 64 characters, and none for no bytes', () => {
    expect(encodePem('A', new Uint8Array(49))).toBe(`-----BEGIN A-----\n${'A'.repeat(64)}\nAA==\n-----END A-----\n`);
    expect(encodePem('A', new Uint8Array(0))).toBe('-----BEGIN A-----\n-----END A-----\n');
  });
});

describe('decodePem', () => {
  it('accepts white space around the block and after its lines, and Windows line breaks', () => {
    expect(decodePem(pem, 'A')).toEqual(bytes);
    expect(decodePem(` \n${pem.replaceAll('\n', ' \t\r\n')}\r\n `, 'A')).toEqual(bytes);
  });

  it.each([
    ['another label', pem.replaceAll(' A-', ' B-')],
    ['two blocks', pem + pem],
    ['a text before it', `x${pem}`],
    ['a text behind it', `${pem}x`],
    ['no end', pem.slice(0, 60)],
    ['another label at its end', pem.replace('END A', 'END B')],
    ['base64 in the line of its label', pem.replace('\n', '')],
    ['no line break before its end', pem.replace('\n-----END', '-----END')],
    ['a blank in a line', pem.replace('Bw', 'B w')],
    ['a header', pem.replace('\n', '\nProc-Type: 4,ENCRYPTED\n')],
    ['nothing', ''],
  ])('refuses %s', (_, text) => {
    expect(refusal(() => decodePem(text, 'A'))).toMatch(
      /^key-invalid: (?:the text must be one PEM block with the label A|the PEM block A is not canonical base64)$/,
    );
  });

  it('refuses what is too large, and keeps the cause of bad base64', () => {
    expect(refusal(() => decodePem('a'.repeat(5 << 20), 'A'))).toMatch(/^key-invalid: PEM block A: .*\d/);
    const thrown = (body: string): unknown => {
      try {
        return decodePem(`-----BEGIN A-----${body}-----END A-----`, 'A');
      } catch (error) {
        return error;
      }
    };
    expect(thrown('\n*\n')).toHaveProperty('cause.name', 'TypeError');
    expect(thrown('AA==\n')).toHaveProperty('cause.message', 'base64 on the same line as the label');
  });
});

describe('pemBlocks', () => {
  it('finds the blocks in a text, and one without an end', () => {
    const found = [...pemBlocks(`a\n${pem}b\n-----BEGIN A-----\nAA`)];
    expect(found.map(({ label, isWhole }) => [label, isWhole])).toEqual([
      ['A', true],
      ['A', false],
    ]);
  });

  it('skips text that is too long for a label', () => {
    expect([...pemBlocks(`-----BEGIN ${'a'.repeat(65)}-----\n${pem}`)].map(({ label }) => label)).toEqual(['A']);
    const longest = 'a'.repeat(64);
    expect([...pemBlocks(`-----BEGIN ${longest}-----\n${pem}`)].map(({ label }) => label)).toEqual([longest]);
    expect([...pemBlocks('-----BEGIN A')]).toEqual([]);
    expect([...pemBlocks('-----BEGIN -----\n-----END -----')].map(({ label, isWhole }) => [label, isWhole])).toEqual([
      ['', true],
    ]);
  });
});
