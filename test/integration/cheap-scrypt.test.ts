import '../cheap-scrypt.mjs';
import { describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../src/bytes.ts';
import { deriveScrypt } from '../../src/crypto/scrypt.ts';

describe('scrypt in a test that makes it cheap', () => {
  const derive = async (secret: string, salt: string, cost: number) =>
    toHex(await deriveScrypt(utf8(secret), utf8(salt), 32, { cost, blockSize: 8, parallelization: 1 }));

  it('gives the same value for the same secret, salt and work, and different values otherwise', async () => {
    const one = await derive('secret', 'salt', 2 ** 17);
    expect(await derive('secret', 'salt', 2 ** 17)).toBe(one);
    const others = [
      derive('secreT', 'salt', 2 ** 17),
      derive('secret', 'salT', 2 ** 17),
      derive('secret', 'salt', 2 ** 15),
    ];
    expect(new Set([one, ...(await Promise.all(others))]).size).toBe(4);
  });
});
