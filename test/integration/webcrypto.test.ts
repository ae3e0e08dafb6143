import { webcrypto } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { concat, utf8 } from '../../src/bytes.ts';
import { CURVES } from '../../src/crypto/curve.ts';
import { openKeyStore } from '../../src/keys/key-store.ts';
import { openSoftwareKeyProvider } from '../../src/keys/software-provider.ts';
import { openTpmKeyProvider, type TpmKeyProvider } from '../../src/keys/tpm-provider.ts';
import { DictionaryAttackLockReset } from '../../src/tpm/commands/dictionary-attack.ts';
import { TPM_RH } from '../../src/tpm/constants.ts';
import type { Tpm } from '../../src/tpm/tpm.ts';
import { createCrypto, type KeyprovCrypto, keyprovKey, type PinRequest } from '../../src/webcrypto/index.ts';
import { failure } from '../dom-failure.ts';
import { keyRecord } from '../key-record.ts';
import { leftovers, newTpm, tpmMissing } from './support/new-tpm.ts';

/** Node's own implementation, which checks the TPM's output. */
const node = webcrypto.subtle;
const data = new Uint8Array(100).map((_, index) => index);
const bytes = (buffer: ArrayBuffer) => new Uint8Array(buffer);
const F4 = new Uint8Array([1, 0, 1]);
const rsa = (name: string, change: object = {}) => ({
  name,
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: F4,
  ...change,
});
type Subtle = webcrypto.SubtleCrypto;
const callOn = (subtle: Subtle, method: keyof Subtle, ...args: unknown[]): Promise<never> =>
  Reflect.apply(subtle[method], subtle, args);
const pairOf = (
  crypto: KeyprovCrypto,
  algorithm: object,
  usages: readonly string[],
): Promise<webcrypto.CryptoKeyPair> => callOn(crypto.subtle, 'generateKey', algorithm, false, usages);

/** The public key in Node's own implementation. */
async function inNode(crypto: KeyprovCrypto, key: webcrypto.CryptoKey, usages: readonly string[]) {
  const spki = await crypto.subtle.exportKey('spki', key);
  const publicKey: webcrypto.CryptoKey = await callOn(node, 'importKey', 'spki', spki, key.algorithm, true, usages);
  return publicKey;
}

let tpm: Tpm;
let provider: TpmKeyProvider;
let crypto: KeyprovCrypto;
const missing = await tpmMissing();

beforeAll(async () => {
  if (missing !== undefined) return;
  tpm = await newTpm();
  provider = await openTpmKeyProvider(tpm);
  crypto = createCrypto({ provider });
});
afterAll(async () => {
  if (missing !== undefined) return;
  const left = await leftovers(tpm);
  await tpm.close();
  expect(left).toEqual([]);
});

const SIGNING = [
  [rsa('RSASSA-PKCS1-v1_5'), 'RSASSA-PKCS1-v1_5', 256],
  [rsa('rsassa-pkcs1-v1_5', { hash: 'SHA-512' }), 'RSASSA-PKCS1-v1_5', 256],
  [rsa('RSA-PSS', { hash: { name: 'sha-256' } }), { name: 'RSA-PSS', saltLength: 32 }, 256],
  [rsa('RSA-PSS', { hash: 'SHA-384' }), { name: 'RSA-PSS', saltLength: 48 }, 256],
  [{ name: 'ECDSA', namedCurve: 'P-256' }, { name: 'ECDSA', hash: 'SHA-256' }, 64],
  [{ name: 'ecdsa', namedCurve: 'P-256' }, { name: 'ECDSA', hash: 'SHA-512' }, 64],
  [{ name: 'ECDSA', namedCurve: 'P-384' }, { name: 'ECDSA', hash: 'SHA-384' }, 96],
] as const;

