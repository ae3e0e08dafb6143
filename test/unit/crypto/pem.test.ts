import { describe, expect, it } from 'vitest';
import { decodePem, encodePem, pemBlocks } from '../../../src/crypto/pem.ts';
import { refusal } from '../../refusal.ts';

const bytes = new Uint8Array(100).fill(7);
const pem = encodePem('A', bytes);

describe('decodePem', () => {
  it('takes white space around the block and behind its lines, and line breaks of Windows', () => {
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
    expect(refusal(() => decodePem(text, 'A'))).toMatch(/^key-invalid: /);
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

  it('passes over what is too long for a label', () => {
    expect([...pemBlocks(`-----BEGIN ${'a'.repeat(65)}-----\n${pem}`)].map(({ label }) => label)).toEqual(['A']);
    expect([...pemBlocks('-----BEGIN A')]).toEqual([]);
  });
});
