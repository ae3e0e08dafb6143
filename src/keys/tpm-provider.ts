import { createHash } from 'node:crypto';
import { type Bytes, checkObject, EMPTY, view, withSecret } from '../bytes.ts';
import { CURVES } from '../crypto/curve.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import type { KeyAlgorithm } from '../policy/index.ts';
import type { SignalOptions } from '../signal.ts';
import { supportsParameters } from '../tpm/capabilities.ts';
import { encode } from '../tpm/codec/index.ts';
import type { CreateResult } from '../tpm/commands/object.ts';
import { Sign } from '../tpm/commands/signing.ts';
import { TPM_ALG } from '../tpm/constants.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import type { Authorization } from '../tpm/session.ts';
import { encodeBareSignature, rawSignature } from '../tpm/signature.ts';
import type { SaltKey } from '../tpm/start-session.ts';
import { NULL_HASHCHECK } from '../tpm/structures/base.ts';
import { TPM2B_PRIVATE, TPM2B_PUBLIC } from '../tpm/structures/object.ts';
import { type UserKeyUsage, userKeyTemplate } from '../tpm/templates.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { readNature, type TpmNature } from '../tpm/virtual.ts';
import { encodeKeyFile } from './key-file.ts';
import { changeAuth, type LoadedKey, withLoadedKey } from './loaded-key.ts';
import { withNewTpmKey } from './new-tpm-key.ts';
import { checkNotEmpty, checkPinChange, deriveAuthValue, newPinDerivation } from './pin-derivation.ts';
import { type PreparedTpmKey, prepareTpmKey } from './prepared-key.ts';
import {
  type Assurance,
  CHANGE_PIN_MEMBERS,
  type ChangePinOptions,
  CREATE_MEMBERS,
  type CreateKeyOptions,
  type DataToSign,
  type KeyProvider,
  type PinDerivation,
  type ProvidedKey,
  SIGN_MEMBERS,
  type SignOptions,
} from './provider.ts';
import { feedAll } from './signed-data.ts';
import type { ParentOptions } from './storage-parent.ts';
import { type PinTryOptions, tryPin } from './tpm-pin.ts';

/**
 * A key that the TPM has just made, with the proof of creation for TPM2_CertifyCreation, which cannot be obtained
 * later.
 */
export interface CreatedTpmKey extends ProvidedKey {
  readonly creation: Pick<CreateResult, 'creationData' | 'creationHash' | 'creationTicket'>;
}

/** The key to make in a TPM. */
export interface CreateTpmKeyOptions extends CreateKeyOptions {
  /** Default `sign`. */
  readonly usage?: UserKeyUsage | undefined;
}

/** Options of {@link openTpmKeyProvider}. */
export interface TpmKeyProviderOptions extends ParentOptions {
  /** The Name that the storage root key had at its first use. If its handle holds another key, that key is not used. */
  readonly recordedSrkName?: Uint8Array | undefined;
  /**
   * A trusted key with which all sessions are salted, such as an endorsement key whose certificate was verified.
   * Default: the key's parent, whose Name is pinned when the first key is made under it.
   */
  readonly saltKey?: SaltKey | undefined;
  /** The endorsement hierarchy's authorization, for the attestation key. Default: the password given to the `Tpm`. */
  readonly endorsementAuth?: Authorization | undefined;
  /** How PINs become authorization values. Default: scrypt with a salt per key. */
  readonly pinDerivation?: 'scrypt' | 'pcp-sha1' | 'pcp-sha256' | undefined;
}

const HASH_ALGS = { sha256: TPM_ALG.SHA256, sha384: TPM_ALG.SHA384, sha512: TPM_ALG.SHA512 } as const;