describe.skipIf(missing)('signing keys in a TPM', () => {
  it.each(SIGNING)('of %j sign, and Node verifies', async (algorithm, use, size) => {
    const { publicKey, privateKey } = await pairOf(crypto, algorithm, ['verify', 'sign', 'sign']);
    expect([privateKey.type, privateKey.extractable, privateKey.usages]).toEqual(['private', false, ['sign']]);
    expect([publicKey.type, publicKey.extractable, publicKey.usages]).toEqual(['public', true, ['verify']]);
    expect(privateKey.algorithm).toEqual(publicKey.algorithm);
    const held = keyprovKey(privateKey);
    expect([held?.assurance, held?.key.backend, held?.key.hasPin]).toEqual(['virtual', 'tpm', false]);
    expect(held?.key).not.toHaveProperty('creation');
    expect(keyprovKey(publicKey)).toBeUndefined();

    const signature: ArrayBuffer = await callOn(crypto.subtle, 'sign', use, privateKey, data);
    expect(signature.byteLength).toBe(size);
    const nodeKey = await inNode(crypto, publicKey, ['verify']);
    expect(nodeKey.algorithm).toEqual(publicKey.algorithm);
    expect(await callOn(node, 'verify', use, nodeKey, signature, data)).toBe(true);
    expect(await callOn(crypto.subtle, 'verify', use, publicKey, signature, data)).toBe(true);
    expect(await callOn(crypto.subtle, 'verify', use, publicKey, signature, data.subarray(1))).toBe(false);

    expect(await failure(() => callOn(crypto.subtle, 'verify', use, privateKey, signature, data))).toBe(
      'InvalidAccessError',
    );
    expect(await failure(() => callOn(crypto.subtle, 'sign', use, publicKey, data))).toBe('InvalidAccessError');
    for (const format of ['jwk', 'pkcs8', 'spki', 'raw'] as const) {
      expect(await failure(() => callOn(crypto.subtle, 'exportKey', format, privateKey))).toBe('InvalidAccessError');
    }
    const wrapping = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 128 }, false, ['wrapKey']);
    const gcm = { name: 'AES-GCM', iv: new Uint8Array(12) };
    expect(await failure(() => crypto.subtle.wrapKey('pkcs8', privateKey, wrapping, gcm))).toBe('InvalidAccessError');
  });

  it('refuse another algorithm, digest or salt than they can do', async () => {
    const [pss, p256] = await Promise.all([
      pairOf(crypto, rsa('RSA-PSS'), ['sign']),
      pairOf(crypto, { name: 'ECDSA', namedCurve: 'P-256' }, ['sign']),
    ]);
    const sign = (algorithm: unknown, { privateKey }: webcrypto.CryptoKeyPair) =>
      failure(() => callOn(crypto.subtle, 'sign', algorithm, privateKey, data));
    expect(await sign('RSASSA-PKCS1-v1_5', pss)).toBe('InvalidAccessError');
    expect(await sign('RSA-PSS', pss)).toBe('TypeError');
    for (const saltLength of [0, 20, 31, 222, 223]) {
      // TPMs of another version use the longest salt, 222 bytes.
      expect(await sign({ name: 'RSA-PSS', saltLength }, pss), String(saltLength)).toBe('OperationError');
    }
    expect(await sign({ name: 'ECDSA', hash: 'SHA-1' }, p256)).toBe('NotSupportedError');
    expect(await sign({ name: 'ECDSA' }, p256)).toBe('TypeError');
  });
});

