import type { webcrypto } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { CryptoKey, createCrypto, keyprovKey } from '../../../src/webcrypto/index.ts';
import { failure } from '../../dom-failure.ts';

const { subtle } = createCrypto();

type Usages = readonly webcrypto.KeyUsage[];
const ALL: Usages = ['encrypt', 'decrypt', 'sign', 'verify', 'deriveKey', 'deriveBits', 'wrapKey', 'unwrapKey'];
const F4 = new Uint8Array([1, 0, 1]);
const rsa = (name: string, change: object = {}) => ({
  name,
  hash: 'SHA-256',
  modulusLength: 1024,
  publicExponent: F4,
  ...change,
});

/** `generateKey` with arguments that TypeScript would not let through. */
const generate = (algorithm: unknown, extractable: unknown, usages: unknown): Promise<unknown> =>
  Reflect.apply(subtle.generateKey, subtle, [algorithm, extractable, usages]);

const SIGNING = { ofPublic: ['verify'], ofPrivate: ['sign'] } as const;
const AGREEMENT = { ofPublic: [], ofPrivate: ['deriveKey', 'deriveBits'] } as const;
const PAIRS: readonly [object & { name: string }, { ofPublic: Usages; ofPrivate: Usages }, object][] = [
  ...['RSASSA-PKCS1-v1_5', 'RSA-PSS', 'RSA-OAEP'].map(
    (name) =>
      [
        rsa(name, { hash: { name: 'sha-384' } }),
        name === 'RSA-OAEP' ? { ofPublic: ['encrypt', 'wrapKey'], ofPrivate: ['decrypt', 'unwrapKey'] } : SIGNING,
        { name, hash: { name: 'SHA-384' }, modulusLength: 1024, publicExponent: F4 },
      ] as const,
  ),
  ...['P-256', 'P-384', 'P-521'].flatMap((namedCurve) => [
    [{ name: 'ecdsa', namedCurve }, SIGNING, { name: 'ECDSA', namedCurve }] as const,
    [{ name: 'Ecdh', namedCurve }, AGREEMENT, { name: 'ECDH', namedCurve }] as const,
  ]),
  [{ name: 'ED25519' }, SIGNING, { name: 'Ed25519' }],
  [{ name: 'x25519' }, AGREEMENT, { name: 'X25519' }],
] as [object & { name: string }, { ofPublic: Usages; ofPrivate: Usages }, object][];
const SECRETS: readonly [object, Usages, object][] = [
  ...['AES-CBC', 'AES-CTR', 'AES-GCM'].map(
    (name) => [{ name, length: 192 }, ['encrypt', 'decrypt', 'wrapKey', 'unwrapKey'], { name, length: 192 }] as const,
  ),
  [{ name: 'AES-KW', length: 256 }, ['wrapKey', 'unwrapKey'], { name: 'AES-KW', length: 256 }],
  [{ name: 'HMAC', hash: 'SHA-1' }, ['sign', 'verify'], { name: 'HMAC', hash: { name: 'SHA-1' }, length: 512 }],
  [{ name: 'HMAC', hash: 'SHA-384' }, ['sign', 'verify'], { name: 'HMAC', hash: { name: 'SHA-384' }, length: 1024 }],
  [
    { name: 'HMAC', hash: 'SHA-256', length: 40 },
    ['sign', 'verify'],
    { name: 'HMAC', hash: { name: 'SHA-256' }, length: 40 },
  ],
] as [object, Usages, object][];

