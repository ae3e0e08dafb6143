import { constants, createVerify } from 'node:crypto';
import { type Bytes, byteCount, copy } from '../bytes.ts';
import { CURVES, toBigInt } from '../crypto/curve.ts';
import { importPublicKey } from '../crypto/key-object.ts';
import { bitLength, type EcPublicKey, type PublicKey } from '../crypto/public-key.ts';
import type { KeyProvider, ProvidedKey, SignOptions } from '../keys/provider.ts';
import type { PinTryOptions } from '../keys/tpm-pin.ts';
import { TpmKeyProvider } from '../keys/tpm-provider.ts';
import { feed } from '../pieces.ts';
import { isKeyAlgorithm, type KeyAlgorithm } from '../policy/index.ts';
import type { Entity } from '../tpm/command.ts';
import { ECDH_ZGen, RSA_Decrypt } from '../tpm/commands/asymmetric.ts';
import { TPM_ALG } from '../tpm/constants.ts';
import { padLeft } from '../tpm/public-key.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { asDomErrors, domError } from './dom-error.ts';
import { digestSize } from './key-material.ts';
import type { AlgorithmName, HeldKeyUser, NormalizedAlgorithm, WebHashName, WebKeyAlgorithm } from './key-types.ts';
import type { PinEntry, PinRequest } from './pin-entry.ts';

/** The digests that keys of a provider use, with their names in other APIs. */
const HASHES = {
  'SHA-256': { node: 'sha256', tpm: TPM_ALG.SHA256 },
  'SHA-384': { node: 'sha384', tpm: TPM_ALG.SHA384 },
  'SHA-512': { node: 'sha512', tpm: TPM_ALG.SHA512 },
} as const;

/**
 * Makes keys with a provider and uses them there, with the PINs that they need. Throws DOMExceptions, and passes on the
 * caller's own errors: the reason of a signal, an error of the PIN callback.
 */
export class KeyHolder implements HeldKeyUser {
  readonly provider: KeyProvider;
  readonly #pins: PinEntry;
  readonly #newKeysHavePin: boolean;
  readonly #signal: AbortSignal;

  constructor(provider: KeyProvider, pins: PinEntry, newKeysHavePin: boolean, signal: AbortSignal) {
    this.provider = provider;
    this.#pins = pins;
    this.#newKeysHavePin = newKeysHavePin;
    this.#signal = signal;
  }