describe.skipIf(missing)('generateKey in a TPM', () => {
  const generate = (algorithm: object | string, extractable: boolean, usages: readonly string[]) =>
    failure(() => callOn(crypto.subtle, 'generateKey', algorithm, extractable, usages));

  it("checks in the standard's order, then extractability and the TPM's limits", async () => {
    const P521 = { name: 'ECDSA', namedCurve: 'P-521' };
    for (const [algorithm, extractable, usages, name] of [
      ['RSA', true, [], 'NotSupportedError'],
      [{ name: 'ECDSA' }, true, ['decrypt'], 'TypeError'],
      [rsa('RSA-PSS', { publicExponent: new Uint8Array([2]) }), true, ['decrypt'], 'SyntaxError'],
      [rsa('RSA-PSS', { publicExponent: new Uint8Array([2]) }), true, [], 'OperationError'],
      [{ name: 'ECDH', namedCurve: 'P-512' }, true, [], 'NotSupportedError'],
      [rsa('RSA-PSS'), true, [], 'SyntaxError'],
      [rsa('RSA-PSS'), false, ['verify'], 'SyntaxError'],
      [rsa('RSA-OAEP'), true, ['encrypt'], 'SyntaxError'],
      [P521, true, [], 'SyntaxError'],
      [{ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign'], 'NotSupportedError'],
      [P521, false, ['sign'], 'NotSupportedError'],
      [rsa('RSA-PSS', { modulusLength: 1024 }), false, ['sign'], 'NotSupportedError'],
      [rsa('RSA-PSS', { modulusLength: 4096 }), false, ['sign'], 'NotSupportedError'],
      [rsa('RSA-PSS', { publicExponent: new Uint8Array([3]) }), false, ['sign'], 'NotSupportedError'],
      [rsa('RSASSA-PKCS1-v1_5', { hash: 'SHA-1' }), false, ['sign'], 'NotSupportedError'],
      ['Ed25519', false, ['sign'], 'NotSupportedError'],
      ['X25519', false, ['deriveBits'], 'NotSupportedError'],
    ] as const) {
      expect(await generate(algorithm, extractable, usages), JSON.stringify([algorithm, usages])).toBe(name);
    }
  });

  it('names parameters only if others would work', async () => {
    const said = (algorithm: object | string, usages: ('sign' | 'deriveBits')[]) =>
      crypto.subtle.generateKey(Object(algorithm), false, usages).catch((error: unknown) => Object(error).message);
    expect(await said({ name: 'Ed25519' }, ['sign'])).toBe('a provider cannot make Ed25519 keys');
    expect(await said({ name: 'X25519' }, ['deriveBits'])).toBe('a provider cannot make X25519 keys');
    expect(await said(rsa('RSA-PSS', { modulusLength: 1024 }), ['sign'])).toBe(
      'a provider cannot make RSA-PSS keys with that size, curve or exponent',
    );
  });

  it('accepts an exponent with leading zeros', async () => {
    const { publicKey } = await pairOf(crypto, rsa('RSA-PSS', { publicExponent: new Uint8Array([0, 1, 0, 1]) }), [
      'sign',
    ]);
    expect(publicKey.algorithm).toMatchObject({ publicExponent: F4, modulusLength: 2048 });
  });

  it('makes secret keys in software, extractable ones too', async () => {
    const key = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['encrypt']);
    expect([key.extractable, keyprovKey(key)]).toEqual([true, undefined]);
  });

  it('says why the TPM refused, with the error of the TPM as the cause', async () => {
    const error = await callOn(crypto.subtle, 'generateKey', rsa('RSA-PSS', { modulusLength: 3072 }), false, [
      'sign',
    ]).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    // libtpms 0.9 makes RSA keys of 3072 bits; for a TPM that cannot, the error is a NotSupportedError.
    if (error !== undefined) {
      expect(error).toMatchObject({ name: 'NotSupportedError', cause: { code: 'algorithm-unsupported' } });
    }
  });

  it('makes and uses twelve keys at once', async () => {
    const kinds = Array.from({ length: 12 }, (_, index) => ({
      name: 'ECDSA',
      namedCurve: index % 2 ? 'P-256' : 'P-384',
    }));
    const pairs = await Promise.all(kinds.map((kind) => pairOf(crypto, kind, ['sign', 'verify'])));
    const use = { name: 'ECDSA', hash: 'SHA-256' };
    const verified = await Promise.all(
      pairs.map(async ({ publicKey, privateKey }, index) => {
        const message = data.subarray(index);
        const signature = await crypto.subtle.sign(use, privateKey, message);
        return await node.verify(use, await inNode(crypto, publicKey, ['verify']), signature, message);
      }),
    );
    expect(verified).toEqual(kinds.map(() => true));
    expect(await leftovers(tpm)).toEqual([]);
  });
});

describe.skipIf(missing)('RSA-OAEP keys in a TPM', () => {
  it.each(['SHA-256', 'SHA-384'])('decrypt with %s what Node encrypted', async (hash) => {
    const usages = ['encrypt', 'decrypt', 'wrapKey', 'unwrapKey'];
    const { publicKey, privateKey } = await pairOf(crypto, rsa('RSA-OAEP', { hash }), usages);
    expect([publicKey.usages, privateKey.usages]).toEqual([
      ['encrypt', 'wrapKey'],
      ['decrypt', 'unwrapKey'],
    ]);
    const nodeKey = await inNode(crypto, publicKey, ['encrypt', 'wrapKey']);
    for (const [size, label] of [
      [80, undefined],
      [0, undefined],
      [32, utf8('label\0')],
      [32, new Uint8Array(0)],
    ] as const) {
      const algorithm = { name: 'RSA-OAEP', ...(label && { label }) };
      const message = data.subarray(0, size);
      const encrypted = await node.encrypt(algorithm, nodeKey, message);
      expect(bytes(await crypto.subtle.decrypt(algorithm, privateKey, encrypted))).toEqual(message);
    }
    const encrypted = await crypto.subtle.encrypt('RSA-OAEP', publicKey, data);
    expect(bytes(await crypto.subtle.decrypt('RSA-OAEP', privateKey, encrypted))).toEqual(data);

    const aes = await webcrypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['decrypt']);
    const wrapped = await node.wrapKey('raw', aes, nodeKey, 'RSA-OAEP');
    const unwrapped = await crypto.subtle.unwrapKey('raw', wrapped, privateKey, 'RSA-OAEP', 'AES-GCM', true, [
      'decrypt',
    ]);
    expect(bytes(await crypto.subtle.exportKey('raw', unwrapped))).toEqual(bytes(await node.exportKey('raw', aes)));
  });

  it('refuse what was not encrypted for them, and labels that a TPM does not accept', async () => {
    const { publicKey, privateKey } = await pairOf(crypto, rsa('RSA-OAEP'), ['encrypt', 'decrypt']);
    const encrypted = bytes(await crypto.subtle.encrypt('RSA-OAEP', publicKey, data));
    const changed = encrypted.slice();
    changed[7] = (changed[7] ?? 0) ^ 1;
    const decrypt = (algorithm: object | string, input: Uint8Array, key = privateKey) =>
      failure(() => callOn(crypto.subtle, 'decrypt', algorithm, key, input));
    for (const wrong of [changed, encrypted.subarray(1), concat(new Uint8Array(1), encrypted), new Uint8Array(0)]) {
      expect(await decrypt('RSA-OAEP', wrong)).toBe('OperationError');
    }
    expect(await decrypt({ name: 'RSA-OAEP', label: utf8('label\0') }, encrypted)).toBe('OperationError');
    expect(await decrypt({ name: 'RSA-OAEP', label: utf8('label') }, encrypted)).toBe('OperationError');
    expect(await decrypt({ name: 'RSA-OAEP', label: 'label' }, encrypted)).toBe('TypeError');
    expect(await decrypt('RSA-OAEP', encrypted, publicKey)).toBe('InvalidAccessError');
    const only = await pairOf(crypto, rsa('RSA-OAEP'), ['unwrapKey']);
    expect(await decrypt('RSA-OAEP', encrypted, only.privateKey)).toBe('InvalidAccessError');
  });
});

