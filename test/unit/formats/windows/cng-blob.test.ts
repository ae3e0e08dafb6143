import { createHash, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { concat, fromBase64, fromBase64Url, fromHex, toBase64, toHex } from '../../../../src/bytes.ts';
import { decodeSpki } from '../../../../src/crypto/public-key.ts';
import {
  type CngBlob,
  computeKeyId,
  computeKeyIdText,
  decodeCngBlob,
  encodeCngBlob,
} from '../../../../src/formats/windows/cng-blob.ts';
import { refusal } from '../../../refusal.ts';

const vectors = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));
const { rsa2048, ecc } = vectors;

/** The parts of a private key by Node's own reader. */
function jwkOf(pkcs8: string): Record<string, Uint8Array> {
  const jwk = createPrivateKey({ key: Buffer.from(pkcs8, 'base64'), format: 'der', type: 'pkcs8' }).export({
    format: 'jwk',
  });
  const numbers = Object.entries(jwk).filter(([name]) => name !== 'kty' && name !== 'crv');
  return Object.fromEntries(numbers.map(([name, value]) => [name, fromBase64Url(String(value))]));
}

const rsaParts = { kty: 'RSA', ...jwkOf(rsa2048.pkcs8B64) };
const { kty, n, e, p, q } = rsaParts as Record<string, unknown>;
const good: [string, string, unknown][] = [
  ['RSA1', rsa2048.rsa1Hex, { kty, n, e }],
  ['RSA2', rsa2048.rsa2Hex, { kty, n, e, p, q }],
  ['RSA3', rsa2048.rsa3Hex, rsaParts],
];
const MAGICS: Record<string, [string, string, string, string]> = {
  'P-256': ['ECS1', 'ECS2', 'ECK1', 'ECK2'],
  'P-384': ['ECS3', 'ECS4', 'ECK3', 'ECK4'],
  'P-521': ['ECS5', 'ECS6', 'ECK5', 'ECK6'],
};
for (const [crv, [sign, signPrivate, agree, agreePrivate]] of Object.entries(MAGICS)) {
  const { d, ...point } = jwkOf(ecc.curves[crv].pkcs8B64);
  const vector = ecc.curves[crv];
  const publicKey = { kty: 'EC', crv, ...point };
  const generic = (magic: string, hex: string) => Buffer.from(magic).toString('hex') + hex.slice(8);
  good.push(
    [sign, vector.ecdsaPublicHex, publicKey],
    [signPrivate, vector.ecdsaPrivateHex, { ...publicKey, d }],
    [agree, vector.ecdhPublicHex, publicKey],
    [agreePrivate, vector.ecdhPrivateHex, { ...publicKey, d }],
    ['ECDP', generic('ECDP', vector.ecdsaPublicHex), publicKey],
    ['ECDV', generic('ECDV', vector.ecdsaPrivateHex), { ...publicKey, d }],
    ['ECKP', generic('ECKP', vector.ecdhPublicHex), publicKey],
    ['ECKV', generic('ECKV', vector.ecdhPrivateHex), { ...publicKey, d }],
  );
}

describe.each(good)('a blob %s', (magic, hex, key) => {
  it('has the parts that Node finds in the same key, and is written back to the same bytes', () => {
    const blob = decodeCngBlob(fromHex(hex));
    expect(blob).toEqual({ magic, key });
    expect(toHex(encodeCngBlob(blob))).toBe(hex);
  });

  it('is refused when cut off at any byte, or with a byte left over', () => {
    const bytes = fromHex(hex);
    const step = magic === 'RSA3' ? 13 : 1;
    for (let length = 0; length < bytes.length; length += step) {
      expect(refusal(() => decodeCngBlob(bytes.subarray(0, length)))).toMatch(/^key-invalid: CNG key blob: cut off: /);
    }
    expect(refusal(() => decodeCngBlob(concat(bytes, new Uint8Array(1))))).toBe(
      'key-invalid: CNG key blob: 1 byte left over',
    );
  });
});

describe('decodeCngBlob', () => {
  const expected: Record<string, RegExp> = {
    truncated: /^key-invalid: CNG key blob: cut off/,
    'wrong-magic': /^key-invalid: CNG key blob: unknown magic "RSA9"/,
    'private-parts-present': /^key-invalid: CNG key blob: a public blob has prime sizes/,
    // Its modulus is the first half of another one. A real key of that size is read; the profiles refuse it.
    '1024-bit': /^key-invalid: RSA public key: its modulus is even/,
    'bitlength-mismatch': /^key-invalid: CNG key blob: BitLength is 1024, but the modulus has 2048 bits/,
    'exponent-4-bytes': /^key-invalid: RSA public key: the modulus or exponent has leading zeros/,
  };
  it.each(vectors.negative as { name: string; rsa1Hex: string }[])('handles the vector $name', (vector) => {
    const said = refusal(() => decodeCngBlob(fromHex(vector.rsa1Hex)));
    expect(said).toMatch(expected[vector.name] ?? /vector without expectation/);
  });

  it('refuses every change of a byte of a private blob', () => {
    for (const hex of [rsa2048.rsa3Hex, ecc.curves['P-256'].ecdsaPrivateHex]) {
      const bytes = fromHex(hex);
      for (let at = 0; at < bytes.length; at += hex.length > 1000 ? 7 : 1) {
        // ECS2 and RSA3 become ECS3 and RSA2 by one bit; both do not fit the rest either.
        const changed = Uint8Array.from(bytes, (byte, index) => (index === at ? byte ^ 1 : byte));
        expect(refusal(() => decodeCngBlob(changed))).toMatch(/^key-invalid: /);
      }
    }
  });

  it('refuses a size of coordinates that the magic does not have', () => {
    const hex = ecc.curves['P-384'].ecdsaPublicHex;
    expect(refusal(() => decodeCngBlob(fromHex(hex.replace('45435333', '45435331'))))).toContain(
      'cbKey 48 does not match',
    );
  });

  it('refuses a scalar of zero, and the scalar of another point', () => {
    const { ecdsaPrivateHex } = ecc.curves['P-256'];
    const other = '00'.repeat(31);
    expect(refusal(() => decodeCngBlob(fromHex(`${ecdsaPrivateHex.slice(0, -64)}${other}00`)))).toContain(
      'out of range for the curve',
    );
    expect(refusal(() => decodeCngBlob(fromHex(`${ecdsaPrivateHex.slice(0, -64)}${other}01`)))).toContain(
      'does not belong to the point',
    );
  });
});

