import { createCipheriv, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { aesCfbByBlocks } from '../../src/aes-cfb.ts';
import { fromHex, toHex } from '../../src/bytes.ts';

it('knows the example of NIST SP 800-38A, F.3.13', () => {
  const key = fromHex('2b7e151628aed2a6abf7158809cf4f3c');
  const iv = fromHex('000102030405060708090a0b0c0d0e0f');
  const clear = fromHex('6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51');
  const encrypted = aesCfbByBlocks('encrypt', key, iv, clear);
  expect(toHex(encrypted)).toBe('3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b');
  expect(aesCfbByBlocks('decrypt', key, iv, encrypted)).toEqual(clear);
});

it.each([16, 24, 32])('matches OpenSSL for keys of %i bytes and data of any length', (size) => {
  for (let length = 0; length <= 70; length++) {
    const [key, iv, clear] = [randomBytes(size), randomBytes(16), randomBytes(length)];
    const encrypted = aesCfbByBlocks('encrypt', key, iv, clear);
    expect(toHex(encrypted)).toBe(toHex(createCipheriv(`aes-${size * 8}-cfb`, key, iv).update(clear)));
    expect(toHex(aesCfbByBlocks('decrypt', key, iv, encrypted))).toBe(toHex(clear));
  }
});