describe.skipIf(missing)('ECDH keys in a TPM', () => {
  it.each(['P-256', 'P-384'] as const)('on %s agree with Node on a secret', async (namedCurve) => {
    const kind = { name: 'ECDH', namedCurve };
    const { publicKey, privateKey } = await pairOf(crypto, kind, ['deriveKey', 'deriveBits']);
    expect([publicKey.usages, privateKey.usages]).toEqual([[], ['deriveKey', 'deriveBits']]);
    const nodeKey = await inNode(crypto, publicKey, []);
    const peer = await node.generateKey(kind, true, ['deriveBits']);
    const raw = await node.exportKey('raw', peer.publicKey);
    const algorithm = { name: 'ECDH', public: await crypto.subtle.importKey('raw', raw, kind, true, []) };
    const secret = bytes(await node.deriveBits({ name: 'ECDH', public: nodeKey }, peer.privateKey, null));
    expect(secret.length).toBe(CURVES[namedCurve].size);
    expect(bytes(await crypto.subtle.deriveBits(algorithm, privateKey, null))).toEqual(secret);
    expect(bytes(await crypto.subtle.deriveBits(algorithm, privateKey, 128))).toEqual(secret.subarray(0, 16));
    const [odd] = bytes(await crypto.subtle.deriveBits(algorithm, privateKey, 3));
    expect(odd).toBe((secret[0] ?? 0) & 0xe0);
    const derive = (length: number) => failure(() => crypto.subtle.deriveBits(algorithm, privateKey, length));
    expect(await derive(secret.length * 8 + 1)).toBe('OperationError');

    const gcm = { name: 'AES-GCM', length: 256 };
    const aes = await crypto.subtle.deriveKey(algorithm, privateKey, gcm, true, ['encrypt']);
    expect(bytes(await crypto.subtle.exportKey('raw', aes))).toEqual(secret.subarray(0, 32));
  });

  it('refuse public keys of another curve or algorithm, and their own private key', async () => {
    const [p256, p384, ecdsa] = await Promise.all([
      pairOf(crypto, { name: 'ECDH', namedCurve: 'P-256' }, ['deriveBits']),
      pairOf(crypto, { name: 'ECDH', namedCurve: 'P-384' }, ['deriveKey']),
      pairOf(crypto, { name: 'ECDSA', namedCurve: 'P-256' }, ['sign']),
    ]);
    for (const peer of [p384.publicKey, ecdsa.publicKey, p256.privateKey]) {
      const algorithm = { name: 'ECDH', public: peer };
      expect(await failure(() => crypto.subtle.deriveBits(algorithm, p256.privateKey, null))).toBe(
        'InvalidAccessError',
      );
    }
    const algorithm = { name: 'ECDH', public: p384.publicKey };
    expect(await failure(() => crypto.subtle.deriveBits(algorithm, p384.privateKey, null))).toBe('InvalidAccessError');
  });
});

