import { type Bytes, wipe } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { KeyprovError, withCleanup } from '../errors.ts';
import type { KeyAlgorithm } from '../policy/index.ts';
import { supportsParameters } from '../tpm/capabilities.ts';
import { decode, encode } from '../tpm/codec/index.ts';
import { Create, type CreateResult, Load } from '../tpm/commands/object.ts';
import { Sign } from '../tpm/commands/signing.ts';
import { TPM_ALG } from '../tpm/constants.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import type { Session } from '../tpm/session.ts';
import { bareSignature } from '../tpm/signature.ts';
import { startSession } from '../tpm/start-session.ts';
import type { TpmtSigScheme } from '../tpm/structures/algorithm.ts';
import { NULL_HASHCHECK } from '../tpm/structures/base.ts';
import { TPM2B_PRIVATE, TPM2B_PUBLIC } from '../tpm/structures/object.ts';
import { userKeyTemplate } from '../tpm/templates.ts';
import type { SignalOptions, Tpm } from '../tpm/tpm.ts';
import { isTpmError } from '../tpm/tpm-error.ts';
import type { TpmObject } from '../tpm/tpm-object.ts';
import { readNature, type TpmNature } from '../tpm/virtual.ts';
import { decodeKeyFile, encodeKeyFile } from './key-file.ts';
import { deriveAuthValue, newPinDerivation } from './pin-derivation.ts';
import type { Assurance, CreateKeyOptions, KeyProvider, PinDerivation, ProvidedKey, SignOptions } from './provider.ts';
import { parentForNewKey, parentOf, type StorageParent } from './storage-parent.ts';

/** A key that the TPM has just made, with what only this moment gives: the proof for TPM2_CertifyCreation. */
export interface CreatedTpmKey extends ProvidedKey {
  readonly creation: Pick<CreateResult, 'creationData' | 'creationHash' | 'creationTicket'>;
}

/** A key in the TPM, ready for commands. */
export interface LoadedKey {
  readonly object: TpmObject;
  /** The value that authorizes it; empty for a key without a PIN. */
  readonly authValue: Uint8Array;
  /** Salted by the parent; encrypts the first parameter of commands and answers where they can be. */
  readonly session: Session;
}

/** Options of {@link openTpmKeyProvider}. */
export interface TpmKeyProviderOptions extends SignalOptions {
  /** The Name that the storage root key had when it was first used; another one at its handle is not used. */
  readonly recordedSrkName?: Uint8Array | undefined;
  /** How PINs become authorization values. Default: scrypt with a salt per key. */
  readonly pinDerivation?: 'scrypt' | 'pcp-sha1' | 'pcp-sha256';
}

const EMPTY = new Uint8Array(0);
const HASH_ALGS = { sha256: TPM_ALG.SHA256, sha384: TPM_ALG.SHA384, sha512: TPM_ALG.SHA512 } as const;
const FIELD_SIZES: Readonly<Record<string, number>> = { 'p-256': 32, 'p-384': 48 };

/** The provider that makes keys in `tpm`, which stays the caller's to close. */
export async function openTpmKeyProvider(tpm: Tpm, options: TpmKeyProviderOptions = {}): Promise<TpmKeyProvider> {
  return new TpmKeyProvider(tpm, await readNature(tpm, options), options);
}

/**
 * Makes keys in a TPM and uses them there. Private parts leave the TPM only encrypted by it; nothing stays in it.
 * Every command that carries a PIN's authorization value is protected by a salted session.
 */
export class TpmKeyProvider implements KeyProvider {
  readonly backend = 'tpm';
  readonly assurance: Assurance;
  readonly nature: TpmNature;
  readonly tpm: Tpm;
  readonly #options: TpmKeyProviderOptions;

  /** Use {@link openTpmKeyProvider}, which finds out what kind of TPM it is. */
  constructor(tpm: Tpm, nature: TpmNature, options: TpmKeyProviderOptions) {
    this.tpm = tpm;
    this.nature = nature;
    this.assurance = nature.virtual ? 'virtual' : 'hardware';
    this.#options = options;
  }

  async supports(algorithm: KeyAlgorithm, options: SignalOptions = {}): Promise<boolean> {
    return await supportsParameters(this.tpm, userKeyTemplate(algorithm), options);
  }

