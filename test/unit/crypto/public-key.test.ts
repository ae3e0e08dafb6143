import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, fromBase64, fromBase64Url, fromHex, toBase64, toBase64Url, toHex, view } from '../../../src/bytes.ts';
import { computeJwkThumbprint, decodeJwk, encodeJwk } from '../../../src/crypto/jwk.ts';
import { weaknessOf } from '../../../src/crypto/key-strength.ts';
import {
  checkPublicKey,
  decodePkcs1,
  decodeSpki,
  decodeSpkiPem,
  encodePkcs1,
  encodeSpki,
  encodeSpkiPem,
  type PublicKey,
  type RsaPublicKey,
} from '../../../src/crypto/public-key.ts';
import { refusal } from '../../refusal.ts';

const { rsa2048, ecc } = JSON.parse(readFileSync('test/vectors/cng.json', 'utf8'));
const rsa: RsaPublicKey = { kty: 'RSA', n: fromBase64Url(rsa2048.jwk.n), e: fromBase64Url(rsa2048.jwk.e) };
/** The y of the point of P-256 whose x is 0. */
const P256_ROOT_OF_B = '66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4';
const CURVES = ['P-256', 'P-384', 'P-521'] as const;
const ec = (crv: (typeof CURVES)[number]) => ({
  kty: 'EC' as const,
  crv,
  x: fromHex(ecc.curves[crv].x.padStart(64, '0')),
  y: fromHex(ecc.curves[crv].y.padStart(64, '0')),
});
const keys: readonly (readonly [string, PublicKey, string])[] = [
  ['RSA-2048', rsa, rsa2048.spkiB64],
  ...CURVES.map((crv) => [crv, ec(crv), ecc.curves[crv].spkiB64] as const),
];

describe.each(keys)('a key of %s', (_, key, spki) => {
  it("becomes the vector's SPKI and is read back", () => {
    expect(toBase64(encodeSpki(key))).toBe(spki);
    expect(decodeSpki(fromBase64(spki))).toEqual(key);
  });

  it('is returned as a copy in plain bytes', () => {
    const der = fromBase64(spki);
    const decoded = decodeSpki(Buffer.from(der));
    for (const part of decoded.kty === 'RSA' ? [decoded.n, decoded.e] : [decoded.x, decoded.y]) {
      expect(part.constructor).toBe(Uint8Array);
      expect(part.buffer).not.toBe(der.buffer);
    }
  });

  it("becomes Node's PEM and is read back", () => {
    const pem = createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' });
    expect(encodeSpkiPem(key)).toBe(pem.export({ type: 'spki', format: 'pem' }));
    expect(decodeSpkiPem(encodeSpkiPem(key))).toEqual(key);
    expect(decodeSpkiPem(encodeSpkiPem(key).replaceAll('\n', '\r\n'))).toEqual(key);
  });

  it("becomes Node's JWK and is read back", () => {
    const jwk = createPublicKey({ key: Buffer.from(spki, 'base64'), format: 'der', type: 'spki' });
    expect(encodeJwk(key)).toEqual(jwk.export({ format: 'jwk' }));
    expect(decodeJwk({ ...encodeJwk(key), use: 'sig', kid: 'x' })).toEqual(key);
  });

  it('is refused as SPKI when cut off at any byte, or with a byte left over', () => {
    const der = fromBase64(spki);
    for (let length = 0; length < der.length; length++) {
      expect(refusal(() => decodeSpki(der.subarray(0, length)))).toMatch(/^key-invalid: /);
    }
    expect(refusal(() => decodeSpki(concat(der, new Uint8Array(1))))).toBe(
      `key-invalid: SPKI: 1 byte left over at offset ${der.length}`,
    );
  });
});

it.each<[string, object]>([
  ['an unknown curve', { ...ec('P-256'), crv: 'P-192' }],
  ['a curve with a name from Object.prototype', { ...ec('P-256'), crv: 'toString' }],
  ['an unknown type', { ...rsa, kty: 'OKP' }],
  ['an unknown type of a point', { ...ec('P-256'), kty: 'ec' }],
])('a key with %s is refused', (_, key) => {
  const wrong = key as PublicKey;
  for (const use of [checkPublicKey, encodeSpki, encodeJwk, encodeSpkiPem, computeJwkThumbprint]) {
    expect(refusal(() => use(wrong))).toBe(
      'key-invalid: a public key must have kty RSA, or EC with crv P-256, P-384 or P-521',
    );
  }
});

