import {
  constants,
  createECDH,
  generateKeyPairSync,
  getRandomValues,
  type KeyObject,
  privateDecrypt,
  privateEncrypt,
  publicDecrypt,
  sign,
} from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { concat, fromHex, toHex, utf8, view } from '../../src/bytes.ts';
import { derSequence, derUnsigned, derValue, TAG } from '../../src/crypto/der-write.ts';
import { decodeSpki, encodePkcs1 } from '../../src/crypto/public-key.ts';
import * as node from '../../src/primitives.ts';
import * as web from '../../src/primitives-web.ts';

// The web implementation must match Node and OpenSSL, byte for byte.
const platforms: readonly (typeof node)[] = [node, web];
const HASHES = ['sha1', 'sha256', 'sha384', 'sha512'] as const;
const SIZES = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 } as const;
const random = (size: number): Uint8Array<ArrayBuffer> => getRandomValues(new Uint8Array(size));
const data = utf8('the data');

/** The result of both, which must be identical. */
function both<T>(ask: (platform: typeof node) => T): T {
  const [first, second] = platforms.map(ask) as [T, T];
  expect(second).toEqual(first);
  return first;
}

/** Whether both throw. */
const throws = (ask: (platform: typeof node) => unknown): boolean =>
  both((platform) => {
    try {
      ask(platform);
      return false;
    } catch {
      return true;
    }
  });

describe('a Node.js', () => {
  const { versions } = process;
  const loadIn = (version: string) => {
    vi.resetModules();
    Object.defineProperty(process, 'versions', { value: { ...versions, node: version }, configurable: true });
    return import('../../src/primitives.ts');
  };
  afterEach(() => Object.defineProperty(process, 'versions', { value: versions, configurable: true }));

  it.each(['16.20.2', '18.20.8', '20.18.3'])('%s is too old, and the message names both versions', async (version) => {
    await expect(loadIn(version)).rejects.toThrow(`keyprov needs Node.js 20.19 or newer, and this is ${version}`);
    expect(manifest.engines.node.split(' ')[0]).toBe('^20.19.0');
  });

  it.each(['20.19.0', '22.12.0', '25.0.0-nightly'])('%s is not', async (version) => {
    expect(await loadIn(version)).toHaveProperty('toHex');
  });
});

describe('the primitives', () => {
  it('have the same names everywhere', () => {
    expect(Object.keys(web).sort()).toEqual(Object.keys(node).sort());
  });

  it('write and read bytes the same', () => {
    for (let size = 0; size < 80; size++) {
      const bytes = random(size).subarray(size % 3);
      const hex = both(({ toHex }) => toHex(bytes));
      expect(both(({ decodeHex }) => decodeHex(hex))).toEqual(new Uint8Array(bytes));
      for (const name of ['asBase64', 'asBase64Url'] as const) {
        const text = both((platform) => platform[name](bytes));
        expect(both(({ decodeBase64 }) => decodeBase64(text))).toEqual(new Uint8Array(bytes));
      }
      both(({ latin1 }) => latin1(bytes));
    }
    expect(both(({ latin1 }) => latin1(Uint8Array.from({ length: 10_000 }, (_, i) => i)))).toContain('\u0080\u0081');
  });

  it.each(['A', 'AA', 'AB==', 'AA=', 'A===', 'QUJD=', 'QU JD', 'QUJD\n', '-_-_', '+/+/', 'QUJ\u{1f600}', 'é', 'QUJDQ'])(
    'agree on whether base64 is canonical: %j',
    (text) => {
      both(({ decodeBase64, asBase64 }) => asBase64(decodeBase64(text)) === text);
      both(({ decodeBase64, asBase64Url }) => asBase64Url(decodeBase64(text)) === text);
    },
  );

  it('compare the same', () => {
    const pairs = [
      ['', ''],
      ['00', ''],
      ['0102', '0102'],
      ['0102', '0103'],
      ['0102', '8102'],
    ] as const;
    expect(pairs.map(([a, b]) => both(({ equal }) => equal(fromHex(a), fromHex(b))))).toEqual([
      ...[true, false, true, false, false],
    ]);
  });

  it('draw as many random bytes as are wanted, others each time', () => {
    for (const { randomBytes } of platforms) {
      expect([0, 1, 16, 64].map((size) => randomBytes(size).length)).toEqual([0, 1, 16, 64]);
      expect(toHex(randomBytes(32))).not.toBe(toHex(randomBytes(32)));
      expect(randomBytes(8).constructor).toBe(Uint8Array);
    }
  });

  it.each(HASHES)('hash the same with %s', (hash) => {
    for (const size of [0, 1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 1000]) {
      const [a, b] = [random(size), random(7)];
      expect(both(({ digestOf }) => digestOf(hash, a, b)).length).toBe(SIZES[hash]);
      both(({ hmac }) => hmac(hash, a, b, a));
    }
    expect(both(({ digestOf }) => digestOf(hash)).length).toBe(SIZES[hash]);
  });

  it.each([16, 24, 32])('encrypt and decrypt the same with AES-CFB and a key of %i bytes', (size) => {
    const [key, iv] = [random(size), random(16)];
    for (let length = 0; length < 50; length++) {
      const plain = random(length);
      const encrypted = both(({ aesCfb }) => aesCfb('encrypt', key, iv, plain));
      expect(both(({ aesCfb }) => aesCfb('decrypt', key, iv, encrypted))).toEqual(plain);
    }
  });
});

