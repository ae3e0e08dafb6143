import { webcrypto } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createCrypto } from '../../../src/webcrypto/index.ts';
import { failure } from '../../dom-failure.ts';

/** Node's own implementation, which checks ours. */
const node = webcrypto.subtle;
const { subtle } = createCrypto();
const data = new Uint8Array(100).map((_, index) => index);
const F4 = new Uint8Array([1, 0, 1]);
const rsa = (name: string, hash = 'SHA-256') => ({ name, hash, modulusLength: 1024, publicExponent: F4 });

const call = (method: keyof typeof subtle, ...args: unknown[]): Promise<never> =>
  Reflect.apply(subtle[method], subtle, args);
const callNode = (method: keyof typeof subtle, ...args: unknown[]): Promise<never> =>
  Reflect.apply(node[method], node, args);

interface Pair {
  readonly ours: webcrypto.CryptoKeyPair;
  readonly theirs: webcrypto.CryptoKeyPair;
}

/** One pair of keys, in both implementations. */
async function newPair(algorithm: object, usages: readonly string[]): Promise<Pair> {
  const ours: webcrypto.CryptoKeyPair = await call('generateKey', algorithm, true, usages);
  const moved = async (format: 'spki' | 'pkcs8', key: webcrypto.CryptoKey): Promise<webcrypto.CryptoKey> =>
    callNode('importKey', format, await subtle.exportKey(format, key), algorithm, true, key.usages);
  return {
    ours,
    theirs: { publicKey: await moved('spki', ours.publicKey), privateKey: await moved('pkcs8', ours.privateKey) },
  };
}
const newSecret = async (algorithm: object | string, usages: readonly string[], size = 16) => {
  const raw = new Uint8Array(size).fill(7);
  const ours: webcrypto.CryptoKey = await call('importKey', 'raw', raw, algorithm, false, usages);
  const theirs: webcrypto.CryptoKey = await callNode('importKey', 'raw', raw, algorithm, false, usages);
  return { ours, theirs };
};
const bytes = (buffer: ArrayBuffer) => new Uint8Array(buffer);

const SIGNATURES = [
  [rsa('RSASSA-PKCS1-v1_5', 'SHA-1'), 'RSASSA-PKCS1-v1_5'],
  [rsa('RSASSA-PKCS1-v1_5', 'SHA-512'), { name: 'rsassa-pkcs1-V1_5' }],
  [rsa('RSA-PSS'), { name: 'RSA-PSS', saltLength: 0 }],
  [rsa('RSA-PSS'), { name: 'RSA-PSS', saltLength: 32 }],
  [rsa('RSA-PSS', 'SHA-384'), { name: 'RSA-PSS', saltLength: 78 }],
  [
    { name: 'ECDSA', namedCurve: 'P-256' },
    { name: 'ECDSA', hash: 'SHA-512' },
  ],
  [
    { name: 'ECDSA', namedCurve: 'P-384' },
    { name: 'ECDSA', hash: { name: 'sha-256' } },
  ],
  [
    { name: 'ECDSA', namedCurve: 'P-521' },
    { name: 'ECDSA', hash: 'SHA-1' },
  ],
  [{ name: 'Ed25519' }, 'Ed25519'],
] as const;