  /** Makes the private key that an algorithm describes. @throws DOMException NotSupportedError if that is impossible */
  async create(algorithm: NormalizedAlgorithm): Promise<ProvidedKey> {
    const { provider } = this;
    const { name, hash } = algorithm;
    const userAlgorithm = userAlgorithmOf(algorithm);
    if (hash !== undefined) hashOf(hash.name);
    if ((name === 'RSA-OAEP' || name === 'ECDH') && !(provider instanceof TpmKeyProvider)) throw onlySigns(name);
    const make = async (pin?: Uint8Array): Promise<ProvidedKey> => {
      const options = { algorithm: userAlgorithm, pin, signal: this.#signal };
      if (!(provider instanceof TpmKeyProvider)) return await provider.create(options);
      const { creation: _, ...key } = await provider.create({ ...options, usage: name === 'ECDH' ? 'agree' : 'sign' });
      return key;
    };
    return await asDomErrors(async () => {
      this.#signal.throwIfAborted();
      return await (this.#newKeysHavePin ? this.#pins.useNew(make) : make());
    });
  }

  /** Signs, with the padding and digest of the algorithms; ECDSA as r and s. */
  async sign(
    key: ProvidedKey,
    keyAlgorithm: WebKeyAlgorithm,
    { name, hash = keyAlgorithm.hash, saltLength = 0 }: NormalizedAlgorithm,
    data: Bytes,
  ): Promise<Bytes> {
    const { node, size } = hashOf(hash?.name);
    const isPss = name === 'RSA-PSS';
    if (isPss) checkSaltLength(key.publicKey, size, saltLength);
    const signature = await this.#use(key, 'sign', (pin) => {
      const padding = isPss ? 'pss' : 'pkcs1';
      const how: SignOptions & PinTryOptions = { data, hash: node, padding, format: 'raw', ...this.#tryOf(pin) };
      return this.provider.sign(key, how);
    });
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    const publicKey = { key: importPublicKey(key.publicKey), padding, saltLength };
    if (isPss && !feed(createVerify(node), data).verify(publicKey, signature)) {
      throw domError(
        'OperationError',
        `the key cannot make RSA-PSS signatures with a salt of ${byteCount(saltLength)}`,
      );
    }
    return signature;
  }

  /** Decrypts with RSA-OAEP. TPM2_RSA_Decrypt, Part 3, 14.3. */
  async decrypt(
    key: ProvidedKey,
    keyAlgorithm: WebKeyAlgorithm,
    { name, label = new Uint8Array(0) }: NormalizedAlgorithm,
    data: Bytes,
  ): Promise<Bytes> {
    const { tpm: hashAlg } = hashOf(keyAlgorithm.hash?.name);
    if (label.length > 0 && label.at(-1) !== 0) {
      throw domError('OperationError', 'a TPM accepts only labels that end with a zero byte');
    }
    return await this.#useInTpm(key, name, 'decrypt', async (tpm, keyHandle) => {
      const args = { keyHandle, cipherText: data, inScheme: { scheme: TPM_ALG.OAEP, details: { hashAlg } }, label };
      return copy((await tpm.run(RSA_Decrypt, args, { signal: this.#signal })).message);
    });
  }

  /** The x coordinate of the secret shared with `peer`, as long as the field. TPM2_ECDH_ZGen, Part 3, 14.5. */
  async agree(key: ProvidedKey, { crv, x, y }: EcPublicKey): Promise<Bytes> {
    return await this.#useInTpm(key, 'ECDH', 'deriveBits', async (tpm, keyHandle) => {
      const { outPoint } = await tpm.run(ECDH_ZGen, { keyHandle, inPoint: { x, y } }, { signal: this.#signal });
      return padLeft(outPoint.x, CURVES[crv].size);
    });
  }

  async #use<T>(
    key: ProvidedKey,
    operation: PinRequest['operation'],
    work: (pin: Uint8Array | undefined) => Promise<T>,
  ): Promise<T> {
    return await asDomErrors(() => {
      this.#signal.throwIfAborted();
      return this.#pins.use(key, operation, work);
    });
  }

  #tryOf(pin: Uint8Array | undefined): Pick<SignOptions, 'pin'> & PinTryOptions {
    return { pin, force: this.#pins.force, signal: this.#signal };
  }

  /** With a handle that authorizes one command, the last of its session. */
  async #useInTpm<T>(
    key: ProvidedKey,
    algorithm: AlgorithmName,
    operation: PinRequest['operation'],
    work: (tpm: Tpm, keyHandle: Entity) => Promise<T>,
  ): Promise<T> {
    const { provider } = this;
    if (!(provider instanceof TpmKeyProvider)) throw onlySigns(algorithm);
    return await this.#use(key, operation, (pin) =>
      provider.use(key, this.#tryOf(pin), ({ object, authValue, session }) => {
        session.use = { ...session.use, continueSession: false };
        return work(provider.tpm, { handle: object, auth: { session, authValue } });
      }),
    );
  }
}

function onlySigns(algorithm: AlgorithmName): DOMException {
  const problem = `the software key provider cannot make keys for ${algorithm}: its keys only sign`;
  return domError('NotSupportedError', problem);
}

/** @throws DOMException NotSupportedError for SHA-1, which no key uses */
function hashOf(name: WebHashName | undefined): (typeof HASHES)[keyof typeof HASHES] & { readonly size: number } {
  if (name === undefined || name === 'SHA-1') {
    throw domError('NotSupportedError', `a provider's keys cannot be used with ${name}`);
  }
  return { ...HASHES[name], size: digestSize(name) };
}

/** @throws DOMException NotSupportedError for keys that no provider can make */
function userAlgorithmOf({ name, namedCurve, modulusLength, publicExponent }: NormalizedAlgorithm): KeyAlgorithm {
  const isFixed = namedCurve === undefined && modulusLength === undefined; // Ed25519, X25519
  if (isFixed) throw domError('NotSupportedError', `a provider cannot make ${name} keys`);
  const kind = namedCurve?.toLowerCase() ?? `rsa-${modulusLength}`;
  const isUsual = publicExponent === undefined || toBigInt(publicExponent) === 65537n;
  if (isKeyAlgorithm(kind) && isUsual) return kind;
  throw domError('NotSupportedError', `a provider cannot make ${name} keys with that size, curve or exponent`);
}

/**
 * Checks the length of a salt. A TPM makes salts as long as the digest or as long as possible, which the caller cannot
 * choose (Part 1, annex B). The signature shows which; other lengths need not be tried.
 * @throws DOMException OperationError
 */
function checkSaltLength(key: PublicKey, digestSize: number, saltLength: number): void {
  const bits = key.kty === 'RSA' ? bitLength(key.n) : 0;
  const longest = Math.ceil((bits - 1) / 8) - digestSize - 2;
  if (saltLength === digestSize || saltLength === longest) return;
  const problem = `with this key and hash, an RSA-PSS salt must have ${digestSize} or ${longest} bytes, not ${saltLength}`;
  throw domError('OperationError', problem);
}
