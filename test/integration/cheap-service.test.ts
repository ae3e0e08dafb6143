import { createPublicKey, generateKeyPair, generateKeyPairSync, sign, verify } from 'node:crypto';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const OPTIONS = { modulusLength: 2048 };
const data = Buffer.from('data');

describe('a key in a test that makes services cheap', () => {
  it('signs, has 2048 bits, and is another each time', async () => {
    const pairs = [generateKeyPairSync('rsa', OPTIONS), await promisify(generateKeyPair)('rsa', OPTIONS)];
    pairs.push(
      await new Promise((resolve, reject) =>
        generateKeyPair('rsa', OPTIONS, (error, publicKey, privateKey) =>
          error === null ? resolve({ publicKey, privateKey }) : reject(error),
        ),
      ),
    );
    for (const { publicKey, privateKey } of pairs) {
      expect(publicKey.asymmetricKeyDetails).toEqual({ modulusLength: 2048, publicExponent: 65537n });
      expect(createPublicKey(privateKey).equals(publicKey)).toBe(true);
      expect(verify('sha256', data, publicKey, sign('sha256', data, privateKey))).toBe(true);
    }
    expect(new Set(pairs.map(({ publicKey }) => publicKey.export({ format: 'jwk' }).n)).size).toBe(3);
  });

  it('is made by Node when the ready primes are used up, and with other options', async () => {
    for (let made = 0; made < 64; made++) generateKeyPairSync('rsa', OPTIONS);
    expect(generateKeyPairSync('rsa', OPTIONS).publicKey.asymmetricKeyDetails?.modulusLength).toBe(2048);
    const { publicKey } = await promisify(generateKeyPair)('rsa', { modulusLength: 1024, publicExponent: 3 });
    expect(publicKey.asymmetricKeyDetails).toEqual({ modulusLength: 1024, publicExponent: 3n });
    expect(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.asymmetricKeyType).toBe('ec');
  });
});