describe('sign and verify', () => {
  it.each(SIGNATURES)('of %j with %j agree with Node in both directions', async (key, algorithm) => {
    const { ours, theirs } = await newPair(key, ['sign', 'verify']);
    const signature: ArrayBuffer = await call('sign', algorithm, ours.privateKey, data);
    expect(await callNode('verify', algorithm, theirs.publicKey, signature, data)).toBe(true);
    const foreign: ArrayBuffer = await callNode('sign', algorithm, theirs.privateKey, data);
    expect(await call('verify', algorithm, ours.publicKey, foreign, data)).toBe(true);
    const changed = bytes(foreign).slice();
    changed[9] = (changed[9] ?? 0) ^ 1;
    for (const wrong of [changed, foreign.slice(1), new Uint8Array(0)]) {
      expect(await call('verify', algorithm, ours.publicKey, wrong, data)).toBe(false);
    }
    expect(await call('verify', algorithm, ours.publicKey, foreign, data.subarray(1))).toBe(false);
  });

  it('do not take an RSA-PSS signature without its leading zero, as OpenSSL does', async () => {
    const algorithm = { name: 'RSA-PSS', saltLength: 32 };
    const { ours, theirs } = await newPair(rsa('RSA-PSS'), ['sign', 'verify']);
    const sign = async (): Promise<Uint8Array> => bytes(await callNode('sign', algorithm, theirs.privateKey, data));
    let signature = await sign();
    while (signature[0] !== 0) signature = await sign();
    expect(await call('verify', algorithm, ours.publicKey, signature, data)).toBe(true);
    expect(await call('verify', algorithm, ours.publicKey, signature.subarray(1), data)).toBe(false);
  });

  it.each(SIGNATURES)('of %j with %j use each key for its own side only', async (key, algorithm) => {
    const { publicKey, privateKey }: webcrypto.CryptoKeyPair = await call('generateKey', key, true, ['sign']);
    expect(await failure(() => call('sign', algorithm, publicKey, data))).toBe('InvalidAccessError');
    for (const unfit of [privateKey, publicKey]) {
      expect(await failure(() => call('verify', algorithm, unfit, data, data))).toBe('InvalidAccessError');
    }
  });

  it('of HMAC agree with Node', async () => {
    const { ours, theirs } = await newSecret({ name: 'HMAC', hash: 'SHA-384' }, ['sign', 'verify']);
    const code: ArrayBuffer = await call('sign', 'HMAC', ours, data);
    expect(bytes(code)).toEqual(bytes(await callNode('sign', 'HMAC', theirs, data)));
    expect(await call('verify', 'HMAC', ours, code, data)).toBe(true);
    expect(await call('verify', 'HMAC', ours, code.slice(0, 47), data)).toBe(false);
  });

  it('check arguments, algorithm, and then whether the key fits', async () => {
    const { privateKey }: webcrypto.CryptoKeyPair = await call(
      'generateKey',
      { name: 'ECDSA', namedCurve: 'P-256' },
      true,
      ['sign'],
    );
    for (const [algorithm, key, input, name] of [
      ['AES', {}, data, 'TypeError'],
      ['AES', privateKey, 'text', 'TypeError'],
      ['AES', privateKey, new Uint8Array(new SharedArrayBuffer(1)), 'TypeError'],
      ['AES', privateKey, data, 'NotSupportedError'],
      ['AES-CBC', privateKey, data, 'NotSupportedError'],
      [{ name: 'ECDSA' }, privateKey, data, 'TypeError'],
      [{ name: 'ECDSA', hash: 'MD5' }, privateKey, data, 'NotSupportedError'],
      [{ name: 'RSA-PSS' }, privateKey, data, 'TypeError'],
      [{ name: 'RSA-PSS', saltLength: 2 ** 32 }, privateKey, data, 'TypeError'],
      [{ name: 'RSA-PSS', saltLength: 32 }, privateKey, data, 'InvalidAccessError'],
      ['HMAC', privateKey, data, 'InvalidAccessError'],
    ] as const) {
      expect(await failure(() => call('sign', algorithm, key, input))).toBe(name);
      expect(await failure(() => call('verify', algorithm, key, input, data))).toBe(name);
      expect(await failure(() => call('verify', algorithm, key, data, input))).toBe(name);
    }
  });

  it('fail with the operation if the salt does not fit', async () => {
    const { ours } = await newPair(rsa('RSA-PSS'), ['sign', 'verify']);
    const algorithm = { name: 'RSA-PSS', saltLength: 95 };
    expect(await failure(() => call('sign', algorithm, ours.privateKey, data))).toBe('OperationError');
    expect(await call('verify', algorithm, ours.publicKey, new Uint8Array(128), data)).toBe(false);
  });

  it('read the bytes when the algorithm was read, and never again', async () => {
    const { ours } = await newSecret({ name: 'HMAC', hash: 'SHA-256' }, ['sign', 'verify']);
    const expected = bytes(await call('sign', 'HMAC', ours, data));
    const input = data.slice();
    input[0] = 99;
    const algorithm = {
      get name() {
        input[0] = 0;
        return 'HMAC';
      },
    };
    const signing: Promise<ArrayBuffer> = call('sign', algorithm, ours, input);
    input[0] = 99;
    expect(bytes(await signing)).toEqual(expected);
  });

  it('take a buffer that is gone as empty', async () => {
    const { ours } = await newSecret({ name: 'HMAC', hash: 'SHA-256' }, ['sign']);
    const input = data.slice();
    structuredClone(input.buffer, { transfer: [input.buffer] });
    const empty: ArrayBuffer = await call('sign', 'HMAC', ours, new Uint8Array(0));
    expect(bytes(await call('sign', 'HMAC', ours, input))).toEqual(bytes(empty));
    expect(bytes(await call('sign', 'HMAC', ours, input.buffer))).toEqual(bytes(empty));
  });
});

