import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex } from '../../../../src/bytes.ts';
import { type CborValue, encodeCbor } from '../../../../src/crypto/cbor.ts';
import { decodeJwk } from '../../../../src/crypto/jwk.ts';
import { COSE_ALG, decodeCoseKey, encodeCoseKey } from '../../../../src/formats/webauthn/cose-key.ts';
import { refusal } from '../../../refusal.ts';

const vectors = JSON.parse(readFileSync('test/vectors/webauthn.json', 'utf8'));
const rsa = decodeJwk(JSON.parse(readFileSync('test/vectors/cng.json', 'utf8')).rsa2048.jwk);
const ec = decodeCoseKey(fromHex(vectors.coseKeys[0].hex)).publicKey;

describe('a COSE key', () => {
  it.each(vectors.coseKeys as { algorithm: number; crv: string; hex: string }[])(
    'of the specification on $crv is read, and written to the same bytes',
    ({ algorithm, crv, hex }) => {
      const key = decodeCoseKey(fromHex(hex));
      expect(key).toMatchObject({ algorithm, publicKey: { kty: 'EC', crv } });
      expect(toHex(encodeCoseKey(key))).toBe(hex);
    },
  );

  it('of an RSA key is kty 3, alg, n and e', () => {
    const bytes = encodeCoseKey({ publicKey: rsa, algorithm: COSE_ALG.RS256 });
    expect(toHex(bytes)).toMatch(/^a401030339010020590100b69050e6[0-9a-f]+2143010001$/);
    expect(bytes).toHaveLength(272);
    expect(decodeCoseKey(bytes)).toEqual({ publicKey: rsa, algorithm: -257 });
  });

  it('has no alg if none is given', () => {
    const bytes = encodeCoseKey({ publicKey: rsa });
    expect(toHex(bytes.subarray(0, 4))).toBe('a3010320');
    expect(decodeCoseKey(bytes)).toEqual({ publicKey: rsa });
  });

  const map = (...entries: [number | string, CborValue][]) => encodeCbor(new Map(entries));
  const x = ec.kty === 'EC' ? ec.x : fromHex('');
  it.each([
    ['no map', encodeCbor([1]), /not a map$/],
    ['kty OKP', map([1, 1]), /kty 1 is unknown$/],
    ['no kty', map([3, -7]), /kty undefined is unknown$/],
    ['alg as text', map([1, 2], [3, 'ES256']), /alg is not a number$/],
    ['a private key', map([1, 2], [-1, 1], [-2, x], [-3, x], [-4, x]), /parameter -4 is not allowed$/],
    ['a key id', map([1, 3], [2, x]), /parameter 2 is not allowed$/],
    ['a compressed point', map([1, 2], [-1, 1], [-2, x], [-3, true]), /parameter -3 is not a byte string$/],
    ['another curve', map([1, 2], [-1, 8], [-2, x], [-3, x]), /crv 8 is unknown$/],
    ['a point that is not on the curve', map([1, 2], [-1, 1], [-2, x], [-3, x]), /not a point on the curve$/],
    ['an even modulus', map([1, 3], [-1, new Uint8Array(256).fill(2)], [-2, fromHex('010001')]), /modulus is even$/],
    ['a modulus with a leading zero', map([1, 3], [-1, fromHex('0001')], [-2, fromHex('03')]), /leading zeros$/],
    ['what follows the key', concat(encodeCoseKey({ publicKey: ec }), new Uint8Array(1)), /1 byte left over/],
  ])('is refused with %s', (_, bytes, problem) => {
    const said = refusal(() => decodeCoseKey(bytes));
    expect(said).toMatch(/^request-invalid: COSE key: /);
    expect(said).toMatch(problem);
  });

  it('is refused when cut off at any byte', () => {
    for (const publicKey of [rsa, ec]) {
      const bytes = encodeCoseKey({ publicKey, algorithm: -7 });
      for (let length = 0; length < bytes.length; length++) {
        const said = refusal(() => decodeCoseKey(bytes.subarray(0, length)));
        expect(said).toMatch(/^request-invalid: COSE key: CBOR: cut off/);
      }
    }
  });
});