describe.skipIf(missing)('PINs', () => {
  const PIN = '271828';
  /** A crypto object whose prompt returns these answers in turn. */
  function withPins(answers: readonly (string | Error)[], options: object = {}) {
    const requests: PinRequest[] = [];
    const pin = async (request: PinRequest) => {
      const answer = answers[requests.length] ?? new Error('nobody answers');
      requests.push(request);
      if (answer instanceof Error) throw answer;
      return utf8(answer);
    };
    return { requests, crypto: createCrypto({ provider, pin, ...options }) };
  }
  const use = { name: 'ECDSA', hash: 'SHA-256' };
  const P256 = { name: 'ECDSA', namedCurve: 'P-256' };
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'keyprov-webcrypto-pin-'));
    const store = await openKeyStore(directory);
    const { crypto: making } = withPins([PIN], { store, newKeysHavePin: true });
    const { privateKey } = await pairOf(making, P256, ['sign']);
    await making.storeKey(privateKey, { id: 'with-pin' });
  });
  afterAll(() => rm(directory, { recursive: true }));
  afterEach(() => tpm.run(DictionaryAttackLockReset, { lockHandle: TPM_RH.LOCKOUT }));
  const load = async (setup: { readonly crypto: KeyprovCrypto }) => (await setup.crypto.loadKey('with-pin')).privateKey;
  const withStore = async (answers: readonly (string | Error)[], options: object = {}) =>
    withPins(answers, { store: await openKeyStore(directory), ...options });

  it('are asked for new keys on request, and for each use', async () => {
    const { crypto, requests } = withPins([PIN, PIN, PIN], { newKeysHavePin: true });
    const { publicKey, privateKey } = await pairOf(crypto, P256, ['sign', 'verify']);
    expect(keyprovKey(privateKey)?.key.hasPin).toBe(true);
    for (let uses = 0; uses < 2; uses++) {
      const signature = await crypto.subtle.sign(use, privateKey, data);
      expect(await crypto.subtle.verify(use, publicKey, signature, data)).toBe(true);
    }
    expect(requests.map(({ operation }) => operation)).toEqual(['generateKey', 'sign', 'sign']);
    expect(requests[1]?.key).toBe(keyprovKey(privateKey)?.key);
  });

  it('are asked for again when they were wrong, with the tries that are left', async () => {
    const setup = await withStore(['000000', PIN]);
    expect((await setup.crypto.subtle.sign(use, await load(setup), data)).byteLength).toBe(64);
    const [first, second] = setup.requests;
    expect([first?.triesLeft, first?.lastError]).toEqual([undefined, undefined]);
    expect([second?.triesLeft, second?.lastError?.code]).toEqual([2, 'pin-wrong']);
  });

  it('are not asked for when one more wrong one would lock the TPM', async () => {
    const setup = await withStore(['000000', '000001', '000002']);
    const key = await load(setup);
    const error = await setup.crypto.subtle.sign(use, key, data).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ name: 'OperationError', cause: { code: 'pin-wrong', triesLeft: 1 } });
    expect(setup.requests.length).toBe(2);
  });

  it('are kept for the time that the caller says', async () => {
    const setup = await withStore([PIN, PIN], { pinCacheMs: 60_000 });
    const key = await load(setup);
    await Promise.all(Array.from({ length: 4 }, () => setup.crypto.subtle.sign(use, key, data)));
    expect(setup.requests.length).toBe(1);
  });

  it('do not block keys without one', async () => {
    let asked: (value: undefined) => void = () => undefined;
    const waiting = new Promise((resolve) => {
      asked = resolve;
    });
    const ended = new AbortController();
    const hanging = createCrypto({
      provider,
      store: await openKeyStore(directory),
      pin: () => {
        asked(undefined);
        return new Promise(() => undefined);
      },
      signal: ended.signal,
    });
    const { privateKey } = await hanging.loadKey('with-pin');
    const signing = failure(() => hanging.subtle.sign(use, privateKey, data));
    await waiting;
    const free = await pairOf(hanging, P256, ['sign']);
    expect((await hanging.subtle.sign(use, free.privateKey, data)).byteLength).toBe(64);
    ended.abort();
    expect(await signing).toBe('AbortError');
    expect(await failure(() => hanging.subtle.sign(use, free.privateKey, data))).toBe('AbortError');
    expect(await failure(() => pairOf(hanging, P256, ['sign']))).toBe('AbortError');
  });

  it('end with the object', async () => {
    const setup = await withStore([PIN], { pinCacheMs: 60_000 });
    const key = await load(setup);
    await setup.crypto.subtle.sign(use, key, data);
    await setup.crypto.close();
    expect(await failure(() => setup.crypto.subtle.sign(use, key, data))).toBe('AbortError');
  });

  it('are reported as missing if nobody gives them', async () => {
    const canceled = new Error('the window was closed');
    const setup = await withStore([canceled]);
    const key = await load(setup);
    await expect(setup.crypto.subtle.sign(use, key, data)).rejects.toBe(canceled);
    const none = createCrypto({ provider, store: await openKeyStore(directory) });
    const { privateKey } = await none.loadKey('with-pin');
    await expect(none.subtle.sign(use, privateKey, data)).rejects.toMatchObject({
      name: 'OperationError',
      cause: { code: 'pin-required', remedy: 'pass pin, a function that asks for it, to createCrypto or webCrypto' },
    });
    const asking = createCrypto({ provider, newKeysHavePin: true });
    expect(await failure(() => pairOf(asking, P256, ['sign']))).toBe('TypeError');
  });

  it('are asked for decryption and key agreement too', async () => {
    const { crypto, requests } = withPins([PIN, PIN, PIN, PIN], { newKeysHavePin: true });
    const oaep = await pairOf(crypto, rsa('RSA-OAEP'), ['encrypt', 'decrypt']);
    const encrypted = await crypto.subtle.encrypt('RSA-OAEP', oaep.publicKey, data);
    expect(bytes(await crypto.subtle.decrypt('RSA-OAEP', oaep.privateKey, encrypted))).toEqual(data);
    const ecdh = await pairOf(crypto, { name: 'ECDH', namedCurve: 'P-256' }, ['deriveBits']);
    await crypto.subtle.deriveBits({ name: 'ECDH', public: ecdh.publicKey }, ecdh.privateKey, null);
    expect(requests.map(({ operation }) => operation)).toEqual(['generateKey', 'decrypt', 'generateKey', 'deriveBits']);
  });
});