describe('digest', () => {
  it.each(['SHA-1', 'sha-256', 'SHA-384', 'SHA-512'])('of %s agrees with Node', async (name) => {
    expect(bytes(await subtle.digest(name, data))).toEqual(bytes(await node.digest(name, data)));
  });

  it('refuses what is not one', async () => {
    expect(await failure(() => call('digest', 'MD5', data))).toBe('NotSupportedError');
    expect(await failure(() => call('digest', 'RSA-PSS', data))).toBe('NotSupportedError');
    expect(await failure(() => call('digest', 'MD5', 'text'))).toBe('TypeError');
  });
});

const iv = new Uint8Array(12).fill(1);
const counter = new Uint8Array(16).fill(1);
describe('encrypt and decrypt', () => {
  it.each([
    { name: 'AES-CBC', iv: counter },
    { name: 'AES-CTR', counter, length: 64 },
    { name: 'AES-GCM', iv },
    { name: 'AES-GCM', iv, tagLength: 96, additionalData: data },
  ])('with %j agree with Node', async (algorithm) => {
    const { ours, theirs } = await newSecret(algorithm.name, ['encrypt', 'decrypt']);
    const encrypted: ArrayBuffer = await call('encrypt', algorithm, ours, data);
    expect(bytes(encrypted)).toEqual(bytes(await callNode('encrypt', algorithm, theirs, data)));
    expect(bytes(await call('decrypt', algorithm, ours, encrypted))).toEqual(data);
  });

  it.each([{ name: 'RSA-OAEP' }, { name: 'RSA-OAEP', label: data }])(
    'with %j agree with Node in both directions',
    async (algorithm) => {
      const { ours, theirs } = await newPair(rsa('RSA-OAEP'), ['encrypt', 'decrypt']);
      const message = data.subarray(0, 62);
      const encrypted: ArrayBuffer = await call('encrypt', algorithm, ours.publicKey, message);
      expect(bytes(await callNode('decrypt', algorithm, theirs.privateKey, encrypted))).toEqual(message);
      const foreign: ArrayBuffer = await callNode('encrypt', algorithm, theirs.publicKey, message);
      expect(bytes(await call('decrypt', algorithm, ours.privateKey, foreign))).toEqual(message);
      expect(await failure(() => call('encrypt', algorithm, ours.publicKey, data.subarray(0, 63)))).toBe(
        'OperationError',
      );
      for (const wrong of [new Uint8Array(128), foreign.slice(1)]) {
        expect(await failure(() => call('decrypt', algorithm, ours.privateKey, wrong))).toBe('OperationError');
      }
      expect(await failure(() => call('encrypt', algorithm, ours.privateKey, message))).toBe('InvalidAccessError');
      expect(await failure(() => call('decrypt', algorithm, ours.publicKey, foreign))).toBe('InvalidAccessError');
    },
  );

  it.each([
    [{ name: 'AES-CBC', iv }, 'OperationError'],
    [{ name: 'AES-CBC' }, 'TypeError'],
    [{ name: 'AES-CTR', counter: iv, length: 64 }, 'OperationError'],
    [{ name: 'AES-CTR', counter, length: 0 }, 'OperationError'],
    [{ name: 'AES-CTR', counter, length: 129 }, 'OperationError'],
    [{ name: 'AES-CTR', counter, length: 256 }, 'TypeError'],
    [{ name: 'AES-CTR', counter: new Uint8Array(16).fill(255), length: 8 }, 'OperationError'],
    [{ name: 'AES-GCM', iv, tagLength: 100 }, 'OperationError'],
    [{ name: 'AES-KW' }, 'NotSupportedError'],
  ])('refuse the parameters %j', async (algorithm, name) => {
    const { ours } = await newSecret(algorithm.name, ['wrapKey'], 32).then(async (wrapping) =>
      algorithm.name === 'AES-KW' ? wrapping : await newSecret(algorithm.name, ['encrypt', 'decrypt']),
    );
    for (const method of ['encrypt', 'decrypt'] as const) {
      expect(await failure(() => call(method, algorithm, ours, data))).toBe(name);
    }
  });

  it('refuse data that was changed', async () => {
    const { ours } = await newSecret('AES-GCM', ['encrypt', 'decrypt']);
    const encrypted = bytes(await call('encrypt', { name: 'AES-GCM', iv }, ours, data));
    encrypted[0] = (encrypted[0] ?? 0) ^ 1;
    for (const wrong of [encrypted, new Uint8Array(15)]) {
      expect(await failure(() => call('decrypt', { name: 'AES-GCM', iv }, ours, wrong))).toBe('OperationError');
    }
  });
});