describe('SPKI', () => {
  it('with any one byte changed is refused or is another key, and then the only form of it', () => {
    const der = fromBase64(ecc.curves['P-256'].spkiB64);
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = view(Buffer.from(der));
        changed[at] = (changed[at] ?? 0) ^ change;
        expect(refusal(() => decodeSpki(changed))).toMatch(/^key-invalid: /);
      }),
    );
    const rsaDer = fromBase64(rsa2048.spkiB64);
    fc.assert(
      fc.property(fc.nat(rsaDer.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = view(Buffer.from(rsaDer));
        changed[at] = (changed[at] ?? 0) ^ change;
        const said = refusal(() => expect(toHex(encodeSpki(decodeSpki(changed)))).toBe(toHex(changed)));
        expect(said).toMatch(/^(?:nothing thrown|key-invalid: .*)/);
      }),
    );
  });

  it.each([
    ['a key of Ed25519', generateKeyPairSync('ed25519').publicKey],
    ['a curve that is none of the three', generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey],
    ['RSA restricted to PSS', generateKeyPairSync('rsa-pss', { modulusLength: 1024 }).publicKey],
  ])('of %s is refused', (_, key) => {
    const der = key.export({ type: 'spki', format: 'der' });
    expect(refusal(() => decodeSpki(der))).toMatch(/^key-invalid: SPKI: unknown algorithm or parameters 06/);
  });

  it('with bits left over in its last byte is refused', () => {
    const der = toHex(fromBase64(ecc.curves['P-256'].spkiB64)).replace('03420004', '03420104');
    expect(refusal(() => decodeSpki(fromHex(der)))).toBe('key-invalid: SPKI: the key is not a whole number of bytes');
  });

  it('with a point that is cut off, or of another form, is refused', () => {
    const der = toHex(fromBase64(ecc.curves['P-256'].spkiB64));
    const cut = der.replace(/^3059/, '3058').replace('03420004', '03410004').slice(0, -2);
    expect(refusal(() => decodeSpki(fromHex(cut)))).toBe(
      'key-invalid: P-256 public key: 64 bytes are not an uncompressed point',
    );
    const hybrid = der.replace('03420004', '03420006');
    expect(refusal(() => decodeSpki(fromHex(hybrid)))).toBe(
      'key-invalid: P-256 public key: 65 bytes are not an uncompressed point',
    );
  });

  it('of an unknown algorithm names its first 32 bytes', () => {
    const said = refusal(() => decodeSpki(fromHex(`302830220620${'01'.repeat(32)}03020000`)));
    expect(said).toBe(`key-invalid: SPKI: unknown algorithm or parameters 0620${'01'.repeat(30)}`);
  });

  it('with a compressed point is refused', () => {
    const point = `03${ecc.curves['P-256'].x.padStart(64, '0')}`;
    const der = fromHex(`3039301306072a8648ce3d020106082a8648ce3d030107032200${point}`);
    expect(refusal(() => decodeSpki(der))).toBe(
      'key-invalid: P-256 public key: 33 bytes are not an uncompressed point',
    );
  });

  it('with a length not in its shortest form, or an indefinite one, is refused', () => {
    const der = toHex(fromBase64(ecc.curves['P-256'].spkiB64));
    expect(refusal(() => decodeSpki(fromHex(der.replace(/^3059/, '308159'))))).toContain('not in its shortest form');
    expect(refusal(() => decodeSpki(fromHex(`${der.replace(/^3059/, '3080')}0000`)))).toContain('indefinite');
  });
});

