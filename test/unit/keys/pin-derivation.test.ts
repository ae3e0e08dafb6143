import { createHash, scryptSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../../src/bytes.ts';
import { deriveAuthValue, newPinDerivation } from '../../../src/keys/pin-derivation.ts';
import { asyncRefusal } from '../../refusal.ts';

const PIN = utf8('147258');

describe('deriveAuthValue', () => {
  it('is the base64url text of 24 bytes of scrypt', async () => {
    // So many that every character comes up at every place of a group.
    for (let round = 0; round < 64; round++) {
      const derivation = { ...newPinDerivation(), cost: 16 };
      if (!('salt' in derivation)) throw new Error('not scrypt');
      const expected = scryptSync(PIN, derivation.salt, 24, { N: 16, r: 8, p: 1 }).toString('base64url');
      expect(new TextDecoder().decode(await deriveAuthValue(PIN, derivation))).toBe(expected);
    }
  });

  it.each(['sha1', 'sha256'] as const)('is the %s of UTF-16LE if Windows must know it', async (hash) => {
    const expected = createHash(hash).update('1\x004\x007\x002\x005\x008\0').digest('hex');
    expect(toHex(await deriveAuthValue(PIN, { kdf: `pcp-${hash}` }))).toBe(expected);
  });

  it('refuses a derivation that would take too much work', async () => {
    const derivation = { kdf: 'scrypt', salt: PIN, cost: 2 ** 21, blockSize: 8, parallelization: 1 } as const;
    expect(await asyncRefusal(() => deriveAuthValue(PIN, derivation))).toBe(
      "key-invalid: the key's PIN derivation: these scrypt parameters exceed the limits: N = 2097152, r = 8, p = 1",
    );
  });
});
