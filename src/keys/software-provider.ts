import { constants, createPrivateKey, createSign, generateKeyPair, type SignKeyObjectInput } from 'node:crypto';
import { type Bytes, byteCount, view, wipe, withSecret } from '../bytes.ts';
import { ecdsaRawToDer } from '../crypto/ecdsa-signature.ts';
import { decodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { PinError } from '../errors/pin-error.ts';
import { KeyprovError } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import { KEY_ALGORITHMS, type KeyAlgorithm } from '../policy/index.ts';
import { decryptPkcs8, encryptPkcs8 } from './encrypted-pkcs8.ts';
import { checkNotEmpty, checkPinChange } from './pin-derivation.ts';
import type { PinTryLog } from './pin-try-log.ts';
import {
  CHANGE_PIN_MEMBERS,
  type ChangePinOptions,
  CREATE_MEMBERS,
  type CreateKeyOptions,
  type DataToSign,
  type KeyProvider,
  type ProvidedKey,
  SIGN_MEMBERS,
  type SignOptions,
} from './provider.ts';
import { checkedData, feedAll } from './signed-data.ts';
import type { PinTryOptions } from './tpm-pin.ts';

/** Options of {@link openSoftwareKeyProvider}. */
export interface SoftwareKeyProviderOptions {
  /** Encrypts keys without a PIN: 32 random bytes, from {@link readWrappingSecret}. The caller wipes it. */
  readonly wrappingSecret?: Uint8Array | undefined;
  /** Counts PIN tries, and makes them wait after several wrong ones. Absent: tries are not counted. */
  readonly pinTries?: PinTryLog | undefined;
}

/** scrypt's N for a PIN, which can be guessed: 128 MiB and a third of a second a try. */
const PIN_COST = 2 ** 17;
/** scrypt's N for 32 random bytes, which cannot be guessed and need no work: the least that RFC 7914 allows. */
const SECRET_COST = 2;
const SECRET_SIZE = 32;

/**
 * Opens the provider that makes keys in software. A private key is stored only encrypted (scrypt, AES-256-GCM), is in
 * memory only while it signs, and is never returned. This protects a key's file, but not against an attacker who
 * controls the machine: a short PIN can be tried offline without limit, and anyone who can read the wrapping secret
 * needs no PIN.
 * @throws RangeError for a wrapping secret that does not have 32 bytes; TypeError for an unknown option.
 */
export function openSoftwareKeyProvider(opened: SoftwareKeyProviderOptions = {}): KeyProvider {
  opened = checkMembers('openSoftwareKeyProvider', opened, 'wrappingSecret:bytes? pinTries');
  const { wrappingSecret } = opened;
  if (wrappingSecret !== undefined && wrappingSecret.length !== SECRET_SIZE) {
    throw new RangeError(`the wrapping secret has ${byteCount(wrappingSecret.length)}, not ${SECRET_SIZE}`);
  }
  return {
    backend: 'software',
    assurance: 'software',
    supports: async (algorithm) => KEY_ALGORITHMS.includes(algorithm),
    create: (options) => create(options, wrappingSecret),
    sign: (key, options) => sign(key, options, opened),
    changePin: (key, options) => changePin(key, options, opened),
  };
}

async function create(options: CreateKeyOptions, wrappingSecret: Uint8Array | undefined): Promise<ProvidedKey> {
  options = checkMembers('create', options, CREATE_MEMBERS);
  const { algorithm, pin, signal } = options;
  signal?.throwIfAborted();
  checkNotEmpty(pin);
  const secret = pin ?? wrappingSecret;
  if (secret === undefined) {
    throw new KeyprovError('pin-required', 'a software key needs a PIN or a wrapping secret', {
      remedy: 'pass pin, or pass wrappingSecret to openSoftwareKeyProvider: one of them has to encrypt the key',
    });
  }
  // Not with generateKey of @peculiar/webcrypto 1.7.2: it blocks the event loop until the key is made.
  const { publicKey, privateKey } = await generatePair(algorithm);
  try {
    signal?.throwIfAborted();
    return {
      backend: 'software',
      algorithm,
      publicKey: decodeSpki(publicKey),
      privateKey: await encryptPkcs8(privateKey, secret, pin === undefined ? SECRET_COST : PIN_COST),
      hasPin: pin !== undefined,
    };
  } finally {
    wipe(privateKey);
  }
}

async function sign(
  key: ProvidedKey,
  options: SignOptions<DataToSign> & PinTryOptions,
  opened: SoftwareKeyProviderOptions,
): Promise<Bytes> {
  options = checkMembers('sign', options, SIGN_MEMBERS);
  const { hash = 'sha256', padding = 'pkcs1', format = 'der', pin, signal } = options;
  signal?.throwIfAborted();
  const { data, verifies } = checkedData(hash, options.data);
  const signing = await feedAll(createSign(hash), data);
  const pkcs8 = await decryptKey(key, { pin, signal }, opened);
  let signature: Bytes;
  try {
    signal?.throwIfAborted();
    signature = view(signing.sign(signingKey(pkcs8, key.publicKey, padding)));
  } catch (cause) {
    signal?.throwIfAborted();
    throw new KeyprovError('key-invalid', 'the software key cannot sign: it is damaged or of another type', {
      cause,
      remedy: 'restore a copy of the record, or make a new key',
    });
  } finally {
    wipe(pkcs8);
  }
  // Nothing else ties the two parts of the record together; and a faulty RSA signature would reveal the key.
  if (!verifies(key.publicKey, signature, key.publicKey.kty === 'RSA' ? padding : 'raw')) {
    throw new KeyprovError('key-invalid', "the software key's private key does not belong to its public key");
  }
  return key.publicKey.kty === 'EC' && format === 'der' ? ecdsaRawToDer(key.publicKey.crv, signature) : signature;
}

async function changePin(
  key: ProvidedKey,
  options: ChangePinOptions & PinTryOptions,
  opened: SoftwareKeyProviderOptions,
): Promise<ProvidedKey> {
  const { pin, newPin, signal } = checkMembers('changePin', options, CHANGE_PIN_MEMBERS);
  signal?.throwIfAborted();
  checkPinChange(key, newPin);
  return await withSecret(await decryptKey(key, { pin, signal }, opened), async (pkcs8) => {
    signal?.throwIfAborted();
    return { ...key, privateKey: await encryptPkcs8(pkcs8, newPin, PIN_COST) };
  });
}

/** Decrypts the private key (PKCS#8). The caller wipes it. */
async function decryptKey(
  key: ProvidedKey,
  { pin, signal }: Pick<SignOptions, 'pin' | 'signal'>,
  { wrappingSecret, pinTries }: SoftwareKeyProviderOptions,
): Promise<Bytes> {
  if (key.backend !== 'software') throw new KeyprovError('key-invalid', 'a TPM key was given to the software provider');
  const secret = key.hasPin ? pin : wrappingSecret;
  if (secret === undefined) {
    const what = key.hasPin ? 'its PIN' : 'the wrapping secret it was made with';
    const remedy = key.hasPin ? 'pass it as pin' : 'pass it to openSoftwareKeyProvider, as wrappingSecret';
    throw new KeyprovError('pin-required', `the software key needs ${what}`, { remedy });
  }
  let pkcs8: Bytes | undefined;
  const decrypt = async () => {
    pkcs8 = await decryptPkcs8(key.privateKey, secret);
    return pkcs8 !== undefined;
  };
  try {
    if (key.hasPin && pinTries !== undefined) await pinTries.attempt(key.publicKey, decrypt, { signal });
    else await decrypt();
  } catch (error) {
    wipe(pkcs8);
    throw error;
  }
  if (pkcs8 !== undefined) return pkcs8;
  throw key.hasPin
    ? new PinError('pin-wrong', "the software key's PIN is wrong", { remedy: 'try again with the right PIN' })
    : new KeyprovError('key-invalid', 'the software key was made with another wrapping secret, or is damaged', {
        remedy: 'use the wrapping secret it was made with, or restore a copy of the record',
      });
}

function generatePair(algorithm: KeyAlgorithm): Promise<{ publicKey: Bytes; privateKey: Bytes }> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, publicKey: Buffer, privateKey: Buffer) =>
      error === null ? resolve({ publicKey: view(publicKey), privateKey: view(privateKey) }) : reject(error);
    const encodings = {
      publicKeyEncoding: { type: 'spki', format: 'der' },
      privateKeyEncoding: { type: 'pkcs8', format: 'der' },
    } as const;
    const modulusLength = { 'rsa-2048': 2048, 'rsa-3072': 3072, 'p-256': 0, 'p-384': 0 }[algorithm];
    if (modulusLength > 0) generateKeyPair('rsa', { modulusLength, publicExponent: 65537, ...encodings }, done);
    else generateKeyPair('ec', { namedCurve: algorithm.toUpperCase(), ...encodings }, done);
  });
}

/** The input of `sign` of `node:crypto`: for ECDSA signatures as r and s, for PSS with a salt as long as the hash. */
function signingKey(pkcs8: Bytes, { kty }: PublicKey, padding: 'pkcs1' | 'pss'): SignKeyObjectInput {
  const bytes = Buffer.from(pkcs8.buffer, pkcs8.byteOffset, pkcs8.length);
  const key = createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' });
  if (kty === 'EC') return { key, dsaEncoding: 'ieee-p1363' };
  const { RSA_PKCS1_PSS_PADDING, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants;
  return padding === 'pss' ? { key, padding: RSA_PKCS1_PSS_PADDING, saltLength } : { key };
}