describe.skipIf(missing)('keys in a store', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'keyprov-webcrypto-'));
  });
  afterAll(() => rm(directory, { recursive: true }));
  const open = async () => createCrypto({ provider, store: await openKeyStore(directory) });

  it('are listed, and loaded for their original use', async () => {
    const first = await open();
    const kinds = [
      [rsa('RSA-PSS', { hash: 'SHA-384' }), ['sign', 'verify']],
      [rsa('RSA-OAEP'), ['encrypt', 'unwrapKey']],
      [{ name: 'ECDSA', namedCurve: 'P-384' }, ['sign', 'verify']],
      [{ name: 'ECDH', namedCurve: 'P-256' }, ['deriveBits']],
    ] as const;
    for (const [index, [algorithm, usages]] of kinds.entries()) {
      const { privateKey } = await pairOf(first, algorithm, usages);
      const record = await first.storeKey(privateKey, { id: `key-${index}`, name: `number ${index}` });
      expect(record).toMatchObject({
        id: `key-${index}`,
        name: `number ${index}`,
        backend: 'tpm',
        assurance: 'virtual',
      });

      const second = await open();
      const loaded = await second.loadKey(record.id);
      expect(loaded.privateKey.algorithm).toEqual(privateKey.algorithm);
      expect(loaded.privateKey.usages).toEqual(privateKey.usages);
      expect(loaded.privateKey.extractable).toBe(false);
      expect(keyprovKey(loaded.privateKey)?.key.privateKey).toBe(record.privateKey);
      expect(loaded.publicKey.extractable).toBe(true);
    }
    const { records, damaged } = await first.listKeys();
    expect([records.map(({ id }) => id), damaged]).toEqual([['key-0', 'key-1', 'key-2', 'key-3'], []]);

    const second = await open();
    const signing = await second.loadKey('key-0');
    const pss = { name: 'RSA-PSS', saltLength: 48 };
    const signature = await second.subtle.sign(pss, signing.privateKey, data);
    expect(await second.subtle.verify(pss, signing.publicKey, signature, data)).toBe(true);
    const oaep = await second.loadKey('key-1', { usages: ['encrypt', 'decrypt'] });
    const encrypted = await second.subtle.encrypt('RSA-OAEP', oaep.publicKey, data);
    expect(bytes(await second.subtle.decrypt('RSA-OAEP', oaep.privateKey, encrypted))).toEqual(data);
  });

  it('get a random name unless told', async () => {
    const crypto = await open();
    const { publicKey, privateKey } = await pairOf(crypto, { name: 'ECDSA', namedCurve: 'P-256' }, ['sign']);
    const { id, name } = await crypto.storeKey(privateKey);
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(name).toBe(id);
    await expect(crypto.storeKey(privateKey, { id })).rejects.toMatchObject({ code: 'key-exists' });
    await expect(crypto.storeKey(publicKey)).rejects.toThrow(TypeError);
    await expect(crypto.loadKey('nothing')).rejects.toMatchObject({ code: 'key-not-found' });
  });

  it('that were made elsewhere sign, or have the use that the caller chooses', async () => {
    const store = await openKeyStore(directory);
    const { creation: _, ...key } = await provider.create({ algorithm: 'rsa-2048' });
    const { pinDerivation: __, ...made } = keyRecord('hello', { ...key, assurance: 'virtual' });
    await store.save(made);
    const crypto = createCrypto({ provider, store });
    const signing = await crypto.loadKey('hello');
    expect(signing.privateKey.algorithm).toMatchObject({ name: 'RSASSA-PKCS1-v1_5', hash: { name: 'SHA-256' } });
    expect([signing.privateKey.usages, signing.publicKey.usages]).toEqual([['sign'], ['verify']]);
    const algorithm = { name: 'RSA-OAEP', hash: 'SHA-256' };
    const { publicKey, privateKey } = await crypto.loadKey('hello', { algorithm });
    expect([publicKey.usages, privateKey.usages]).toEqual([
      ['encrypt', 'wrapKey'],
      ['decrypt', 'unwrapKey'],
    ]);
    const encrypted = await crypto.subtle.encrypt('RSA-OAEP', publicKey, data);
    expect(bytes(await crypto.subtle.decrypt('RSA-OAEP', privateKey, encrypted))).toEqual(data);

    expect(await failure(() => crypto.loadKey('hello', { algorithm: 'ECDSA' }))).toBe('TypeError');
    expect(await failure(() => crypto.loadKey('hello', { algorithm: 'AES-CBC' }))).toBe('DataError');
    expect(await failure(() => crypto.loadKey('hello', { algorithm: 'RSA' }))).toBe('NotSupportedError');
    expect(await failure(() => crypto.loadKey('hello', { usages: ['decrypt'] }))).toBe('SyntaxError');
    const p256 = keyRecord('software', { backend: 'software', assurance: 'software' });
    await store.save(p256);
    await expect(crypto.loadKey('software')).rejects.toMatchObject({ code: 'key-invalid' });
    expect(await failure(() => createCrypto({ store }).loadKey('hello'))).toBe('TypeError');
  });
});

