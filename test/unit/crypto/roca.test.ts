import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromBase64Url, fromHex } from '../../../src/bytes.ts';
import { isRocaWeak } from '../../../src/crypto/roca.ts';

const { roca } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));

describe('isRocaWeak', () => {
  it.each(roca.vectors as { modulusHex: string; weak: boolean }[])('tells $weak for the vector', (vector) => {
    expect(isRocaWeak(fromHex(vector.modulusHex))).toBe(vector.weak);
  });

  it('finds no fault in moduli of OpenSSL', () => {
    for (let round = 0; round < 20; round++) {
      const { n = '' } = generateKeyPairSync('rsa', { modulusLength: 512 }).publicKey.export({ format: 'jwk' });
      expect(isRocaWeak(fromBase64Url(n))).toBe(false);
    }
  });
});
