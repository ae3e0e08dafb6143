import { webcrypto } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { checkObject } from '../bytes.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import type { KeyList, KeyStore } from '../keys/key-store.ts';
import type { Assurance, KeyProvider, ProvidedKey } from '../keys/provider.ts';
import { checkMembers } from '../known-members.ts';
import { slotsOf } from './crypto-key.ts';
import type { KeyPair } from './generate-key.ts';
import { KeyHolder } from './key-holder.ts';
import { PinEntry, type PinPrompt } from './pin-entry.ts';
import { keysOfRecord, type LoadKeyOptions, recordOfKey, type StoreKeyOptions } from './stored-keys.ts';
import { Subtle } from './subtle.ts';

/** Options of {@link createCrypto}. */
export interface CreateCryptoOptions {
  /**
   * Makes key pairs and holds their private keys, such as `await openTpmKeyProvider(tpm)`. The caller closes the TPM.
   * Absent: all keys are in this process, as with any other WebCrypto.
   */
  readonly provider?: KeyProvider | undefined;
  /** The store for keys. */
  readonly store?: KeyStore | undefined;
  /** Asks for the PIN of a key. Absent: keys with a PIN cannot be used. */
  readonly pin?: PinPrompt | undefined;
  /** How long a key's correct PIN is kept in memory, in milliseconds. Default 0: not at all. */
  readonly pinCacheMs?: number | undefined;
  /** Tries a PIN even if a wrong one would lock the TPM for all its keys. Default false. */
  readonly force?: boolean | undefined;
  /** Gives new keys a PIN, for which `pin` is called once; no PIN rules apply. Default false. */
  readonly newKeysHavePin?: boolean | undefined;
  /** Aborts running operations and ends the object, as `close` does. */
  readonly signal?: AbortSignal | undefined;
}

/** A `Crypto` of the Web Cryptography API backed by a key provider. */
export interface KeyprovCrypto extends Omit<webcrypto.Crypto, 'CryptoKey'>, AsyncDisposable {
  /**
   * Puts a private key that the provider holds into the store, and returns its record.
   * @throws KeyprovError like {@link KeyStore.save}; TypeError for another key, or without a store.
   */
  storeKey(key: webcrypto.CryptoKey, options?: StoreKeyOptions): Promise<KeyRecord>;
  /**
   * Loads the key pair of a record, given itself or by its id in the store, even if `provisionKey` made it.
   * @throws KeyprovError like {@link KeyStore.load}, and `key-invalid` for a key of another kind of provider; the
   * errors of `importKey` for an algorithm and usages that do not fit; TypeError without a provider, or for an id
   * without a store.
   */
  loadKey(key: string | KeyRecord, options?: LoadKeyOptions): Promise<webcrypto.CryptoKeyPair>;
  /** Lists the keys in the store. @throws KeyprovError `store-io`; TypeError without a store. */
  listKeys(): Promise<KeyList>;
  /**
   * Wipes the PINs in memory, and aborts prompts and operations with the provider's keys. Those keys cannot be used
   * afterwards.
   */
  close(): Promise<void>;
}

/**
 * Makes a `Crypto`. With a provider, `subtle.generateKey` makes key pairs only there, and their private keys are used
 * only there; everything else runs in software. Nothing is loaded or opened before the first use.
 *
 * @throws RangeError if `pinCacheMs` is negative, NaN or above 2147483647; TypeError for an option that is unknown or of another kind.
 *
 * @example
 * ```ts
 * import { openTpm, openTpmKeyProvider } from 'keyprov';
 * import { createCrypto, keyprovKey } from 'keyprov/webcrypto';
 *
 * await using tpm = await openTpm('libtpms');
 * await using crypto = createCrypto({ provider: await openTpmKeyProvider(tpm) });
 * const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
 * const { privateKey } = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
 * const signature = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, privateKey, new Uint8Array([1, 2, 3]));
 * console.log(keyprovKey(privateKey)?.assurance, signature.byteLength); // 'virtual', 64
 * ```
 */
export function createCrypto(options: CreateCryptoOptions = {}): KeyprovCrypto {
  options = checkMembers(
    'createCrypto',
    options,
    'provider store pin:function? pinCacheMs:number? force:boolean? newKeysHavePin:boolean? signal',
  );
  const { provider, store } = options;
  if (provider !== undefined) checkObject(provider, 'createCrypto: provider', 'create', 'sign');
  if (store !== undefined) checkObject(store, 'createCrypto: store', 'list', 'load', 'save');
  return new ProviderCrypto(options);
}

/**
 * Returns the key behind a CryptoKey, and how well it is protected; undefined for a key in this process.
 * @throws TypeError for a CryptoKey of another implementation.
 */
export function keyprovKey(
  key: webcrypto.CryptoKey,
): { readonly key: ProvidedKey; readonly assurance: Assurance } | undefined {
  const { handle } = slotsOf(key);
  return handle.kind === 'held' ? { key: handle.key, assurance: handle.assurance } : undefined;
}

class ProviderCrypto implements KeyprovCrypto {
  readonly subtle: webcrypto.SubtleCrypto;
  readonly #holder: KeyHolder | undefined;
  readonly #store: KeyStore | undefined;
  readonly #ended = new AbortController();

  constructor({
    provider,
    store,
    pin,
    pinCacheMs = 0,
    force = false,
    newKeysHavePin = false,
    signal,
  }: CreateCryptoOptions) {
    const ended = this.#ended.signal;
    const either = signal === undefined ? ended : AbortSignal.any([ended, signal]);
    setMaxListeners(0, either); // every use of a key listens to it
    const pins = new PinEntry(pin, pinCacheMs, either, force);
    this.#holder = provider && new KeyHolder(provider, pins, newKeysHavePin, either);
    this.#store = store;
    this.subtle = new Subtle(this.#holder);
  }

  get [Symbol.toStringTag](): string {
    return 'Crypto';
  }

  getRandomValues<T extends Exclude<NodeJS.TypedArray, Float32Array | Float64Array>>(array: T): T {
    return webcrypto.getRandomValues(array);
  }

  randomUUID(): ReturnType<webcrypto.Crypto['randomUUID']> {
    return webcrypto.randomUUID();
  }

  async storeKey(key: webcrypto.CryptoKey, options: StoreKeyOptions = {}): Promise<KeyRecord> {
    const record = recordOfKey(key, checkMembers('storeKey', options, 'id:text? name:text?'));
    await this.#openStore().save(record);
    return record;
  }

  async loadKey(key: string | KeyRecord, options: LoadKeyOptions = {}): Promise<KeyPair> {
    options = checkMembers('loadKey', options, 'algorithm usages:texts?');
    if (this.#holder === undefined) throw new TypeError('this crypto object was made without a provider');
    const record = typeof key === 'string' ? await this.#openStore().load(key) : key;
    return keysOfRecord(record, this.#holder, options);
  }

  async listKeys(): Promise<KeyList> {
    return await this.#openStore().list();
  }

  async close(): Promise<void> {
    this.#ended.abort(new DOMException('the crypto object was closed', 'AbortError'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #openStore(): KeyStore {
    if (this.#store === undefined) throw new TypeError('this crypto object was made without a store');
    return this.#store;
  }
}