describe('PKCS#1', () => {
  it('matches the vector and is read back', () => {
    expect(toBase64(encodePkcs1(rsa))).toBe(rsa2048.pkcs1PublicB64);
    expect(decodePkcs1(fromBase64(rsa2048.pkcs1PublicB64))).toEqual(rsa);
  });

  it('is refused when cut off at any byte', () => {
    const der = fromBase64(rsa2048.pkcs1PublicB64);
    for (let length = 0; length < der.length; length++) {
      expect(refusal(() => decodePkcs1(der.subarray(0, length)))).toMatch(/^key-invalid: /);
    }
  });

  it('with a negative, zero or padded number is refused', () => {
    const wrap = (n: string) => fromHex(`30${(n.length / 2 + 5).toString(16).padStart(2, '0')}${n}0203010001`);
    expect(refusal(() => decodePkcs1(wrap('0201ff')))).toMatch(/^key-invalid: PKCS#1 public key: .*negative/);
    expect(refusal(() => decodePkcs1(wrap('020100')))).toContain('zero');
    expect(refusal(() => decodePkcs1(wrap('02020001')))).toContain('not in its shortest form');
    expect(refusal(() => decodePkcs1(wrap('0200')))).toContain('empty');
  });
});

describe('a PEM block', () => {
  const pem = encodeSpkiPem(rsa);
  it.each([
    ['of another label', pem.replaceAll('PUBLIC KEY', 'PRIVATE KEY')],
    ['with text before it', `x${pem}`],
    ['twice', pem + pem],
    ['without its end', pem.replace(/-----END.*/, '')],
    ['with a character that is none of base64', pem.replace('M', '!')],
    ['with a character less', pem.replace('M', '')],
  ])('%s is refused', (_, text) => {
    expect(refusal(() => decodeSpkiPem(text))).toMatch(/^key-invalid: .*PEM block/);
  });
});

describe('a JWK', () => {
  const jwk = encodeJwk(rsa);
  it.each([
    ['a private key', { ...jwk, d: 'AQAB' }, /JWK: d: belongs to a private or symmetric key/],
    ['a symmetric key', { kty: 'oct', k: 'AQAB' }, /JWK: k: belongs to a private or symmetric key/],
    ['another kind', { kty: 'OKP', crv: 'Ed25519', x: 'AQAB' }, /kty "OKP" with crv "Ed25519" is not supported/],
    ['an inherited name as curve', { kty: 'EC', crv: 'toString', x: 'AQAB', y: 'AQAB' }, /is not supported/],
    ['a missing number', { kty: 'RSA', e: 'AQAB' }, /JWK: n: missing/],
    ['padded base64', { ...jwk, e: 'AQAB=' }, /JWK: e: not canonical unpadded base64url/],
    ['a number with leading zeros', { ...jwk, e: 'AAEAAQ' }, /leading zeros/],
    ['no object', '[]', /not a JSON object/],
    ['a member twice', '{"kty":"RSA","kty":"RSA"}', /the member "kty" appears twice/],
    ['null', null, /not a JSON object/],
  ])('of %s is refused', (_, value, message) => {
    expect(refusal(() => decodeJwk(value))).toMatch(message);
    expect(refusal(() => decodeJwk(value))).toMatch(/^key-invalid: /);
  });

  it('with a curve in a list is refused, and the cause of bad base64 is kept', () => {
    expect(refusal(() => decodeJwk({ ...encodeJwk(ec('P-256')), crv: ['P-256'] }))).toContain('is not supported');
    expect(() => decodeJwk({ ...jwk, e: 'AQAB=' })).toThrow(expect.objectContaining({ cause: expect.any(Error) }));
  });

  it('of EC needs kty EC, and says what can be used', () => {
    const remedyOf = (jwk: unknown): unknown => {
      try {
        return decodeJwk(jwk);
      } catch (error) {
        return (error as { remedy?: string }).remedy;
      }
    };
    expect(remedyOf({ ...encodeJwk(ec('P-256')), kty: 'OKP' })).toBe('use an RSA, P-256, P-384 or P-521 key');
  });

  it('has the thumbprint that RFC 7638, section 3.1 prints', () => {
    const example = decodeJwk({
      kty: 'RSA',
      n: '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw',
      e: 'AQAB',
      alg: 'RS256',
      kid: '2011-04-29',
    });
    expect(toBase64Url(computeJwkThumbprint(example))).toBe('NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs');
  });
});

describe('checkPublicKey', () => {
  const rsaOf = (n: string, e: string): PublicKey => ({ kty: 'RSA', n: fromHex(n), e: fromHex(e) });
  const n = toHex(rsa.n);
  it.each([
    ['leading zeros in the modulus', rsaOf(`00${n}`, '010001'), /leading zeros/],
    ['leading zeros in the exponent', rsaOf(n, '00010001'), /leading zeros/],
    ['a modulus of 511 bits', rsaOf(`7f${'ff'.repeat(63)}`, '010001'), /modulus has 511 bits/],
    ['a modulus of 16385 bits', rsaOf(`01${'ff'.repeat(2048)}`, '010001'), /modulus has 16385 bits/],
    ['an even modulus', rsaOf(`${n.slice(0, -2)}10`, '010001'), /modulus is even/],
    ['exponent 1', rsaOf(n, '01'), /exponent 0x01/],
    ['an even exponent', rsaOf(n, '010002'), /exponent 0x010002/],
    ['an exponent of nine bytes', rsaOf(n, '010000000000000001'), /exponent 0x010000000000000001/],
    ['no numbers', rsaOf('', ''), /modulus has 0 bits/],
    ['a coordinate cut off', { ...ec('P-256'), x: ec('P-256').x.subarray(1) }, /not a point on the curve/],
    ['a point beside the curve', { ...ec('P-384'), y: ec('P-384').x }, /not a point on the curve/],
    ['zeros as a point', { ...ec('P-521'), x: new Uint8Array(66), y: new Uint8Array(66) }, /not a point on the curve/],
  ] as const)('refuses %s, also when the key is written', (_, key, message) => {
    expect(refusal(() => checkPublicKey(key))).toMatch(message);
    expect(refusal(() => encodeSpki(key))).toMatch(/^key-invalid: /);
    expect(refusal(() => encodeJwk(key))).toMatch(/^key-invalid: /);
  });

  it.each([
    ['a modulus of 512 bits', rsaOf(`80${'00'.repeat(62)}01`, '010001')],
    ['a modulus of 16384 bits', rsaOf('ff'.repeat(2048), '010001')],
    ['exponent 3', rsaOf(n, '03')],
    ['an exponent of eight bytes', rsaOf(n, '0100000000000001')],
    ['an exponent that ends with 01', rsaOf(n, '0101')],
    ['an exponent that begins with 01', rsaOf(n, '010001')],
    ['a point with an x of zero', { ...ec('P-256'), x: new Uint8Array(32), y: fromHex(P256_ROOT_OF_B) }],
  ])('takes %s', (_, key) => {
    expect(refusal(() => checkPublicKey(key))).toBe('nothing thrown');
  });

  it('refuses the prime in place of zero, and coordinates above it, though they mean a point on the curve', () => {
    const p256 = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
    const x = fromHex(p256.toString(16));
    expect(refusal(() => checkPublicKey({ kty: 'EC', crv: 'P-256', x, y: fromHex(P256_ROOT_OF_B) }))).toMatch(
      /^key-invalid: /,
    );
    const point = ec('P-521');
    const aboveP = (bytes: Uint8Array) =>
      fromHex((BigInt(`0x${toHex(bytes)}`) + 2n ** 521n - 1n).toString(16).padStart(132, '0'));
    expect(refusal(() => checkPublicKey({ ...point, x: aboveP(point.x) }))).toMatch(/^key-invalid: /);
    expect(refusal(() => checkPublicKey({ ...point, y: aboveP(point.y) }))).toMatch(/^key-invalid: /);
  });

  it('refuses coordinates with more zeros before them', () => {
    const { x, y } = ec('P-256');
    const longer = (bytes: Uint8Array) => concat(new Uint8Array(1), bytes);
    expect(refusal(() => checkPublicKey({ kty: 'EC', crv: 'P-256', x: longer(x), y }))).toMatch(/^key-invalid: /);
    expect(refusal(() => checkPublicKey({ kty: 'EC', crv: 'P-256', x, y: longer(y) }))).toMatch(/^key-invalid: /);
  });

  it('refuses a coordinate above the prime that is on the curve modulo it', () => {
    // x = 5 has a point on P-256 (found by trying); x + p fits into 32 bytes and means the same number.
    const p = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
    const y = fromHex('459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc');
    const x = (value: bigint) => fromHex(value.toString(16).padStart(64, '0'));
    expect(refusal(() => checkPublicKey({ kty: 'EC', crv: 'P-256', x: x(5n), y }))).toBe('nothing thrown');
    expect(refusal(() => checkPublicKey({ kty: 'EC', crv: 'P-256', x: x(5n + p), y }))).toMatch(/^key-invalid: /);
  });
});

describe('weaknessOf', () => {
  const modulus = (bits: number): PublicKey => {
    const n = new Uint8Array(Math.ceil(bits / 8)).fill(0xff);
    n[0] = 0xff >> (8 * n.length - bits);
    return { kty: 'RSA', n, e: fromHex('010001') };
  };

  it('applies to RSA keys below 2048 bits, and to ROCA keys', () => {
    expect(weaknessOf(modulus(2047))).toBe('an RSA key of 2047 bits is too short; the minimum is 2048');
    expect(weaknessOf(modulus(2048))).toBeUndefined();
    const powerOf65537 = fromHex((65537n ** 127n).toString(16).padStart(510, '0'));
    expect(weaknessOf({ kty: 'RSA', n: powerOf65537, e: fromHex('010001') })).toMatch(/^an RSA key of \d+ bits is/);
    const larger = fromHex((65537n ** 128n).toString(16).padStart(514, '0'));
    expect(weaknessOf({ kty: 'RSA', n: larger, e: fromHex('010001') })).toBe(
      'its private key can be computed (ROCA, CVE-2017-15361)',
    );
  });

  it('is none of a curve', () => {
    expect(weaknessOf(ec('P-256'))).toBeUndefined();
  });
});