describe('encodeCngBlob', () => {
  it('says that a scalar has the wrong length', () => {
    const { key } = decodeCngBlob(fromHex(ecc.curves['P-256'].ecdsaPrivateHex));
    if (!('d' in key) || key.kty !== 'EC') throw new Error('no private key');
    const blob: CngBlob = { magic: 'ECS2', key: { ...key, d: key.d.subarray(1) } };
    expect(refusal(() => encodeCngBlob(blob))).toBe(
      'key-invalid: CNG key blob: the private scalar has 31 bytes, 32 expected',
    );
  });

  it('leaves out private parts that a public blob cannot contain', () => {
    const key = decodeCngBlob(fromHex(rsa2048.rsa3Hex)).key;
    if (key.kty !== 'RSA') throw new Error('no RSA key');
    expect(toHex(encodeCngBlob({ magic: 'RSA1', key }))).toBe(rsa2048.rsa1Hex);
    const { key: ecKey } = decodeCngBlob(fromHex(ecc.curves['P-256'].ecdsaPrivateHex));
    if (ecKey.kty !== 'EC') throw new Error('no EC key');
    expect(toHex(encodeCngBlob({ magic: 'ECS1', key: ecKey }))).toBe(ecc.curves['P-256'].ecdsaPublicHex);
  });

  it('refuses a curve that does not match the magic, and parts that do not match each other', () => {
    const { key } = decodeCngBlob(fromHex(ecc.curves['P-256'].ecdsaPublicHex));
    if (key.kty !== 'EC') throw new Error('no EC key');
    expect(refusal(() => encodeCngBlob({ magic: 'ECS3', key }))).toContain(
      'ECS3 is for P-384, but the key is on P-256',
    );
    const full = decodeCngBlob(fromHex(rsa2048.rsa3Hex)) as Extract<CngBlob, { magic: 'RSA3' }>;
    const wrong = (change: object) => refusal(() => encodeCngBlob({ ...full, key: { ...full.key, ...change } }));
    expect(wrong({ p: full.key.q })).toContain('the modulus is not the product of the primes');
    expect(wrong({ p: new Uint8Array([1]), q: full.key.n })).toContain('a prime has leading zeros, or is missing');
    expect(wrong({ dp: full.key.dq })).toContain('does not belong to the primes');
    expect(wrong({ d: full.key.d.subarray(1) })).toContain('has the wrong length');
    expect(wrong({ qi: full.key.dp })).toContain('does not belong to the primes');
  });

  it('writes the RSA1 blobs that others published', () => {
    const [sample, transport] = vectors.published;
    for (const bytes of [fromHex(sample.rsa1Hex), fromBase64(transport.base64)]) {
      expect(bytes.length).toBe(283);
      expect(toHex(encodeCngBlob(decodeCngBlob(bytes)))).toBe(toHex(bytes));
    }
  });

  it('writes what it reads for Node keys of any size', () => {
    for (const { publicKey } of [
      generateKeyPairSync('rsa', { modulusLength: 3072 }),
      generateKeyPairSync('rsa', { modulusLength: 1024 }),
      generateKeyPairSync('rsa', { modulusLength: 1025, publicExponent: 3 }),
    ]) {
      const key = decodeSpki(publicKey.export({ type: 'spki', format: 'der' }));
      if (key.kty !== 'RSA') throw new Error('no RSA key');
      expect(decodeCngBlob(encodeCngBlob({ magic: 'RSA1', key }))).toEqual({ magic: 'RSA1', key });
    }
  });
});

describe('computeKeyId', () => {
  it('matches the vectors, as bytes and as text', () => {
    const blob = fromHex(rsa2048.rsa1Hex);
    expect(toHex(computeKeyId(blob))).toBe(rsa2048.keyIdSha256Hex);
    expect(computeKeyIdText(blob)).toBe(rsa2048.kidForSignIn);
    const [sample] = vectors.published;
    expect(computeKeyIdText(fromHex(sample.rsa1Hex))).toBe(sample.sha256B64);
    expect(toBase64(computeKeyId(blob))).toBe(createHash('sha256').update(blob).digest('base64'));
  });
});