describe('deriveBits and deriveKey', () => {
  it.each([
    [{ name: 'ECDH', namedCurve: 'P-256' }, 256],
    [{ name: 'ECDH', namedCurve: 'P-384' }, 384],
    [{ name: 'ECDH', namedCurve: 'P-521' }, 528],
    [{ name: 'X25519' }, 256],
  ])('of %j agree with Node', async (kind, size) => {
    const { ours, theirs } = await newPair(kind, ['deriveBits', 'deriveKey']);
    const peer = await newPair(kind, ['deriveBits']);
    const our = { name: kind.name, public: peer.ours.publicKey };
    const their = { name: kind.name, public: peer.theirs.publicKey };
    const whole = bytes(await callNode('deriveBits', their, theirs.privateKey, null));
    expect(whole.length * 8).toBe(size);
    for (const length of [null, undefined, size, 128, 8, 0]) {
      const bits = bytes(await call('deriveBits', our, ours.privateKey, length));
      expect(bits).toEqual(whole.subarray(0, (length ?? size) / 8));
    }
    const odd = bytes(await call('deriveBits', our, ours.privateKey, 13));
    expect([...odd]).toEqual([whole[0], (whole[1] ?? 0) & 0xf8]);
    expect(await failure(() => call('deriveBits', our, ours.privateKey, size + 1))).toBe('OperationError');
    for (const length of [2 ** 32, 2 ** 32 + 8, -8, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(await failure(() => call('deriveBits', our, ours.privateKey, length))).toBe('TypeError');
    }
    const key: webcrypto.CryptoKey = await call(
      'deriveKey',
      our,
      ours.privateKey,
      { name: 'AES-GCM', length: 128 },
      true,
      ['encrypt'],
    );
    expect(bytes(await subtle.exportKey('raw', key))).toEqual(whole.subarray(0, 16));
    const base: webcrypto.CryptoKey = await call('deriveKey', our, ours.privateKey, 'HKDF', false, ['deriveBits']);
    const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: data, info: data };
    const inTwoSteps = bytes(await call('deriveBits', hkdf, base, 512));
    const nodeBase = await callNode('importKey', 'raw', whole, 'HKDF', false, ['deriveBits']);
    expect(inTwoSteps).toEqual(bytes(await callNode('deriveBits', hkdf, nodeBase, 512)));
  });

  it('check the public key after the algorithm and the private key', async () => {
    const { ours } = await newPair({ name: 'ECDH', namedCurve: 'P-256' }, ['deriveBits']);
    const other = await newPair({ name: 'ECDH', namedCurve: 'P-384' }, ['deriveKey']);
    const ecdsa = await newPair({ name: 'ECDSA', namedCurve: 'P-256' }, ['sign']);
    const x25519 = await newPair({ name: 'X25519' }, ['deriveBits']);
    for (const [algorithm, key, name] of [
      [{ name: 'ECDH' }, ours.privateKey, 'TypeError'],
      [{ name: 'ECDH', public: {} }, ours.privateKey, 'TypeError'],
      ['AES-CBC', ours.privateKey, 'NotSupportedError'],
      [{ name: 'ECDH', public: ours.publicKey }, ours.publicKey, 'InvalidAccessError'],
      [{ name: 'ECDH', public: ours.publicKey }, other.ours.privateKey, 'InvalidAccessError'],
      [{ name: 'ECDH', public: ours.publicKey }, x25519.ours.privateKey, 'InvalidAccessError'],
      [{ name: 'ECDH', public: ours.privateKey }, ours.privateKey, 'InvalidAccessError'],
      [{ name: 'ECDH', public: other.ours.publicKey }, ours.privateKey, 'InvalidAccessError'],
      [{ name: 'ECDH', public: ecdsa.ours.publicKey }, ours.privateKey, 'InvalidAccessError'],
      [{ name: 'X25519', public: ours.publicKey }, x25519.ours.privateKey, 'InvalidAccessError'],
    ] as const) {
      expect(await failure(() => call('deriveBits', algorithm, key, 8))).toBe(name);
    }
    const algorithm = { name: 'ECDH', public: ours.publicKey };
    for (const [derived, usages, key, name] of [
      [{ name: 'AES-CBC' }, ['encrypt'], ours.privateKey, 'TypeError'],
      ['ECDH', ['deriveBits'], ours.privateKey, 'TypeError'],
      ['SHA-1', ['sign'], ours.privateKey, 'NotSupportedError'],
      [{ name: 'AES-CBC', length: 128 }, ['encrypt'], ours.privateKey, 'InvalidAccessError'],
      [{ name: 'AES-CBC', length: 100 }, ['encrypt'], other.ours.privateKey, 'OperationError'],
      [{ name: 'HMAC', hash: 'SHA-256', length: 0 }, ['sign'], other.ours.privateKey, 'TypeError'],
      [{ name: 'HMAC', hash: 'SHA-512' }, ['sign'], other.ours.privateKey, 'OperationError'],
      [{ name: 'AES-CBC', length: 128 }, ['sign'], other.ours.privateKey, 'SyntaxError'],
      [{ name: 'AES-CBC', length: 128 }, [], other.ours.privateKey, 'SyntaxError'],
    ] as const) {
      const peer = key === ours.privateKey ? algorithm : { name: 'ECDH', public: other.ours.publicKey };
      expect(await failure(() => call('deriveKey', peer, key, derived, true, usages))).toBe(name);
    }
  });

  it.each([
    { name: 'HKDF', hash: 'SHA-512', salt: data, info: new Uint8Array(0) },
    { name: 'PBKDF2', hash: 'SHA-1', salt: data, iterations: 3 },
  ])('of %j agree with Node', async (algorithm) => {
    const { ours, theirs } = await newSecret(algorithm.name, ['deriveBits', 'deriveKey']);
    for (const length of [8, 1000]) {
      const bits = bytes(await call('deriveBits', algorithm, ours, length));
      expect(bits).toEqual(bytes(await callNode('deriveBits', algorithm, theirs, length)));
    }
    expect(bytes(await call('deriveBits', algorithm, ours, 0)).length).toBe(0);
    for (const length of [null, undefined, 9]) {
      expect(await failure(() => call('deriveBits', algorithm, ours, length))).toBe('OperationError');
    }
  });

  it('stop at the limits of HKDF and PBKDF2', async () => {
    const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: data, info: data };
    const { ours } = await newSecret('HKDF', ['deriveBits']);
    expect(bytes(await call('deriveBits', hkdf, ours, 255 * 256)).length).toBe(255 * 32);
    expect(await failure(() => call('deriveBits', hkdf, ours, 255 * 256 + 8))).toBe('OperationError');
    const password = await newSecret('PBKDF2', ['deriveBits']);
    const none = { name: 'PBKDF2', hash: 'SHA-256', salt: data, iterations: 0 };
    expect(await failure(() => call('deriveBits', none, password.ours, 8))).toBe('OperationError');
  });
});