describe('generateKey without a provider', () => {
  it.each(PAIRS)('makes a pair of %j that describes itself', async (algorithm, { ofPublic, ofPrivate }, expected) => {
    for (const extractable of [true, false]) {
      const given = [...ofPrivate, ...ofPublic, ...ofPrivate];
      const { publicKey, privateKey } = (await generate(algorithm, extractable, given)) as webcrypto.CryptoKeyPair;
      for (const key of [publicKey, privateKey]) {
        expect(key.constructor).toBe(CryptoKey);
        expect(Object.prototype.toString.call(key)).toBe('[object CryptoKey]');
        expect(key.algorithm).toEqual(expected);
        expect(keyprovKey(key)).toBeUndefined();
      }
      expect([publicKey.type, publicKey.extractable, publicKey.usages]).toEqual(['public', true, ofPublic]);
      expect([privateKey.type, privateKey.extractable, privateKey.usages]).toEqual(['private', extractable, ofPrivate]);
    }
  });

  it.each(SECRETS)('makes a key of %j that describes itself', async (algorithm, usages, expected) => {
    const key = (await generate(algorithm, true, [...usages].reverse())) as webcrypto.CryptoKey;
    expect([key.type, key.extractable, key.usages, key.algorithm]).toEqual(['secret', true, usages, expected]);
    const raw = await subtle.exportKey('raw', key);
    expect(raw.byteLength * 8).toBe((expected as { length: number }).length);
  });

  it("keeps the requested usages, once each and in the standard's order", async () => {
    const { publicKey, privateKey } = (await generate(rsa('RSA-OAEP'), false, [
      'unwrapKey',
      'encrypt',
      'unwrapKey',
    ])) as webcrypto.CryptoKeyPair;
    expect([publicKey.usages, privateKey.usages]).toEqual([['encrypt'], ['unwrapKey']]);
  });

  // All other arguments are wrong as well: the algorithm comes first.
  it.each([
    ['AES', 'NotSupportedError'],
    [{ name: 'AES', length: 128 }, 'NotSupportedError'],
    [{ name: 'AES-CMAC', length: 128 }, 'NotSupportedError'],
    [rsa('RSA'), 'NotSupportedError'],
    [{ name: 'HKDF' }, 'NotSupportedError'],
    [{ name: 'SHA-256' }, 'NotSupportedError'],
    [null, 'NotSupportedError'],
    [undefined, 'NotSupportedError'],
    [7, 'NotSupportedError'],
    [{ name: 'HMAC', hash: 'MD5' }, 'NotSupportedError'],
    [rsa('RSA-PSS', { hash: 'SHA' }), 'NotSupportedError'],
    [rsa('RSA-PSS', { hash: 'RSA-PSS' }), 'NotSupportedError'],
    [{}, 'TypeError'],
    [{ name: Symbol('x') }, 'TypeError'],
    [{ name: 'ECDSA' }, 'TypeError'],
    [{ name: 'AES-GCM' }, 'TypeError'],
    [{ name: 'AES-GCM', length: 128 + 2 ** 32 }, 'TypeError'],
    [{ name: 'AES-GCM', length: Number.NaN }, 'TypeError'],
    [rsa('RSA-PSS', { hash: undefined }), 'TypeError'],
    [rsa('RSA-PSS', { hash: {} }), 'TypeError'],
    [rsa('RSA-PSS', { modulusLength: -1024 }), 'TypeError'],
    [rsa('RSA-PSS', { modulusLength: 2 ** 32 }), 'TypeError'],
    [rsa('RSA-PSS', { publicExponent: [1, 0, 1] }), 'TypeError'],
    [rsa('RSA-PSS', { publicExponent: new ArrayBuffer(3) }), 'TypeError'],
  ])('refuses the algorithm %j before it looks at usages: %s', async (algorithm, name) => {
    for (const usages of [[], ['sign'], ALL])
      expect(await failure(() => generate(algorithm, 'RED', usages))).toBe(name);
  });

  it('refuses arguments that are none before it looks at the algorithm', async () => {
    for (const usages of [undefined, null, 'sign', ['sing'], [Symbol('x')], { 0: 'sign', length: 1 }]) {
      expect(await failure(() => generate('AES', true, usages))).toBe('TypeError');
    }
  });

  const everyUsage = [
    ...PAIRS.map(([algorithm, { ofPublic, ofPrivate }]) => [algorithm, [...ofPublic, ...ofPrivate]] as const),
    ...SECRETS.map(([algorithm, usages]) => [algorithm, usages] as const),
  ];
  it.each(everyUsage)(
    'refuses every usage that %j does not have, alone and among others',
    async (algorithm, usages) => {
      const bad = { ...algorithm, namedCurve: 'P-1', length: 1, publicExponent: new Uint8Array([2]) };
      const foreign = ALL.filter((usage) => !usages.includes(usage));
      expect(foreign.length).toBeGreaterThan(3);
      for (const usage of foreign) {
        for (const given of [[usage], [...usages, usage]]) {
          expect(await failure(() => generate(bad, true, given))).toBe('SyntaxError');
        }
      }
    },
  );

  it.each([
    [rsa('RSASSA-PKCS1-v1_5', { publicExponent: new Uint8Array([1]) }), 'sign', 'OperationError'],
    [rsa('RSA-OAEP', { publicExponent: new Uint8Array([1, 0, 0]) }), 'decrypt', 'OperationError'],
    [rsa('RSA-PSS', { publicExponent: new Uint8Array(0) }), 'sign', 'OperationError'],
    [rsa('RSA-PSS', { modulusLength: 16385 }), 'sign', 'OperationError'],
    [{ name: 'ECDSA', namedCurve: 'P-512' }, 'sign', 'NotSupportedError'],
    [{ name: 'ECDH', namedCurve: 'p-256' }, 'deriveBits', 'NotSupportedError'],
    [{ name: 'AES-CBC', length: 127 }, 'encrypt', 'OperationError'],
    [{ name: 'HMAC', hash: 'SHA-256', length: 0 }, 'sign', 'OperationError'],
  ] as const)('refuses the parameters of %j before it misses usages', async (algorithm, usage, name) => {
    for (const usages of [[usage], []]) expect(await failure(() => generate(algorithm, true, usages))).toBe(name);
  });

  it.each(everyUsage)('refuses a key of %j without usages last', async (algorithm) => {
    for (const extractable of [true, false]) {
      expect(await failure(() => generate(algorithm, extractable, []))).toBe('SyntaxError');
    }
  });

  it.each(PAIRS)('refuses a pair of %j whose private key would have no usages', async (algorithm, { ofPublic }) => {
    expect(await failure(() => generate(algorithm, true, ofPublic))).toBe('SyntaxError');
  });

  it('is rejected by RSA keys that Node cannot make, with the reason', async () => {
    const error = await generate(rsa('RSA-PSS', { modulusLength: 8 }), true, ['sign']).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ name: 'OperationError', cause: expect.any(Error) });
  });
});
