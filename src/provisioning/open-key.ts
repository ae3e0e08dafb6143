import type { webcrypto } from 'node:crypto';
import type { AttestationStatement } from '../attestation/statement.ts';
import { type Bytes, equal } from '../bytes.ts';
import { encodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { SelectionError } from '../errors/selection-error.ts';
import { KeyprovError, undoOnFailure } from '../errors.ts';
import { decodeKeyRecord, encodeKeyRecord, type KeyRecord } from '../keys/key-record.ts';
import { checkSources, type KeySources, keySources, leaseTpm, softwareOf } from '../keys/key-sources.ts';
import { checkStore, type KeyStore } from '../keys/key-store.ts';
import type { Assurance, Backend, DataToSign, KeyProvider, SignOptions } from '../keys/provider.ts';
import { checkedData } from '../keys/signed-data.ts';
import type { PinTryOptions } from '../keys/tpm-pin.ts';
import { openTpmKeyProvider, TpmKeyProvider, type TpmKeyProviderOptions } from '../keys/tpm-provider.ts';
import { checkMembers } from '../known-members.ts';
import { definePinPolicy, type PinPolicy, type Policy } from '../policy/index.ts';
import { checkPossiblePin } from '../policy/judge-pin.ts';
import type { SignalOptions } from '../signal.ts';
import { decode } from '../tpm/codec/index.ts';
import { objectName } from '../tpm/names.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import { TPM2B_PUBLIC } from '../tpm/structures/object.ts';
import type { CreateCryptoOptions, KeyprovCrypto } from '../webcrypto/create-crypto.ts';
import type { LoadKeyOptions } from '../webcrypto/stored-keys.ts';
import {
  checkHasPin,
  type KeepRecord,
  keepIn,
  type ReplacePinOptions,
  refuseNewPin,
  replacePin,
} from './change-pin.ts';
import { findKey, isChosen, type KeyChoice } from './find-key.ts';
import { attestForRequest, checkRequestOptions, type KeyRequest, type KeyRequestOptions } from './key-request.ts';
import { explainLoss, nameTpm } from './lost-key.ts';
import { readPinState } from './pin-state.ts';
import { requestForKey } from './provision-key.ts';
import { type RegistrationRecord, readRegistration } from './registration-record.ts';

/** Options of {@link openKey}: which key to open, and where it may be. */
export interface OpenKeyOptions extends KeyChoice, SignalOptions {
  /** The record of the key. Absent: `store` has it, and `id`, `user` and `deviceId` select it. */
  readonly record?: KeyRecord | undefined;
  /**
   * The store with the record, which also keeps a changed PIN. Absent: nothing is kept, see {@link UserKey.changePin}.
   */
  readonly store?: KeyStore | undefined;
  /** Default: `keySources({ store })`: this machine's TPM, and the store's software keys. */
  readonly sources?: KeySources | undefined;
  /** Authorization of the owner hierarchy, and other options of the TPM. */
  readonly tpmOptions?: TpmKeyProviderOptions | undefined;
}

/** Result of {@link UserKey.prove}. */
export type KeyProof =
  | {
      readonly backend: 'tpm';
      readonly assurance: Assurance;
      /** Address of the TPM that has the key. */
      readonly address: string;
      /** Name of the key in the TPM: nameAlg and digest of its public area. Part 1, 16. */
      readonly name: Bytes;
    }
  /** A software key is in its record; only its PIN or wrapping secret opens it. */
  | { readonly backend: 'software'; readonly assurance: 'software' };

/** Options of {@link UserKey.attest}. */
export type AttestUserKeyOptions = Pick<KeyRequestOptions, 'challenge' | 'enrolAk' | 'signal'>;

/** Options of {@link UserKey.request}. */
export interface UserKeyRequestOptions extends Omit<KeyRequestOptions, 'policy'> {
  /** Default `preferred`. */
  readonly attestation?: Policy['attestation'] | undefined;
}

/** Options of {@link UserKey.changePin}. */
export interface ChangeKeyPinOptions extends Omit<ReplacePinOptions, 'provider' | 'prompt' | 'policy'> {
  /** The current PIN in UTF-8, wiped by the caller. */
  readonly pin: Uint8Array;
  /** The new PIN in UTF-8, wiped by the caller; or a function that asks for it. */
  readonly newPin: ReplacePinOptions['prompt'];
  /** The rules for the new PIN. Default: the rules that the current PIN met, or else the default rules. */
  readonly policy?: PinPolicy | undefined;
}

/** Options of {@link UserKey.webCrypto}. */
export interface UserKeyCryptoOptions
  extends LoadKeyOptions,
    Pick<CreateCryptoOptions, 'pin' | 'pinCacheMs' | 'force'> {}

/**
 * Opens a key in a TPM or in software. A TPM given by address is opened at the first use, and {@link UserKey.close}
 * closes it. The caller closes an open `Tpm`.
 *
 * @throws KeyprovError `key-not-found`, `key-ambiguous`, `store-invalid`, `not-private`, `store-io`; `key-invalid` if
 * `record` is not a key record; RangeError for an `id` that no record can have; TypeError for an unknown option, or
 * without record and store.
 *
 * @example
 * ```ts
 * import { openKey, openKeyStore } from 'keyprov';
 *
 * const store = await openKeyStore('./keys');
 * await using key = await openKey({ store, user: 'ada@contoso.test' });
 * const signature = await key.sign({ data: new TextEncoder().encode('hello'), pin: new TextEncoder().encode('271828') });
 * console.log(key.backend, key.assurance, signature.length);
 * ```
 */
export async function openKey(options: OpenKeyOptions): Promise<UserKey> {
  options = checkMembers(
    'openKey',
    options,
    'id:text? user:text? deviceId:text? record store sources tpmOptions signal',
  );
  const { id, user, deviceId, record, store, sources } = options;
  if (sources !== undefined) checkSources(sources);
  if (record !== undefined) {
    checkRecord(record, options);
    return new UserKey(record, options);
  }
  if (store === undefined) throw new TypeError('openKey needs a record, or a store from openKeyStore');
  checkStore('openKey', store);
  const found = await findKey(store, { id, user, deviceId });
  return new UserKey(found.record, options);
}

/**
 * A record may come from anywhere.
 * @throws KeyprovError `key-invalid`; `key-not-found` for the key of another user or device.
 */
function checkRecord(record: KeyRecord, choice: KeyChoice): void {
  try {
    decodeKeyRecord(encodeKeyRecord(record), 'that was given');
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KeyprovError('key-invalid', `openKey cannot use this record: ${reason}`, {
      cause,
      remedy: 'pass a record that KeyStore.load returned',
    });
  }
  if (isChosen({ record }, choice)) return;
  throw new KeyprovError('key-not-found', `the given record belongs to another key, ${record.id} (${record.name})`, {
    remedy: "pass the right key's record, or leave out id, user and deviceId",
  });
}

/** A key that is ready for use: one object for keys in a TPM and in software. */
export class UserKey {
  #record: KeyRecord;
  readonly #options: OpenKeyOptions;
  readonly #sources: KeySources;
  #opened: Promise<OpenedProvider> | undefined;
  #closing: Promise<void> | undefined;
  readonly #cryptos: KeyprovCrypto[] = [];

  /** Use {@link openKey}. */
  constructor(record: KeyRecord, options: OpenKeyOptions) {
    this.#record = record;
    this.#options = options;
    this.#sources = options.sources ?? keySources({ store: options.store });
  }

  /** The record of the key: after {@link changePin} the new one. */
  get record(): KeyRecord {
    return this.#record;
  }

  /** The record of its registration; undefined if the key is not registered. @throws KeyprovError `store-invalid` */
  get registration(): RegistrationRecord | undefined {
    return readRegistration(this.#record);
  }

  /** The public key from the record. */
  get publicKey(): PublicKey {
    return this.#record.publicKey;
  }

  /** Where the private key is. */
  get backend(): Backend {
    return this.#record.backend;
  }

  /** How well the private key is protected. */
  get assurance(): Assurance {
    return this.#record.assurance;
  }

  /**
   * Signs data. Checks the signature with the public key of the record before it returns it.
   * @throws KeyprovError `pin-required`, `key-invalid`, `no-tpm`, `tpm-identity-changed`; PinError `pin-wrong`, or if
   * the PIN was not tried `pin-last-try`, `key-locked`; PinRefusedError for bytes that no PIN has; TpmError
   * `tpm-lockout`; TypeError if data or PIN are not bytes.
   */
  async sign(options: SignOptions<DataToSign> & PinTryOptions): Promise<Bytes> {
    options = checkMembers(
      'sign',
      options,
      'data:data hash:=sha256|sha384|sha512? padding:=pkcs1|pss? format:=der|raw? pin:bytes? force:boolean? signal',
    );
    const { hash = 'sha256', padding = 'pkcs1', format = 'der', pin } = options;
    const { publicKey, hasPin } = this.#record;
    if (pin !== undefined && (hasPin || pin.length > 0)) checkPossiblePin(pin);
    const { data, verifies } = checkedData(hash, options.data);
    const signature = await this.#use((provider) => provider.sign(this.#record, { ...options, data }), options);
    if (verifies(publicKey, signature, publicKey.kty === 'RSA' ? padding : format)) return signature;
    throw mixedUp(this.#record);
  }

  /**
   * Loads the key, which proves that the TPM has it. Needs no PIN, and works in lockout.
   * @throws KeyprovError `no-tpm`; `tpm-identity-changed` if the key is in another TPM, or this one was cleared;
   * `key-invalid` if the record has the private part of another key.
   */
  async prove(options: SignalOptions = {}): Promise<KeyProof> {
    const record = this.#record;
    if (record.backend === 'software') return { backend: 'software', assurance: 'software' };
    const check = (provider: TpmKeyProvider): Promise<KeyProof> =>
      provider.useWithoutPin(record, options, async ({ file }) => {
        const publicArea = decode(TPM2B_PUBLIC, file.publicArea);
        if (!equal(encodeSpki(publicKeyOf(publicArea)), encodeSpki(record.publicKey))) throw mixedUp(record);
        const { assurance, tpm } = provider;
        return { backend: 'tpm', assurance, address: tpm.transport.address, name: objectName(publicArea) };
      });
    return await this.#useTpm(check, options);
  }

  /**
   * Has the TPM certify the key over a challenge, with its attestation key. Needs no PIN.
   * @throws KeyprovError `attestation-unavailable` for a software key, or if the TPM cannot attest the key (`cause` says
   * why); else as {@link prove}; RangeError for a challenge that does not have 1 to 64 bytes.
   */
  async attest(options: AttestUserKeyOptions): Promise<AttestationStatement> {
    const { algorithm } = this.#record;
    options = checkMembers('attest', options, 'challenge:bytes enrolAk:function? signal');
    const wanted = { ...options, policy: { algorithm, attestation: 'required' } } as const;
    checkRequestOptions(wanted);
    const attest = async (provider: TpmKeyProvider) => {
      // Loading the key shows that it is here, even if the attestation fails.
      await provider.useWithoutPin(this.#record, options, async () => {});
      return await attestForRequest(provider, this.#record, wanted, undefined);
    };
    const { outcome } = await this.#useTpm(attest, options);
    if (outcome.status === 'made') return outcome.statement;
    throw unattested(outcome.reason);
  }

  /**
   * Builds the registration request of the key, with a new attestation over the challenge.
   * @throws as `requestForKey` does
   */
  async request(given: UserKeyRequestOptions): Promise<KeyRequest> {
    given = checkMembers(
      'request',
      given,
      'challenge:bytes profile:=strict|attested? enrolAk:function? attestation:=required|preferred|none? signal',
    );
    const { attestation = 'preferred', ...options } = given;
    const { algorithm, backend } = this.#record;
    const wanted = { ...options, policy: { algorithm, attestation } };
    if (backend === 'software') return await requestForKey(this.#record, { ...wanted, sources: {} });
    const { tpmOptions } = this.#options;
    const build = ({ tpm }: TpmKeyProvider) => requestForKey(this.#record, { ...wanted, tpmOptions, sources: { tpm } });
    return await this.#useTpm(build, options);
  }

  /**
   * Gives the key another PIN. Key and registration stay the same. Saves the new record in the store given to
   * {@link openKey}. Without a store the caller keeps the returned record, since the old one opens with the old PIN
   * only.
   * @throws KeyprovError as `changeUserPin` does.
   */
  async changePin(given: ChangeKeyPinOptions): Promise<KeyRecord> {
    given = checkMembers(
      'changePin',
      given,
      'pin:bytes newPin policy pepper:bytes? recovery now:function? force:boolean? signal',
    );
    const { pin, newPin, policy, ...options } = given;
    const record = this.#record;
    checkHasPin(record);
    const { store } = this.#options;
    const keep: KeepRecord = store === undefined ? (change) => change(record) : keepIn(store, record.id, options);
    const rules = policy ?? readPinState(record)?.met ?? definePinPolicy();
    const replacing = { ...options, prompt: newPin, policy: rules };
    await refuseNewPin(replacing);
    const changed = await this.#use((provider) => replacePin(record, pin, { ...replacing, provider }, keep), options);
    this.#record = changed;
    return changed;
  }

  /**
   * Returns the key as a WebCrypto key pair, and the `Crypto` whose `subtle` works with it. Both end with this object.
   * @throws as `createCrypto` and its `loadKey` do.
   */
  async webCrypto(given: UserKeyCryptoOptions = {}): Promise<{
    readonly crypto: KeyprovCrypto;
    readonly keys: webcrypto.CryptoKeyPair;
  }> {
    given = checkMembers('webCrypto', given, 'algorithm usages:texts? pin:function? pinCacheMs:number? force:boolean?');
    const { pin, pinCacheMs, force, ...options } = given;
    const { createCrypto } = await import('../webcrypto/create-crypto.ts');
    const { provider } = await this.#open();
    const crypto = createCrypto({ provider, pin, pinCacheMs, force });
    this.#cryptos.push(crypto);
    return { crypto, keys: await crypto.loadKey(this.#record, options) };
  }

  /** Closes the TPM, if this object opened it. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    for (const crypto of this.#cryptos) await crypto.close();
    const opened = await this.#opened?.catch(() => undefined); // the waiting caller gets the error
    await opened?.release();
  }

  /** Runs `work` with the provider of the key. */
  async #use<T>(work: (provider: KeyProvider) => Promise<T>, { signal }: SignalOptions): Promise<T> {
    signal?.throwIfAborted();
    const { provider } = await this.#open();
    try {
      return await work(provider);
    } catch (error) {
      throw await explainLoss(error, this.#record, provider);
    }
  }

  async #useTpm<T>(work: (provider: TpmKeyProvider) => Promise<T>, options: SignalOptions): Promise<T> {
    return await this.#use((provider) => {
      if (provider instanceof TpmKeyProvider) return work(provider);
      throw unattested('a software key cannot be attested');
    }, options);
  }

  /** Opens the provider at the first use; after a failure the next use tries again. */
  #open(): Promise<OpenedProvider> {
    if (this.#closing !== undefined) throw new KeyprovError('transport-closed', `the key ${this.#record.id} is closed`);
    this.#opened ??= this.#openProvider().catch((error: unknown) => {
      this.#opened = undefined;
      throw nameTpm(error, this.#record, undefined);
    });
    return this.#opened;
  }

  async #openProvider(): Promise<OpenedProvider> {
    const { tpmOptions, signal } = this.#options;
    if (this.#record.backend === 'software') {
      const provider = await softwareOf(this.#sources);
      if (provider !== undefined) return { provider, release: async () => {} };
      const reason = 'the key is a software key, but the sources have no software provider';
      const attempt = { backend: 'software', outcome: 'passed-over', code: 'no-key-provider', reason } as const;
      const remedy = "add the provider that made the key, or the key's store, to the sources";
      throw new SelectionError('no-key-provider', reason, [attempt], { remedy });
    }
    const { tpm: source } = this.#sources;
    if (source === undefined) throw new KeyprovError('no-tpm', 'the key is in a TPM, but the sources have no TPM');
    const { tpm, release } = await leaseTpm(source, { signal, create: false });
    const provider = await undoOnFailure(() => openTpmKeyProvider(tpm, { ...tpmOptions, signal }), release);
    return { provider, release };
  }
}

function mixedUp({ id }: KeyRecord): KeyprovError {
  return new KeyprovError('key-invalid', `the record of the key ${id} contains another key's private part`, {
    remedy: 'restore a copy of the record, or make a new key',
  });
}

function unattested(reason: string): SelectionError {
  const attempt = { backend: 'software', outcome: 'passed-over', code: 'attestation-unavailable', reason } as const;
  return new SelectionError('attestation-unavailable', reason, [attempt], { remedy: 'use a key in a TPM' });
}

/** A provider, and how to close it. */
interface OpenedProvider {
  readonly provider: KeyProvider;
  readonly release: () => Promise<void>;
}
