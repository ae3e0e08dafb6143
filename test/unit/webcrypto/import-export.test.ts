import { webcrypto } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { concat, equal } from '../../../src/bytes.ts';
import { createCrypto } from '../../../src/webcrypto/index.ts';
import { failure } from '../../dom-failure.ts';

const { subtle } = createCrypto();

/** A kind of key with its key data, which Node's own implementation made. */
interface Kind {
  readonly generate: object;
  /** For import. */
  readonly algorithm: { readonly name: string };
  readonly publicUsages: readonly webcrypto.KeyUsage[];
  readonly privateUsages: readonly webcrypto.KeyUsage[];
  /** `alg` that exported JSON Web Keys have. */
  readonly alg?: string;
}

const rsa = (name: string, hash: string, alg: string, publicUsages: string[], privateUsages: string[]) =>
  ({
    generate: { name, hash, modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]) },
    algorithm: { name, hash },
    ...{ publicUsages, privateUsages, alg },
  }) as Kind;
const ec = (name: string, namedCurve: string, publicUsages: string[], privateUsages: string[]) =>
  ({ generate: { name, namedCurve }, algorithm: { name, namedCurve }, publicUsages, privateUsages }) as Kind;
const AGREEMENT = ['deriveKey', 'deriveBits'];
const KINDS: readonly Kind[] = [
  rsa('RSASSA-PKCS1-v1_5', 'SHA-1', 'RS1', ['verify'], ['sign']),
  rsa('RSASSA-PKCS1-v1_5', 'SHA-256', 'RS256', ['verify'], ['sign']),
  rsa('RSA-PSS', 'SHA-512', 'PS512', ['verify'], ['sign']),
  rsa('RSA-OAEP', 'SHA-1', 'RSA-OAEP', ['encrypt', 'wrapKey'], ['decrypt', 'unwrapKey']),
  rsa('RSA-OAEP', 'SHA-384', 'RSA-OAEP-384', ['encrypt', 'wrapKey'], ['decrypt', 'unwrapKey']),
  ...['P-256', 'P-384', 'P-521'].flatMap((curve) => [
    ec('ECDSA', curve, ['verify'], ['sign']),
    ec('ECDH', curve, [], AGREEMENT),
  ]),
  {
    generate: { name: 'Ed25519' },
    algorithm: { name: 'Ed25519' },
    publicUsages: ['verify'],
    privateUsages: ['sign'],
    alg: 'Ed25519',
  },
  {
    generate: { name: 'X25519' },
    algorithm: { name: 'X25519' },
    publicUsages: [],
    privateUsages: ['deriveKey', 'deriveBits'],
  },
];

interface Data {
  readonly format: webcrypto.KeyFormat;
  readonly type: 'public' | 'private';
  readonly data: webcrypto.JsonWebKey | Uint8Array;
  readonly usages: readonly webcrypto.KeyUsage[];
}
const keyData = new Map<Kind, readonly Data[]>();

beforeAll(async () => {
  for (const kind of KINDS) {
    const all = [...kind.publicUsages, ...kind.privateUsages];
    const pair: webcrypto.CryptoKeyPair = await Reflect.apply(webcrypto.subtle.generateKey, webcrypto.subtle, [
      kind.generate,
      true,
      all,
    ]);
    const list: Data[] = [];
    for (const format of ['spki', 'raw', 'pkcs8'] as const) {
      if (format === 'raw' && 'hash' in kind.algorithm) continue;
      const type = format === 'pkcs8' ? 'private' : 'public';
      const data = new Uint8Array(await webcrypto.subtle.exportKey(format, pair[`${type}Key`]));
      list.push({ format, type, data, usages: kind[`${type}Usages`] });
    }
    for (const type of ['public', 'private'] as const) {
      const data = await webcrypto.subtle.exportKey('jwk', pair[`${type}Key`]);
      list.push({ format: 'jwk', type, data, usages: kind[`${type}Usages`] });
    }
    keyData.set(kind, list);
  }
});