/**
 * Opens the provider that makes keys in `tpm`. The caller closes the TPM.
 *
 * @throws like {@link Tpm.run}.
 *
 * @example
 * ```ts
 * import { openTpm, openTpmKeyProvider } from 'keyprov';
 *
 * await using tpm = await openTpm('libtpms');
 * const provider = await openTpmKeyProvider(tpm);
 * const key = await provider.create({ algorithm: 'p-256' });
 * const signature = await provider.sign(key, { data: new TextEncoder().encode('hello') });
 * console.log(provider.assurance, signature.length);
 * ```
 */
export async function openTpmKeyProvider(tpm: Tpm, options: TpmKeyProviderOptions = {}): Promise<TpmKeyProvider> {
  checkObject(tpm, 'the tpm of openTpmKeyProvider', 'run', 'transport');
  options = checkMembers(
    'openTpmKeyProvider',
    options,
    'recordedSrkName:bytes? saltKey endorsementAuth pinDerivation:=scrypt|pcp-sha1|pcp-sha256? ownerAuth',
    'parentAuth:bytes? signal',
  );
  return new TpmKeyProvider(tpm, await readNature(tpm, { signal: options.signal }), options);
}

/**
 * Makes keys in a TPM and uses them there. Private keys leave the TPM only encrypted by it, and nothing stays in it. A
 * salted session protects every command that carries a PIN's authorization value.
 */
export class TpmKeyProvider implements KeyProvider {
  readonly backend = 'tpm';
  readonly assurance: Assurance;
  readonly nature: TpmNature;
  readonly tpm: Tpm;
  /** Authorization of the endorsement hierarchy; undefined if none is known. */
  readonly endorsementAuth: Authorization | undefined;
  /** The key with which all sessions are salted; undefined for the parent of each key. */
  readonly saltKey: SaltKey | undefined;
  readonly #options: TpmKeyProviderOptions;

  /** Use {@link openTpmKeyProvider}, which finds out what kind of TPM it is. */
  constructor(tpm: Tpm, nature: TpmNature, options: TpmKeyProviderOptions) {
    this.tpm = tpm;
    this.nature = nature;
    this.assurance = nature.virtual ? 'virtual' : 'hardware';
    this.endorsementAuth = options.endorsementAuth;
    this.saltKey = options.saltKey;
    this.#options = options;
  }

  async supports(algorithm: KeyAlgorithm, options: SignalOptions = {}): Promise<boolean> {
    return await supportsParameters(this.tpm, userKeyTemplate(algorithm), options);
  }