describe('wrapKey and unwrapKey', () => {
  it.each([
    [{ name: 'AES-KW' }, 'raw'],
    [{ name: 'AES-GCM', iv }, 'raw'],
    [{ name: 'AES-GCM', iv }, 'jwk'],
  ] as const)('with %j in the format %s agree with Node', async (algorithm, format) => {
    const { ours, theirs } = await newSecret(algorithm.name, ['wrapKey', 'unwrapKey']);
    const raw = new Uint8Array(32).fill(3);
    const key: webcrypto.CryptoKey = await call('importKey', 'raw', raw, 'AES-CBC', true, ['decrypt']);
    const wrapped: ArrayBuffer = await call('wrapKey', format, key, ours, algorithm);
    const arrived = await callNode('unwrapKey', format, wrapped, theirs, algorithm, 'AES-CBC', true, ['decrypt']);
    expect(bytes(await callNode('exportKey', 'raw', arrived))).toEqual(raw);
    const back = await call('unwrapKey', format, wrapped, ours, algorithm, 'AES-CBC', true, ['decrypt']);
    expect(bytes(await call('exportKey', 'raw', back))).toEqual(raw);
  });

  it('check the wrapping key, and then the key', async () => {
    const { ours } = await newSecret('AES-GCM', ['wrapKey']);
    const gcm = { name: 'AES-GCM', iv };
    const kdf: webcrypto.CryptoKey = await call('importKey', 'raw', data, 'HKDF', false, ['deriveBits']);
    const closed: webcrypto.CryptoKey = await call('importKey', 'raw', counter, 'AES-CBC', false, ['decrypt']);
    for (const [format, key, wrapping, algorithm, name] of [
      ['der', kdf, ours, gcm, 'TypeError'],
      ['raw', {}, ours, gcm, 'TypeError'],
      ['raw', kdf, ours, 'SHA-1', 'NotSupportedError'],
      ['raw', kdf, ours, 'AES-GCM', 'TypeError'],
      ['raw', kdf, ours, 'AES-KW', 'InvalidAccessError'],
      ['raw', kdf, closed, gcm, 'InvalidAccessError'],
      ['raw', kdf, ours, gcm, 'NotSupportedError'],
      ['raw', closed, ours, gcm, 'InvalidAccessError'],
    ] as const) {
      expect(await failure(() => call('wrapKey', format, key, wrapping, algorithm))).toBe(name);
    }
    const unwrap = (...args: unknown[]) => failure(() => call('unwrapKey', ...args));
    expect(await unwrap('raw', data, ours, gcm, 'AES-CBC', true, ['decrypt'])).toBe('InvalidAccessError');
    expect(await unwrap('raw', data, ours, gcm, 'AES', true, ['decrypt'])).toBe('NotSupportedError');
    const both = await newSecret('AES-GCM', ['encrypt', 'unwrapKey']);
    const noJwk: ArrayBuffer = await call('encrypt', gcm, both.ours, data);
    expect(await unwrap('jwk', noJwk, both.ours, gcm, 'AES-CBC', true, ['decrypt'])).toBe('DataError');
    expect(await unwrap('raw', noJwk, both.ours, gcm, 'AES-CBC', true, ['decrypt'])).toBe('DataError');
    expect(await unwrap('raw', data, both.ours, gcm, 'AES-CBC', true, ['decrypt'])).toBe('OperationError');
  });
});