const dataOf = (kind: Kind): readonly Data[] => keyData.get(kind) ?? [];
const jwkOf = (kind: Kind, type: 'public' | 'private'): webcrypto.JsonWebKey => {
  const found = dataOf(kind).find((one) => one.format === 'jwk' && one.type === type);
  return found?.data instanceof Uint8Array ? {} : (found?.data ?? {});
};
const bytesOf = (kind: Kind, format: string): Uint8Array => {
  const found = dataOf(kind).find((one) => one.format === format);
  return found?.data instanceof Uint8Array ? found.data : new Uint8Array(0);
};
const importKey = (...args: unknown[]): Promise<webcrypto.CryptoKey> => Reflect.apply(subtle.importKey, subtle, args);
const exportKey = (...args: unknown[]): Promise<ArrayBuffer> => Reflect.apply(subtle.exportKey, subtle, args);
const named = KINDS.map((kind) => [JSON.stringify(kind.algorithm), kind] as const);
const kindOf = (name: string, rest?: string): Kind => {
  const found = KINDS.find(
    ({ algorithm }) => algorithm.name === name && JSON.stringify(algorithm).includes(rest ?? ''),
  );
  if (found === undefined) throw new Error(`no kind ${name}`);
  return found;
};

describe('importKey and exportKey of key pairs', () => {
  it.each(named)('of %s give every format back as it came', async (_, kind) => {
    expect(dataOf(kind).length).toBe('hash' in kind.algorithm ? 4 : 5);
    for (const { format, type, data, usages } of dataOf(kind)) {
      const key = await importKey(format, data, kind.algorithm, true, usages);
      expect([key.type, key.extractable, key.usages]).toEqual([type, true, usages]);
      const hash = 'hash' in kind.algorithm ? { hash: { name: kind.algorithm.hash } } : {};
      expect(key.algorithm).toEqual({ ...kind.generate, ...hash });
      const exported = await exportKey(format, key);
      if (data instanceof Uint8Array) {
        expect(new Uint8Array(exported)).toEqual(data);
      } else {
        expect(exported).toEqual({ ...data, key_ops: usages, ext: true, ...(kind.alg && { alg: kind.alg }) });
      }
    }
  });

  it.each(named)('of %s know the public key in all its formats as the same', async (_, kind) => {
    const spki = bytesOf(kind, 'spki');
    for (const { format, type, data, usages } of dataOf(kind)) {
      if (type === 'private') continue;
      const key = await importKey(format, data, kind.algorithm, true, usages);
      expect(new Uint8Array(await exportKey('spki', key))).toEqual(spki);
    }
  });

  it.each(named)('of %s take public keys without usages, and no private ones', async (_, kind) => {
    for (const { format, type, data } of dataOf(kind)) {
      for (const extractable of [true, false]) {
        const refused = await failure(() => importKey(format, data, kind.algorithm, extractable, []));
        expect(refused).toBe(type === 'public' ? 'nothing thrown' : 'SyntaxError');
      }
    }
  });

  it.each(named)('of %s refuse foreign usages before they look at the data', async (_, kind) => {
    for (const { format, type, data, usages } of dataOf(kind)) {
      const bad = data instanceof Uint8Array ? new Uint8Array(3) : { ...data, kty: 'x' };
      for (const usage of ['encrypt', 'sign', 'verify', 'deriveBits', 'unwrapKey'] as const) {
        if (usages.includes(usage)) continue;
        for (const given of [[usage], [...usages, usage]]) {
          expect(await failure(() => importKey(format, bad, kind.algorithm, true, given)), type).toBe('SyntaxError');
        }
      }
    }
  });

  it.each(named)('of %s refuse data that is damaged', async (_, kind) => {
    for (const { format, data, usages } of dataOf(kind)) {
      const refuse = async (changed: unknown) =>
        expect(await failure(() => importKey(format, changed, kind.algorithm, true, usages))).toBe('DataError');
      if (data instanceof Uint8Array) {
        await refuse(data.subarray(0, -1));
        await refuse(concat(data, new Uint8Array(1)));
        await refuse(new Uint8Array(0));
      } else {
        await refuse({ ...data, kty: 'oct' });
        await refuse({ ...data, kty: undefined });
        for (const member of ['n', 'e', 'crv', 'x', 'y'].filter((name) => name in data)) {
          await refuse({ ...data, [member]: undefined });
          await refuse({ ...data, [member]: '&' });
        }
        if (!/ECDH|X25519/.test(kind.algorithm.name)) await refuse({ ...data, alg: 'XX' });
        await refuse({ ...data, ext: false });
        await refuse({ ...data, key_ops: ['sign', 'sign'] });
        if (usages.length > 0) {
          await refuse({ ...data, key_ops: [] });
          await refuse({ ...data, use: data.use === 'sig' ? 'enc' : /sign|verify/.test(`${usages}`) ? 'enc' : 'sig' });
        }
      }
    }
  });

  it.each(named.filter(([name]) => name.includes('EC')))('of %s refuse keys on another curve', async (_, kind) => {
    const other = JSON.stringify(kind.algorithm).includes('P-384') ? 'P-256' : 'P-384';
    const algorithm = { ...kind.algorithm, namedCurve: other };
    for (const { format, data, usages } of dataOf(kind)) {
      expect(await failure(() => importKey(format, data, algorithm, true, usages))).toBe('DataError');
      const unknown = { ...kind.algorithm, namedCurve: 'P-512' };
      expect(await failure(() => importKey(format, data, unknown, true, ['encrypt']))).toBe('NotSupportedError');
    }
  });

  it('refuse keys of another kind', async () => {
    const [p256, ed, rsaKey] = [kindOf('ECDSA', 'P-256'), kindOf('Ed25519'), kindOf('RSA-PSS')];
    for (const [kind, other] of [
      [p256, ed],
      [ed, p256],
      [rsaKey, p256],
      [p256, rsaKey],
    ] as const) {
      for (const { format, data } of dataOf(kind)) {
        if (format === 'raw') continue;
        const usages = format === 'spki' ? ['verify'] : format === 'pkcs8' || 'd' in data ? ['sign'] : ['verify'];
        expect(await failure(() => importKey(format, data, other.algorithm, true, usages))).toBe('DataError');
      }
    }
    const pkcs8 = bytesOf(kindOf('X25519'), 'pkcs8');
    expect(await failure(() => importKey('pkcs8', pkcs8, 'Ed25519', true, ['sign']))).toBe('DataError');
  });

  it.each(named)('of %s refuse private keys with the public key of another', async (_, kind) => {
    const usages = kind.privateUsages;
    const all = [...kind.publicUsages, ...usages];
    const pair: webcrypto.CryptoKeyPair = await Reflect.apply(webcrypto.subtle.generateKey, webcrypto.subtle, [
      kind.generate,
      true,
      all,
    ]);
    const other = await webcrypto.subtle.exportKey('jwk', pair.privateKey);
    const own = jwkOf(kind, 'private');
    const swaps = [['n'], ['x'], ['x', 'y'], ['d'], ['p', 'q'], ['dp'], ['dq'], ['qi'], ['p', 'q', 'dp', 'dq', 'qi']];
    let refused = 0;
    for (const names of swaps.filter((list) => list.every((name) => name in own))) {
      const mixed = { ...own, ...Object.fromEntries(names.map((name) => [name, Reflect.get(other, name)])) };
      expect([names, await failure(() => importKey('jwk', mixed, kind.algorithm, true, usages))]).toEqual([
        names,
        'DataError',
      ]);
      refused++;
    }
    expect(refused).toBe(own.kty === 'RSA' ? 7 : own.kty === 'EC' ? 3 : 2);

    const pkcs8 = bytesOf(kind, 'pkcs8');
    const isOkp = own.kty === 'OKP';
    const size = isOkp ? 32 : bytesOf(kind, 'raw').length;
    const raw = (spki: ArrayBuffer) => new Uint8Array(spki).slice(-size);
    const wrong = raw(await webcrypto.subtle.exportKey('spki', pair.publicKey));
    if (own.kty === 'EC') {
      // The public key is at the end of the ECPrivateKey in it.
      const mixed = concat(pkcs8.subarray(0, -wrong.length), wrong);
      expect(await failure(() => importKey('pkcs8', mixed, kind.algorithm, true, usages))).toBe('DataError');
    }
    if (isOkp) {
      // A OneAsymmetricKey (RFC 5958) has it as [1] BIT STRING. The standard knows only RFC 5208.
      const head = new Uint8Array([0x30, pkcs8.length - 2 + 35, 2, 1, 1]);
      const withPublic = concat(head, pkcs8.subarray(5), new Uint8Array([0x81, 33, 0]), wrong);
      expect(await failure(() => importKey('pkcs8', withPublic, kind.algorithm, true, usages))).toBe('DataError');
    }
  });

  it('refuse points that are not on the curve, and compressed ones', async () => {
    const raw = bytesOf(kindOf('ECDSA', 'P-256'), 'raw');
    const off = raw.slice();
    off[64] = (off[64] ?? 0) ^ 1;
    const compressed = concat(new Uint8Array([2 + ((raw[64] ?? 0) & 1)]), raw.subarray(1, 33));
    for (const data of [off, compressed]) {
      const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
      expect(await failure(() => importKey('raw', data, algorithm, true, ['verify']))).toBe('DataError');
    }
  });

  it("accept irrelevant members of a JSON Web Key, and RFC 8037's name for Ed25519", async () => {
    const [p256, ed] = [kindOf('ECDSA', 'P-256'), kindOf('Ed25519')];
    const { ext, key_ops, ...bare } = jwkOf(p256, 'public');
    for (const jwk of [
      bare,
      { ...bare, kid: '1', p: 'x' },
      { ...bare, alg: 'ES256', use: 'sig', key_ops: ['verify', 'x'] },
    ]) {
      const key = await importKey('jwk', jwk, p256.algorithm, true, ['verify']);
      expect(key.usages).toEqual(['verify']);
    }
    expect(await failure(() => importKey('jwk', { ...bare, alg: 'ES384' }, p256.algorithm, true, []))).toBe(
      'DataError',
    );
    const ecdh = kindOf('ECDH', 'P-256');
    const agreeing = await importKey('jwk', { ...jwkOf(ecdh, 'public'), alg: 'ECDH-ES' }, ecdh.algorithm, true, []);
    expect(agreeing.algorithm).toEqual(ecdh.algorithm);
    const eddsa = { ...jwkOf(ed, 'public'), alg: 'EdDSA' };
    expect((await importKey('jwk', eddsa, ed.algorithm, true, ['verify'])).algorithm).toEqual({ name: 'Ed25519' });
  });

  it('refuse RSA keys with more than two primes as not supported', async () => {
    const kind = kindOf('RSA-PSS');
    const jwk = { ...jwkOf(kind, 'private'), oth: [] };
    expect(await failure(() => importKey('jwk', jwk, kind.algorithm, true, ['sign']))).toBe('NotSupportedError');
  });

  it('refuse formats and data that do not belong together', async () => {
    const kind = kindOf('ECDSA', 'P-256');
    const [spki, jwk] = [bytesOf(kind, 'spki'), jwkOf(kind, 'public')];
    for (const [format, data] of [
      ['der', spki],
      ['jwk', spki],
      ['spki', jwk],
      ['spki', 'text'],
      ['spki', 7],
      ['raw', new SharedArrayBuffer(65)],
      ['raw', new Uint8Array(new SharedArrayBuffer(65))],
      ['jwk', { ...jwk, key_ops: 'verify' }],
    ] as const) {
      expect(await failure(() => importKey(format, data, kind.algorithm, true, ['verify'])), format).toBe('TypeError');
    }
    expect(await failure(() => importKey('raw', spki, { name: 'RSA-PSS', hash: 'SHA-256' }, true, []))).toBe(
      'NotSupportedError',
    );
    expect(await failure(() => importKey('spki', spki, {}, true, ['verify']))).toBe('TypeError');
    expect(await failure(() => importKey('spki', spki, 'ECDSA', true, ['verify']))).toBe('TypeError');
  });

  it('give out private keys only as the formats of private keys, and public ones likewise', async () => {
    for (const [, kind] of named) {
      for (const { format, type, data, usages } of dataOf(kind)) {
        if (format === 'raw') continue;
        const key = await importKey(format, data, kind.algorithm, true, usages);
        const wrong = type === 'public' ? 'pkcs8' : 'spki';
        expect(await failure(() => exportKey(wrong, key))).toBe('InvalidAccessError');
        const raw =
          'hash' in kind.algorithm ? 'NotSupportedError' : type === 'public' ? 'nothing thrown' : 'InvalidAccessError';
        expect(await failure(() => exportKey('raw', key))).toBe(raw);
        expect(await failure(() => exportKey('der', key))).toBe('TypeError');
        expect(await failure(() => exportKey('spki', {}))).toBe('TypeError');
        const held = await importKey(format, data, kind.algorithm, false, usages);
        for (const each of ['jwk', 'spki', 'pkcs8', 'raw']) {
          expect(await failure(() => exportKey(each, held))).toBe('InvalidAccessError');
        }
      }
    }
  });
});