  /**
   * Makes a key with the public area of a Windows Hello key. With a PIN it is under the TPM's dictionary attack
   * protection; without one it is not, since there is nothing to guess.
   * @throws KeyprovError `algorithm-unsupported` if the TPM cannot make such keys; RangeError for an empty PIN;
   * TypeError for an option that is unknown or of another kind; else like {@link Tpm.run}.
   */
  async create(given: CreateTpmKeyOptions): Promise<CreatedTpmKey> {
    const { algorithm, usage, pin, signal } = checkMembers(
      'TpmKeyProvider.create',
      given,
      CREATE_MEMBERS,
      'usage:=sign|agree?',
    );
    checkNotEmpty(pin);
    const pinDerivation = pin && this.#newDerivation();
    return await withSecret(
      pin && pinDerivation ? await deriveAuthValue(pin, pinDerivation) : EMPTY,
      async (userAuth) => {
        const options = { ...this.#parentOptions(), algorithm, usage, signal };
        const make = (): Promise<CreatedTpmKey> =>
          withNewTpmKey(this.tpm, userAuth, options, ({ made, parent }) =>
            createdKey({ ...made, algorithm, parent: parent.record }, pinDerivation),
          );
        return await this.tpm.turn(make, { signal });
      },
    );
  }

  /**
   * Makes a key now that gets its PIN later, from {@link finish}. Until then it occupies one of the TPM's few object
   * slots or is swapped out, and a TPM reset loses it. The caller closes it.
   * @throws KeyprovError `algorithm-unsupported` if the TPM cannot make such keys; else like {@link Tpm.run}.
   */
  async prepare(given: Omit<CreateTpmKeyOptions, 'pin'>): Promise<PreparedTpmKey> {
    const members = 'algorithm:=rsa-2048|rsa-3072|p-256|p-384 usage:=sign|agree? signal';
    const { algorithm, usage, signal } = checkMembers('TpmKeyProvider.prepare', given, members);
    const options = { ...this.#parentOptions(), algorithm, usage, signal };
    return await this.tpm.turn(() => prepareTpmKey(this.tpm, options), { signal });
  }

  /**
   * Gives a prepared key its PIN, and closes it even if that fails. Returns the same as {@link create}.
   * @throws KeyprovError `tpm-identity-changed`; `key-invalid` for a key that the TPM has lost; TpmError; RangeError for
   * an empty PIN.
   */
  async finish(prepared: PreparedTpmKey, options: Pick<ChangePinOptions, 'pin' | 'signal'>): Promise<CreatedTpmKey> {
    const { pin, signal } = checkMembers('TpmKeyProvider.finish', options, 'pin:bytes signal');
    const finish = async (): Promise<CreatedTpmKey> => {
      checkNotEmpty(pin);
      const pinDerivation = this.#newDerivation();
      return await withSecret(await deriveAuthValue(pin, pinDerivation), async (newAuth) => {
        const { recordedSrkName: _, ...parent } = this.#parentOptions();
        const change = () => prepared.finish(newAuth, { ...parent, signal });
        return await createdKey(
          await this.tpm.turn(() => withCleanup(change, () => this.tpm.settle()), { signal }),
          pinDerivation,
        );
      });
    };
    return await withCleanup(finish, () => prepared.close());
  }

  async sign(key: ProvidedKey, options: SignOptions<DataToSign> & PinTryOptions): Promise<Bytes> {
    options = checkMembers('TpmKeyProvider.sign', options, SIGN_MEMBERS);
    const { data, hash = 'sha256', padding = 'pkcs1', format = 'der', pin, force, signal } = options;
    const { RSAPSS, RSASSA } = TPM_ALG;
    const scheme = key.publicKey.kty === 'EC' ? TPM_ALG.ECDSA : padding === 'pss' ? RSAPSS : RSASSA;
    const hashed = view((await feedAll(createHash(hash), data)).digest());
    const inScheme = { scheme, details: { hashAlg: HASH_ALGS[hash] } };
    return await this.use(key, { pin, force, signal }, async ({ object, authValue, session }) => {
      session.use = { ...session.use, encrypt: false, continueSession: false };
      const keyHandle = { handle: object, auth: { session, authValue } };
      const args = { keyHandle, digest: hashed, inScheme, validation: NULL_HASHCHECK };
      const { signature } = await this.tpm.run(Sign, args, { signal });
      return key.publicKey.kty === 'EC' && format === 'raw'
        ? rawSignature(signature, CURVES[key.publicKey.crv].size)
        : encodeBareSignature(signature);
    });
  }

  /** Uses TPM2_ObjectChangeAuth. Refuses a key without a PIN: it was made without protection against guessing. */
  async changePin(key: ProvidedKey, given: ChangePinOptions & PinTryOptions): Promise<ProvidedKey> {
    const { pin, newPin, ...options } = checkMembers('TpmKeyProvider.changePin', given, CHANGE_PIN_MEMBERS);
    checkPinChange(key, newPin);
    const pinDerivation = this.#newDerivation();
    return await withSecret(await deriveAuthValue(newPin, pinDerivation), async (newAuth) => {
      return await this.use(key, { pin, ...options }, async (loaded) => {
        const outPrivate = await changeAuth(this.tpm, loaded, newAuth, options);
        const privateKey = await encodeKeyFile({ ...loaded.file, privateArea: encode(TPM2B_PRIVATE, outPrivate) });
        return { ...key, privateKey, pinDerivation };
      });
    });
  }

  /**
   * Loads a key, passes it to `work` with a session to authorize it, and flushes it, all in one {@link Tpm.turn}.
   * @throws PinError `pin-wrong` with the tries left, or `pin-last-try`; TpmError `tpm-lockout`; KeyprovError
   * `pin-required`, `tpm-identity-changed`, `key-invalid`.
   */
  async use<T>(
    key: ProvidedKey,
    given: { readonly pin?: Uint8Array | undefined } & PinTryOptions,
    work: (loaded: LoadedKey) => Promise<T>,
  ): Promise<T> {
    const { pin, ...options } = checkMembers('TpmKeyProvider.use', given, 'pin:bytes? force:boolean? signal');
    if (!key.hasPin) return await this.#load(key, EMPTY, options, work);
    if (pin === undefined)
      throw new KeyprovError('pin-required', 'the key needs its PIN', { remedy: 'pass it as pin' });
    if (key.pinDerivation === undefined) {
      throw new KeyprovError('key-invalid', 'the key has a PIN, but its record has no PIN derivation');
    }
    return await withSecret(await deriveAuthValue(pin, key.pinDerivation), async (authValue) => {
      // Only `work` is authorized by the PIN; the parent has its own authorization.
      const load = () => this.#load(key, authValue, options, (loaded) => tryPin(this.tpm, options, () => work(loaded)));
      return await this.tpm.turn(() => withCleanup(load, () => this.tpm.settle()), options);
    });
  }

  /**
   * Does the same as {@link use} without the PIN, for commands that need none: certifying the key with the Certify
   * branch of its policy, or its creation with its ticket. Also works in lockout.
   * @throws KeyprovError `tpm-identity-changed`, `key-invalid`; else like {@link Tpm.run}, or any error of `work`.
   */
  async useWithoutPin<T>(
    key: ProvidedKey,
    options: SignalOptions,
    work: (loaded: LoadedKey) => Promise<T>,
  ): Promise<T> {
    return await this.#load(key, EMPTY, options, work);
  }

  async #load<T>(
    key: ProvidedKey,
    authValue: Uint8Array,
    { signal }: SignalOptions,
    work: (loaded: LoadedKey) => Promise<T>,
  ): Promise<T> {
    const loading = { ...this.#parentOptions(), authValue, signal };
    return await this.tpm.turn(() => withLoadedKey(this.tpm, key, loading, work), { signal });
  }

  /** Without the signal, which was only for opening the provider. */
  #parentOptions(): Omit<TpmKeyProviderOptions, 'signal' | 'pinDerivation' | 'endorsementAuth'> {
    const { recordedSrkName, ownerAuth, parentAuth, saltKey } = this.#options;
    return { recordedSrkName, ownerAuth, parentAuth, saltKey };
  }

  #newDerivation(): PinDerivation {
    const { pinDerivation: kdf = 'scrypt' } = this.#options;
    return kdf === 'scrypt' ? newPinDerivation() : { kdf };
  }
}

async function createdKey(
  made: CreateResult & Pick<Required<ProvidedKey>, 'algorithm' | 'parent'>,
  pinDerivation: PinDerivation | undefined,
): Promise<CreatedTpmKey> {
  const { outPublic, outPrivate, algorithm, parent, creationData, creationHash, creationTicket } = made;
  const hasPin = pinDerivation !== undefined;
  return {
    backend: 'tpm',
    algorithm,
    hasPin,
    publicKey: publicKeyOf(outPublic),
    privateKey: await encodeKeyFile({
      emptyAuth: !hasPin,
      parent: parent.handle,
      publicArea: encode(TPM2B_PUBLIC, outPublic),
      privateArea: encode(TPM2B_PRIVATE, outPrivate),
    }),
    ...(hasPin && { pinDerivation }),
    parent,
    creation: { creationData, creationHash, creationTicket },
  };
}