describe('keys of the software provider', () => {
  const held = createCrypto({ provider: openSoftwareKeyProvider({ wrappingSecret: new Uint8Array(32).fill(9) }) });

  it.each([SIGNING[2], SIGNING[6]])('of %j sign, and Node verifies', async (algorithm, use, size) => {
    const { publicKey, privateKey } = await pairOf(held, algorithm, ['sign', 'verify']);
    expect(keyprovKey(privateKey)).toMatchObject({ assurance: 'software', key: { backend: 'software' } });
    const signature: ArrayBuffer = await callOn(held.subtle, 'sign', use, privateKey, data);
    expect(signature.byteLength).toBe(size);
    expect(await callOn(node, 'verify', use, await inNode(held, publicKey, ['verify']), signature, data)).toBe(true);
    expect(await failure(() => callOn(held.subtle, 'exportKey', 'pkcs8', privateKey))).toBe('InvalidAccessError');
  });

  it('only sign, and are never extractable', async () => {
    for (const [algorithm, extractable, usage] of [
      [rsa('RSA-OAEP'), false, 'decrypt'],
      [{ name: 'ECDH', namedCurve: 'P-256' }, false, 'deriveBits'],
      [{ name: 'ECDSA', namedCurve: 'P-256' }, true, 'sign'],
    ] as const) {
      const made = () => callOn(held.subtle, 'generateKey', algorithm, extractable, [usage]);
      expect(await failure(made)).toBe('NotSupportedError');
    }
  });

  it("report the provider's error if they cannot be made", async () => {
    const unprotected = createCrypto({ provider: openSoftwareKeyProvider() });
    const made = pairOf(unprotected, { name: 'ECDSA', namedCurve: 'P-256' }, ['sign']);
    await expect(made).rejects.toMatchObject({ name: 'OperationError', cause: { code: 'pin-required' } });
  });
});