describe('importKey and exportKey of secret keys', () => {
  const SECRETS = [
    [{ name: 'AES-CBC' }, 16, ['encrypt', 'decrypt'], 'A128CBC', { name: 'AES-CBC', length: 128 }],
    [{ name: 'AES-CTR' }, 24, ['encrypt', 'wrapKey'], 'A192CTR', { name: 'AES-CTR', length: 192 }],
    [{ name: 'aes-gcm' }, 32, ['decrypt'], 'A256GCM', { name: 'AES-GCM', length: 256 }],
    [{ name: 'AES-KW' }, 16, ['wrapKey'], 'A128KW', { name: 'AES-KW', length: 128 }],
    [{ name: 'HMAC', hash: 'SHA-1' }, 7, ['sign'], 'HS1', { name: 'HMAC', hash: { name: 'SHA-1' }, length: 56 }],
    [
      { name: 'HMAC', hash: 'SHA-512', length: 51 },
      7,
      ['sign', 'verify'],
      'HS512',
      { name: 'HMAC', hash: { name: 'SHA-512' }, length: 51 },
    ],
  ] as const;

  it.each(SECRETS)('of %j give both formats back as they came', async (algorithm, size, usages, alg, expected) => {
    const bytes = new Uint8Array(size).map((_, index) => index * 7);
    const key = await importKey('raw', bytes, algorithm, true, usages);
    expect([key.type, key.usages, key.algorithm]).toEqual(['secret', usages, expected]);
    expect(new Uint8Array(await exportKey('raw', key))).toEqual(bytes);
    const jwk = await exportKey('jwk', key);
    const k = Buffer.from(bytes).toString('base64url');
    expect(jwk).toEqual({ kty: 'oct', k, alg, key_ops: usages, ext: true });
    const again = await importKey('jwk', jwk, algorithm, true, usages);
    expect(equal(new Uint8Array(await exportKey('raw', again)), bytes)).toBe(true);
    for (const change of [{ k: undefined }, { k: '&' }, { kty: 'EC' }, { alg: 'A128XX' }, { ext: false }]) {
      expect(await failure(() => importKey('jwk', { ...jwk, ...change }, algorithm, true, usages))).toBe('DataError');
    }
  });

  it('refuse unsuitable input', async () => {
    const hmac = { name: 'HMAC', hash: 'SHA-256' };
    for (const [format, size, algorithm, usages, name] of [
      ['raw', 17, 'AES-CBC', ['encrypt'], 'DataError'],
      ['raw', 16, 'AES-CBC', [], 'SyntaxError'],
      ['raw', 17, 'AES-CBC', ['sign'], 'SyntaxError'],
      ['spki', 16, 'AES-CBC', ['encrypt'], 'NotSupportedError'],
      ['spki', 16, 'AES-CBC', ['sign'], 'SyntaxError'],
      ['raw', 0, hmac, ['sign'], 'DataError'],
      ['raw', 7, { ...hmac, length: 57 }, ['sign'], 'DataError'],
      ['raw', 7, { ...hmac, length: 48 }, ['sign'], 'DataError'],
      ['raw', 7, { ...hmac, length: -1 }, ['sign'], 'TypeError'],
      ['pkcs8', 7, hmac, ['sign'], 'NotSupportedError'],
      ['raw', 7, 'HMAC', ['sign'], 'TypeError'],
    ] as const) {
      const data = new Uint8Array(size);
      expect(await failure(() => importKey(format, data, algorithm, true, usages)), `${format} ${size}`).toBe(name);
    }
  });

  it.each(['HKDF', 'PBKDF2'])('of %s let nothing out', async (name) => {
    const key = await importKey('raw', new Uint8Array(0), name, false, ['deriveBits']);
    expect([key.type, key.extractable, key.algorithm]).toEqual(['secret', false, { name }]);
    expect(await failure(() => exportKey('raw', key))).toBe('NotSupportedError');
    for (const [format, extractable, usages, error] of [
      ['raw', true, ['deriveBits'], 'SyntaxError'],
      ['raw', false, ['sign'], 'SyntaxError'],
      ['raw', false, [], 'SyntaxError'],
      ['spki', true, ['sign'], 'NotSupportedError'],
    ] as const) {
      expect(await failure(() => importKey(format, new Uint8Array(1), name, extractable, usages))).toBe(error);
    }
    expect(await failure(() => importKey('jwk', { kty: 'oct', k: '' }, name, false, ['deriveBits']))).toBe(
      'NotSupportedError',
    );
  });
});
