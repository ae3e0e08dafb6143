import { webcrypto } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { CryptoKey, createCrypto, keyprovKey } from '../../../src/webcrypto/index.ts';
import { failure } from '../../dom-failure.ts';

const crypto = createCrypto();
const algorithm = { name: 'AES-CBC', length: 128 };
const newKey = () => crypto.subtle.generateKey(algorithm, false, ['encrypt']);

describe('a CryptoKey', () => {
  it('cannot be made with new', () => {
    expect(() => new CryptoKey()).toThrow(TypeError);
  });

  it('cannot be changed', async () => {
    const key = await newKey();
    expect(key).toBeInstanceOf(CryptoKey);
    for (const name of ['extractable', 'type', 'usages', 'algorithm']) {
      expect(Reflect.set(key, name, true), name).toBe(false);
    }
    key.usages.push('decrypt');
    Object.assign(key.algorithm, { name: 'AES-GCM' });
    expect(await failure(() => crypto.subtle.exportKey('raw', key))).toBe('InvalidAccessError');
    const iv = new Uint8Array(16);
    expect(await failure(() => crypto.subtle.decrypt({ name: 'AES-CBC', iv }, key, iv))).toBe('InvalidAccessError');
    expect((await crypto.subtle.encrypt({ name: 'AES-CBC', iv }, key, iv)).byteLength).toBe(32);
  });

  it('always shows the same objects, which are its own', async () => {
    const [one, other] = [await newKey(), await newKey()];
    expect(one.algorithm).toBe(one.algorithm);
    expect(one.usages).toBe(one.usages);
    expect(one.algorithm).not.toBe(other.algorithm);
    expect(one.algorithm).not.toBe(algorithm);
  });

  it('has nothing of the key in its properties', async () => {
    const key = await newKey();
    expect([...Object.getOwnPropertyNames(key), ...Object.getOwnPropertySymbols(key)]).toEqual([]);
  });

  it('is taken from keyprov only', async () => {
    const foreign = await webcrypto.subtle.generateKey(algorithm, true, ['encrypt']);
    for (const key of [foreign, Object.create(CryptoKey.prototype), null]) {
      expect(await failure(() => crypto.subtle.exportKey('raw', key))).toBe('TypeError');
      expect(() => keyprovKey(key)).toThrow(TypeError);
    }
    expect(() => Reflect.get(CryptoKey.prototype, 'type', {})).toThrow(TypeError);
  });
});

describe('createCrypto', () => {
  it('makes an object that looks like any Crypto', () => {
    expect(String(crypto)).toBe('[object Crypto]');
    expect(String(crypto.subtle)).toBe('[object SubtleCrypto]');
    expect(crypto.randomUUID()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const array = new Uint8Array(64);
    expect(crypto.getRandomValues(array)).toBe(array);
    expect(array.some((byte) => byte !== 0)).toBe(true);
    expect(() => crypto.getRandomValues(new Uint8Array(65537))).toThrow(DOMException);
  });

  it('refuses an invalid time', () => {
    for (const pinCacheMs of [-1, Number.NaN, 2 ** 31, Infinity])
      expect(() => createCrypto({ pinCacheMs })).toThrow(RangeError);
  });

  it('has no stored keys without a store, and makes none without a provider', async () => {
    const { privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
    expect(await failure(() => crypto.listKeys())).toBe('TypeError');
    const load = vi.fn(() => Promise.reject(new Error('asked')));
    const withStore = createCrypto({ store: Object({ load, list: load, save: load }) });
    for (const one of [crypto, withStore]) expect(await failure(() => one.loadKey('a'))).toBe('TypeError');
    expect(load).not.toHaveBeenCalled();
    expect(await failure(() => crypto.storeKey(privateKey))).toBe('TypeError');
  });
});