  /**
   * Makes a key with the public area of a Windows Hello key. With a PIN it is under the TPM's dictionary attack
   * protection; without one it is not, since there is nothing to guess.
   */
  async create({ algorithm, pin, signal }: CreateKeyOptions): Promise<CreatedTpmKey> {
    const pinDerivation = pin === undefined ? undefined : this.#newDerivation();
    const userAuth =
      pin === undefined || pinDerivation === undefined ? EMPTY : await deriveAuthValue(pin, pinDerivation);
    try {
      const { recordedSrkName } = this.#options;
      const parent = await parentForNewKey(this.tpm, { recordedSrkName, signal });
      const made = await withCleanup(
        () =>
          this.#withSession(parent, { signal }, (session) =>
            this.tpm.run(
              Create,
              {
                parentHandle: { handle: parent.handle, name: parent.record.name, auth: { session } },
                inSensitive: { userAuth, data: EMPTY },
                inPublic: userKeyTemplate(algorithm, { noDA: pin === undefined }),
                outsideInfo: EMPTY,
                creationPCR: [],
              },
              { signal },
            ),
          ),
        () => parent.release(),
      );
      const { outPublic, outPrivate, ...creation } = made;
      return {
        backend: 'tpm',
        algorithm,
        hasPin: pin !== undefined,
        publicKey: publicKeyOf(outPublic),
        privateKey: await encodeKeyFile({
          emptyAuth: pin === undefined,
          parent: parent.record.handle,
          publicArea: encode(TPM2B_PUBLIC, outPublic),
          privateArea: encode(TPM2B_PRIVATE, outPrivate),
        }),
        ...(pinDerivation !== undefined && { pinDerivation }),
        parent: parent.record,
        creation,
      };
    } catch (error) {
      if (isTpmError(error) && unsupported.has(error.responseCode.name)) {
        throw new KeyprovError('algorithm-unsupported', `this TPM makes no ${algorithm} keys`, {
          cause: error,
          remedy: 'choose another algorithm',
        });
      }
      throw error;
    } finally {
      wipe(userAuth);
    }
  }

  async sign(key: ProvidedKey, options: SignOptions): Promise<Bytes> {
    const { data, hash = 'sha256', padding = 'pkcs1', format = 'der', pin, signal } = options;
    const hashAlg = HASH_ALGS[hash];
    const details = { hashAlg };
    const scheme: TpmtSigScheme =
      key.publicKey.kty === 'EC'
        ? { scheme: TPM_ALG.ECDSA, details }
        : { scheme: padding === 'pss' ? TPM_ALG.RSAPSS : TPM_ALG.RSASSA, details };
    return await this.use(key, { pin, signal }, async ({ object, authValue, session }) => {
      session.use = { ...session.use, encrypt: false, continueSession: false };
      const { signature } = await this.tpm.run(
        Sign,
        {
          keyHandle: { handle: object, auth: { session, authValue } },
          digest: digest(hash, data),
          inScheme: scheme,
          validation: NULL_HASHCHECK,
        },
        { signal },
      );
      return bareSignature(signature, { format, fieldSize: FIELD_SIZES[key.algorithm] ?? 32 });
    });
  }

  /**
   * Loads a key, hands it to `work` together with a session to authorize it, and takes it out of the TPM again.
   * @throws KeyprovError `pin-required`, `pin-wrong`, `tpm-lockout`, `tpm-identity-changed`.
   */
  async use<T>(
    key: ProvidedKey,
    { pin, signal }: { readonly pin?: Uint8Array | undefined } & SignalOptions,
    work: (loaded: LoadedKey) => Promise<T>,
  ): Promise<T> {
    const { publicArea, privateArea, emptyAuth } = await decodeKeyFile(key.privateKey);
    if (key.parent === undefined) throw new KeyprovError('key-invalid', 'the record of a TPM key names no parent');
    if (!emptyAuth && pin === undefined) {
      throw new KeyprovError('pin-required', 'the key has a PIN', { remedy: 'give it' });
    }
    const record = key.parent;
    const authValue = emptyAuth || pin === undefined ? EMPTY : await this.#authValue(key, pin);
    try {
      const parent = await parentOf(this.tpm, record, { signal });
      return await withCleanup(
        () =>
          this.#withSession(parent, { signal }, async (session) => {
            const { objectHandle } = await this.tpm.run(
              Load,
              {
                parentHandle: { handle: parent.handle, name: record.name, auth: { session } },
                inPrivate: decode(TPM2B_PRIVATE, privateArea),
                inPublic: decode(TPM2B_PUBLIC, publicArea),
              },
              { signal },
            );
            return await withCleanup(
              () => work({ object: objectHandle, authValue, session }),
              () => objectHandle.flush(),
            );
          }),
        () => parent.release(),
      );
    } catch (error) {
      if (error instanceof KeyprovError && error.code === 'tpm-auth-failed') {
        throw new KeyprovError('pin-wrong', 'the PIN is wrong', {
          cause: error,
          remedy: 'try again with care: the TPM counts',
        });
      }
      throw error;
    } finally {
      wipe(authValue);
    }
  }

  async #withSession<T>(
    parent: StorageParent,
    options: SignalOptions,
    work: (session: Session) => Promise<T>,
  ): Promise<T> {
    const session = await startSession(this.tpm, {
      salt: { handle: parent.handle, publicArea: parent.publicArea },
      use: { decrypt: true, encrypt: true },
      ...options,
    });
    return await withCleanup(
      () => work(session),
      () => session.close(),
    );
  }

  #newDerivation(): PinDerivation {
    const { pinDerivation: kdf = 'scrypt' } = this.#options;
    return kdf === 'scrypt' ? newPinDerivation() : { kdf };
  }

  async #authValue({ pinDerivation }: ProvidedKey, pin: Uint8Array): Promise<Bytes> {
    if (pinDerivation === undefined)
      throw new KeyprovError('key-invalid', 'the record of a key with a PIN has no PIN derivation');
    return await deriveAuthValue(pin, pinDerivation);
  }
}

/** What TPM2_Create answers when it cannot make that kind of key. */
const unsupported: ReadonlySet<string> = new Set([
  'TPM_RC_CURVE',
  'TPM_RC_KEY_SIZE',
  'TPM_RC_ASYMMETRIC',
  'TPM_RC_VALUE',
]);