const numbersOf = (key: KeyObject): node.RsaNumbers => {
  const decoded = decodeSpki(view(key.export({ type: 'spki', format: 'der' })));
  if (decoded.kty !== 'RSA') throw new Error('an RSA key is expected');
  return { ...decoded, pkcs1: encodePkcs1(decoded) };
};

const rsaPair = (modulusLength: number, publicExponent: number) => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength, publicExponent });
  return { privateKey, publicKey, key: numbersOf(publicKey) };
};
const RAW = { padding: constants.RSA_NO_PADDING };
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING };
const pairs = [rsaPair(1024, 65537), rsaPair(1025, 3), rsaPair(1031, 3), rsaPair(2048, 65537)];
const [usual, , , large] = pairs as [(typeof pairs)[0], unknown, unknown, (typeof pairs)[0]];

describe('RSA signatures', () => {
  it('verify with both paddings, salts of every length, and keys of every number of bits', () => {
    const seen = { pkcs1: 0, pss: 0, digest: 0 };
    for (const { privateKey, key } of pairs) {
      for (const hash of HASHES) {
        const signature = sign(hash, data, privateKey);
        expect(both(({ verifyRsa }) => verifyRsa('pkcs1', key, hash, data, signature))).toBe(true);
        expect(both(({ verifyRsa }) => verifyRsa('pss', key, hash, data, signature))).toBe(false);
        seen.pkcs1++;
        for (const saltLength of [0, 1, SIZES[hash], constants.RSA_PSS_SALTLEN_MAX_SIGN]) {
          if (hash === 'sha512' && saltLength === 64 && key.n.length < 132) continue; // the key is too short
          const salted = sign(hash, data, { key: privateKey, ...PSS, saltLength });
          expect(both(({ verifyRsa }) => verifyRsa('pss', key, hash, data, salted))).toBe(true);
          expect(both(({ verifyRsa }) => verifyRsa('pkcs1', key, hash, data, salted))).toBe(false);
          const isDigest = both(({ verifyRsa }) => verifyRsa('pss-digest', key, hash, data, salted));
          if (saltLength >= 0) expect(isDigest).toBe(saltLength === SIZES[hash]);
          seen.pss++;
          if (isDigest) seen.digest++;
        }
      }
    }
    expect(seen.pkcs1).toBe(16);
    expect(seen.pss).toBeGreaterThan(50);
    expect(seen.digest).toBeGreaterThanOrEqual(13);
  });

  it.each(['pkcs1', 'pss', 'pss-digest'] as const)(
    '%s do not verify changed, cut, longer or out of range',
    (padding) => {
      const { privateKey, key } = usual;
      const signature = view(
        sign('sha256', data, { key: privateKey, ...(padding !== 'pkcs1' && { ...PSS, saltLength: 32 }) }),
      );
      const isGood = (value: Uint8Array) => both(({ verifyRsa }) => verifyRsa(padding, key, 'sha256', data, value));
      const number = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes)}`);
      const bytes = (value: bigint): Uint8Array => fromHex(value.toString(16).padStart(256, '0'));
      expect(isGood(signature)).toBe(true);
      for (let at = 0; at < signature.length; at += 7) {
        expect(isGood(signature.map((byte, i) => (i === at ? byte ^ (1 << (at % 8)) : byte)))).toBe(false);
      }
      expect(isGood(signature.subarray(1))).toBe(false);
      expect(isGood(signature.subarray(0, -1))).toBe(false);
      expect(isGood(new Uint8Array(0))).toBe(false);
      expect(isGood(concat(Uint8Array.of(0), signature))).toBe(false);
      expect(isGood(concat(signature, Uint8Array.of(0)))).toBe(false);
      expect(isGood(concat(new Uint8Array(900), signature))).toBe(false);
      const n = number(key.n);
      const sum = number(signature) + n;
      for (const value of [0n, 1n, n - 1n, n, ...(sum < 2n ** 1024n ? [sum] : [])]) {
        expect(isGood(bytes(value))).toBe(false);
      }
      const hashes = HASHES.filter((hash) => hash !== 'sha256');
      for (const hash of hashes) {
        expect(both(({ verifyRsa }) => verifyRsa(padding, key, hash, data, signature))).toBe(false);
      }
      expect(both(({ verifyRsa }) => verifyRsa(padding, key, 'sha256', utf8('other'), signature))).toBe(false);
      expect(both(({ verifyRsa }) => verifyRsa(padding, large.key, 'sha256', data, signature))).toBe(false);
    },
  );

  it('of a key too short for the hash do not verify', () => {
    const { privateKey, key } = rsaPair(512, 65537);
    const signature = sign('sha1', data, privateKey);
    expect(both(({ verifyRsa }) => verifyRsa('pkcs1', key, 'sha1', data, signature))).toBe(true);
    for (const hash of HASHES.slice(1)) {
      expect(both(({ verifyRsa }) => verifyRsa('pkcs1', key, hash, data, signature))).toBe(false);
      expect(both(({ verifyRsa }) => verifyRsa('pss', key, hash, data, signature))).toBe(false);
    }
  });
});

describe('paddings made with the private key itself', () => {
  const { privateKey, publicKey, key } = rsaPair(1024, 3);
  const size = key.n.length;
  const hashed = node.digestOf('sha256', data);
  const info = fromHex(`3031300d060960864801650304020105000420${toHex(hashed)}`);
  const sealed = (encoded: Uint8Array): Uint8Array => privateEncrypt({ key: privateKey, ...RAW }, encoded);
  const ff = (length: number): Uint8Array => new Uint8Array(length).fill(0xff);
  const block = (head: string, fill: Uint8Array, rest: Uint8Array): Uint8Array =>
    concat(fromHex(head), fill, fromHex('00'), rest);
  const whole = (rest: Uint8Array): Uint8Array => block('0001', ff(size - 3 - rest.length), rest);
  const filled = (rest: Uint8Array): Uint8Array => concat(rest, random(size - rest.length));

  const wrong: readonly (readonly [string, Uint8Array])[] = [
    ['garbage behind the hash (Bleichenbacher, 2006)', filled(block('0001', ff(8), info))],
    ['zeros behind the hash', concat(block('0001', ff(8), info), new Uint8Array(size - 11 - info.length))],
    [
      'garbage in the parameters',
      whole(
        derSequence(
          derSequence(fromHex('0609608648016503040201'), derValue(TAG.OCTET_STRING, random(20))),
          derValue(TAG.OCTET_STRING, hashed),
        ),
      ),
    ],
    ['no parameters', whole(fromHex(`302f300b06096086480165030402010420${toHex(hashed)}`))],
    ['lengths in long form', whole(fromHex(`308131300d060960864801650304020105000420${toHex(hashed)}`))],
    ['the name of another hash', whole(fromHex(`3031300d060960864801650304020305000420${toHex(hashed)}`))],
    ['the hash alone', whole(hashed)],
    ['fewer than eight bytes of padding', block('0001', ff(size - 3 - info.length - 1), concat(info, fromHex('00')))],
    ['a byte in the padding that is not ff', whole(info).map((byte, i) => (i === 40 ? 0xfe : byte))],
    ['a zero in the padding', whole(info).map((byte, i) => (i === 12 ? 0 : byte))],
    ['block type 2', whole(info).map((byte, i) => (i === 1 ? 2 : byte))],
    ['block type 0', whole(info).map((byte, i) => (i === 1 ? 0 : byte))],
    ['a first byte that is not zero', whole(info).map((byte, i) => (i === 0 ? 1 : byte))],
    ['the hash of other data', whole(concat(info.subarray(0, 19), node.digestOf('sha256', utf8('x'))))],
  ];

  it('verify when they are as RFC 8017 has them', () => {
    const signature = sealed(whole(info));
    expect(toHex(publicDecrypt({ key: publicKey, ...RAW }, signature))).toBe(toHex(whole(info)));
    expect(both(({ verifyRsa }) => verifyRsa('pkcs1', key, 'sha256', data, signature))).toBe(true);
  });

  it.each(wrong)('do not verify with %s', (_, encoded) => {
    expect(encoded.length).toBe(size);
    const signature = sealed(encoded);
    expect(both(({ verifyRsa }) => verifyRsa('pkcs1', key, 'sha256', data, signature))).toBe(false);
  });

  /** EMSA-PSS with its parts as they are given. RFC 8017, 9.1.1. */
  function pss(change: {
    salt?: Uint8Array;
    one?: number;
    fill?: number;
    trailer?: number;
    top?: number;
    hash?: string;
  }) {
    const { salt = random(32), one = 1, fill = 0, trailer = 0xbc, top = 0x7f } = change;
    const stated = node.digestOf('sha256', new Uint8Array(8), hashed, salt);
    const length = size - 33;
    const clear = concat(new Uint8Array(length - salt.length - 1).fill(fill), Uint8Array.of(one), salt);
    let mask: Uint8Array = new Uint8Array(0);
    for (let i = 0; mask.length < length; i++)
      mask = concat(mask, node.digestOf('sha256', stated, Uint8Array.of(0, 0, 0, i)));
    const masked = clear.map((byte, i) => byte ^ (mask[i] as number));
    masked[0] = top > 0x7f ? (masked[0] as number) | 0x80 : (masked[0] as number) & top;
    return sealed(concat(masked, stated, Uint8Array.of(trailer)));
  }

  it.each([
    ['a salt of 32 bytes', {}, true],
    ['no salt', { salt: new Uint8Array(0) }, true],
    ['the longest salt', { salt: random(94) }, true],
    ['a salt of zeros and ones', { salt: new Uint8Array(32).fill(1) }, true],
    ['another trailer', { trailer: 0xcc }, false],
    ['padding that is not zero', { fill: 2 }, false],
    ['another byte before the salt', { one: 2 }, false],
    ['nothing but zeros', { one: 0, salt: new Uint8Array(32) }, false],
  ] as const)('verify or not: PSS with %s', (_, change, expected) => {
    const signature = pss(change);
    expect(both(({ verifyRsa }) => verifyRsa('pss', key, 'sha256', data, signature))).toBe(expected);
  });

  it('do not verify: PSS with the highest bit set', () => {
    // Only numbers below the modulus can be sealed.
    const seal = (): Uint8Array => {
      try {
        return pss({ top: 0xff });
      } catch {
        return seal();
      }
    };
    const signature = seal();
    expect(both(({ verifyRsa }) => verifyRsa('pss', key, 'sha256', data, signature))).toBe(false);
  });
});

describe('RSAES-OAEP', () => {
  it.each(HASHES)('is decrypted by OpenSSL, with %s', (hash) => {
    const { privateKey, key } = large;
    const label = utf8('IDENTITY\0');
    const longest = 256 - 2 * SIZES[hash] - 2;
    for (const length of [0, 1, SIZES[hash], longest]) {
      const message = random(length);
      for (const { encryptOaep } of platforms) {
        const encrypted = encryptOaep(key, hash, label, message);
        const options = { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: hash };
        expect(view(privateDecrypt({ ...options, oaepLabel: label }, encrypted))).toEqual(message);
        expect(() => privateDecrypt({ ...options, oaepLabel: utf8('other') }, encrypted)).toThrow();
      }
    }
    expect(throws(({ encryptOaep }) => encryptOaep(key, hash, label, random(longest + 1)))).toBe(true);
  });
});

const ORDERS = {
  'P-256': 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
  'P-384': 'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
  'P-521': `01${'ff'.repeat(32)}fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409`,
} as const;
const CURVE_SIZES = { 'P-256': 32, 'P-384': 48, 'P-521': 66 } as const;

describe.each(['P-256', 'P-384', 'P-521'] as const)('on %s', (crv) => {
  const size = CURVE_SIZES[crv];
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: crv });
  const decoded = decodeSpki(view(publicKey.export({ type: 'spki', format: 'der' })));
  if (decoded.kty !== 'EC') throw new Error('a key on a curve is expected');
  const key: node.CurvePoint = decoded;
  const order = fromHex(ORDERS[crv]);
  const isGood = (format: 'raw' | 'der', signature: Uint8Array, hash: node.HashName = 'sha256'): boolean =>
    both(({ verifyEcdsa }) => verifyEcdsa(format, key, hash, data, signature));
  const toNumber = (bytes: Uint8Array): bigint => BigInt(`0x0${toHex(bytes)}`);
  const toBytes = (number: bigint): Uint8Array => fromHex(number.toString(16).padStart(2 * size, '0'));

  it.each(HASHES)('signatures verify with %s, and not when changed', (hash) => {
    for (let round = 0; round < 2; round++) {
      const raw = view(sign(hash, data, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
      const der = view(sign(hash, data, { key: privateKey, dsaEncoding: 'der' }));
      expect([isGood('raw', raw, hash), isGood('der', der, hash)]).toEqual([true, true]);
      expect([isGood('raw', der, hash), isGood('der', raw, hash)]).toEqual([false, false]);
      const other = hash === 'sha256' ? 'sha384' : 'sha256';
      expect([isGood('raw', raw, other), isGood('der', der, other)]).toEqual([false, false]);
      const at = round * 7;
      expect(
        isGood(
          'raw',
          raw.map((byte, i) => (i === at ? byte ^ 1 : byte)),
          hash,
        ),
      ).toBe(false);
    }
  });

  it('signatures may have a high s, and no number out of range or of another length', () => {
    const raw = view(sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
    const [r, s] = [raw.subarray(0, size), raw.subarray(size)];
    const n = toNumber(order);
    const zero = new Uint8Array(size);
    const pair = (a: Uint8Array, b: Uint8Array): boolean[] => [
      isGood('raw', concat(a, b)),
      isGood('der', derSequence(derUnsigned(a), derUnsigned(b))),
    ];
    expect(pair(r, s)).toEqual([true, true]);
    expect(pair(r, toBytes(n - toNumber(s)))).toEqual([true, true]);
    for (const [a, b] of [
      [zero, s],
      [r, zero],
      [zero, zero],
      [toBytes(n), s],
      [r, toBytes(n)],
      [new Uint8Array(size).fill(0xff), s],
      [s, r],
    ] as const) {
      expect(pair(a, b)).toEqual([false, false]);
    }
    for (const bytes of [raw.subarray(1), raw.subarray(0, -1), concat(raw, Uint8Array.of(0)), new Uint8Array(0)]) {
      expect(isGood('raw', bytes)).toBe(false);
    }
    expect(isGood('raw', concat(new Uint8Array(1), r, new Uint8Array(1), s))).toBe(false);
  });

  it('signatures are in strict DER', () => {
    let der = view(sign('sha256', data, privateKey));
    const isShort = (bytes: Uint8Array) => crv === 'P-521' || bytes.length < 0x80;
    while (!isShort(der)) der = view(sign('sha256', data, privateKey));
    const head = der[1] === 0x81 ? 3 : 2;
    const content = der.subarray(head);
    const first = content.subarray(0, 2 + (content[1] as number));
    const second = content.subarray(first.length);
    const integer = (bytes: Uint8Array): Uint8Array => concat(Uint8Array.of(2, bytes.length), bytes);
    const sequence = (...parts: Uint8Array[]): Uint8Array => derSequence(...parts);
    expect(isGood('der', sequence(first, second))).toBe(true);
    const longForm = (length: number): Uint8Array =>
      head === 3 ? Uint8Array.of(0x30, 0x82, 0, length) : Uint8Array.of(0x30, 0x81, length);
    const forms = [
      concat(longForm(content.length), content),
      concat(Uint8Array.of(0x30, 0x80), content, new Uint8Array(2)),
      concat(Uint8Array.of(0x31), der.subarray(1)),
      concat(der, new Uint8Array(1)),
      sequence(first, second, Uint8Array.of(5, 0)),
      sequence(first),
      sequence(),
      sequence(integer(concat(Uint8Array.of(0), first.subarray(2))), second),
      sequence(first, integer(concat(Uint8Array.of(0), second.subarray(2)))),
      sequence(integer(concat(Uint8Array.of(0xff), first.subarray(2))), second),
      sequence(integer(new Uint8Array(0)), second),
      sequence(concat(Uint8Array.of(2, 0x81, first[1] as number), first.subarray(2)), second),
      sequence(concat(Uint8Array.of(3), first.subarray(1)), second),
      ...Array.from({ length: der.length }, (_, length) => der.subarray(0, length)),
    ];
    expect(forms.map((form) => isGood('der', form))).toEqual(forms.map(() => false));
  });

  it('secrets are agreed on, the same from both sides', () => {
    for (const { newScalar, pointOf } of platforms) {
      for (let round = 0; round < 2; round++) {
        const scalar = newScalar(crv);
        expect(scalar.length).toBeLessThanOrEqual(size);
        const { point, z } = both(({ agree }) => agree(scalar, key));
        expect(point).toEqual(pointOf(crv, scalar));
        expect([point.length, z.length]).toEqual([1 + 2 * size, size]);
        const ecdh = createECDH({ 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' }[crv]);
        ecdh.setPrivateKey(Buffer.from(`${privateKey.export({ format: 'jwk' }).d}`, 'base64url'));
        expect(z).toEqual(view(ecdh.computeSecret(point)));
      }
    }
    const one = concat(new Uint8Array(size - 1), Uint8Array.of(1));
    expect(both(({ pointOf }) => pointOf(crv, one)).length).toBe(1 + 2 * size);
    for (const scalar of [new Uint8Array(size), order, new Uint8Array(size).fill(0xff), new Uint8Array(0)]) {
      expect(throws(({ pointOf }) => pointOf(crv, scalar))).toBe(true);
    }
  });

  it('a point that is not on the curve is not taken', () => {
    const nowhere: node.CurvePoint = { crv, x: key.y, y: key.x };
    expect(throws(({ agree }) => agree(concat(new Uint8Array(size - 1), Uint8Array.of(7)), nowhere))).toBe(true);
  });
});
