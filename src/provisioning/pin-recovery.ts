import {
  constants,
  createCipheriv,
  createDecipheriv,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import {
  type Bytes,
  byteCount,
  concat,
  concatSecrets,
  equal,
  fromBase64,
  toBase64,
  uint32,
  utf8,
  view,
  wipe,
} from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { importPublicKey } from '../crypto/key-object.ts';
import { bitLength, encodeSpki, type PublicKey, type RsaPublicKey } from '../crypto/public-key.ts';
import { KeyprovError } from '../errors.ts';
import { keyIdOf } from '../formats/windows/key-registration.ts';
import type { SignalOptions } from '../signal.ts';

/** Options for setting up a PIN recovery. */
export interface PinRecoverySetup {
  /**
   * The recovery service's key, with at least 2048 bits. Get it from a trusted source and pass it each time: a key in
   * the record could come from anyone who can write the record.
   */
  readonly servicePublicKey: RsaPublicKey;
  /** The user who may get the secret: the UPN in the service's tokens. */
  readonly user: string;
}

/** Data kept with a key so that its PIN can be reset without a new key. Useless without the service. */
export interface PinRecovery {
  readonly user: string;
  /** Identifies the key of the service: SHA-256 of its SubjectPublicKeyInfo, in base64. */
  readonly serviceKey: string;
  /** The secret R, encrypted to the service: RSAES-OAEP with SHA-256 and a label (RFC 8017, 7.1), in base64. */
  readonly encryptedSecret: string;
  /** The PIN under R: nonce (12 bytes), ciphertext (128), tag (16) of AES-256-GCM, in base64. */
  readonly sealedPin: string;
}

/**
 * A request to the recovery service. Send it with a fresh token that proves who is asking. Nothing in it is derived
 * from the PIN.
 */
export interface PinRecoveryRequest {
  readonly user: string;
  /** SHA-256 of the public key blob: the Key ID of MS-ADTS 2.2.20. */
  readonly keyId: Bytes;
  /** SHA-256 of the SubjectPublicKeyInfo of the service's key. */
  readonly serviceKey: Bytes;
  readonly encryptedSecret: Bytes;
}

/** Sends the request with a fresh token to the recovery service and returns its secret, which the library wipes. */
export type RecoverPin = (request: PinRecoveryRequest, options: SignalOptions) => Promise<Uint8Array>;

const LABEL = 'keyprov PIN recovery';
const SECRET_SIZE = 32;
const NONCE_SIZE = 12;
const TAG_SIZE = 16;
/** One byte for the length, then the longest PIN that policy allows: the size does not reveal the length of the PIN. */
const PADDED_SIZE = 128;
export const SEALED_PIN_SIZE: number = NONCE_SIZE + PADDED_SIZE + TAG_SIZE;

/**
 * Seals the PIN of a key with a new secret that only the recovery service can decrypt. The caller wipes the PIN.
 * @throws RangeError for a service key of less than 2048 bits, no user, or a PIN of more than 127 bytes.
 */
export function sealForRecovery(pin: Uint8Array, publicKey: PublicKey, setup: PinRecoverySetup): PinRecovery {
  const { servicePublicKey, user } = setup;
  const bits = bitLength(servicePublicKey.n);
  if (bits < 2048) throw new RangeError(`the recovery service's key has ${bits} bits; it needs at least 2048`);
  if (user === '') throw new RangeError('PIN recovery needs a user');
  if (pin.length >= PADDED_SIZE)
    throw new RangeError(`the PIN has ${byteCount(pin.length)}; the limit is ${PADDED_SIZE - 1}`);
  const id = keyIdOf(publicKey);
  const secret = randomBytes(SECRET_SIZE);
  const message = concat(secret, contextOf(user, id));
  const padded = new Uint8Array(PADDED_SIZE);
  try {
    padded[0] = pin.length;
    padded.set(pin, 1);
    const nonce = randomBytes(NONCE_SIZE);
    const cipher = createCipheriv('aes-256-gcm', secret, nonce, { authTagLength: TAG_SIZE }).setAAD(associatedData(id));
    const sealed = concat(nonce, cipher.update(padded), cipher.final(), cipher.getAuthTag());
    const encrypted = publicEncrypt({ key: importPublicKey(servicePublicKey), ...OAEP }, message);
    return {
      user,
      serviceKey: toBase64(digest('sha256', encodeSpki(servicePublicKey))),
      encryptedSecret: toBase64(encrypted),
      sealedPin: toBase64(sealed),
    };
  } finally {
    wipe(secret, message, padded);
  }
}

export function recoveryRequestOf(recovery: PinRecovery, publicKey: PublicKey): PinRecoveryRequest {
  return {
    user: recovery.user,
    keyId: keyIdOf(publicKey),
    serviceKey: fromBase64(recovery.serviceKey),
    encryptedSecret: fromBase64(recovery.encryptedSecret),
  };
}

/**
 * Opens the sealed PIN of a key with the secret from the recovery service. The caller wipes both.
 * @throws KeyprovError `recovery-unavailable` if the secret does not open it or belongs to another key.
 */
export function openSealedPin(recovery: PinRecovery, publicKey: PublicKey, secret: Uint8Array): Bytes {
  if (secret.length !== SECRET_SIZE) {
    throw unavailable(`the recovery service returned ${byteCount(secret.length)}; a secret has ${SECRET_SIZE}`);
  }
  const sealed = fromBase64(recovery.sealedPin);
  const decipher = createDecipheriv('aes-256-gcm', secret, sealed.subarray(0, NONCE_SIZE), { authTagLength: TAG_SIZE });
  decipher.setAAD(associatedData(keyIdOf(publicKey))).setAuthTag(sealed.subarray(-TAG_SIZE));
  const padded = decipher.update(sealed.subarray(NONCE_SIZE, -TAG_SIZE));
  try {
    decipher.final();
    return concatSecrets(padded.subarray(1, 1 + (padded[0] ?? 0)));
  } catch (cause) {
    throw unavailable("the recovery service's secret does not open this key's PIN", cause);
  } finally {
    wipe(padded);
  }
}

/**
 * The service's side: decrypts the secret of a request whose token proved that `request.user` asks for it. The caller
 * wipes it.
 * @param privateKey The private key for `request.serviceKey`, as Node's KeyObject or in PEM.
 * @throws KeyprovError `recovery-unavailable` if the secret is for another service, user or key, or was changed.
 */
export function openRecoverySecret(request: PinRecoveryRequest, privateKey: KeyObject | string): Bytes {
  let message: Bytes | undefined;
  try {
    message = view(privateDecrypt({ key: privateKey, ...OAEP }, request.encryptedSecret));
    const context = contextOf(request.user, request.keyId);
    if (equal(message.subarray(SECRET_SIZE), context)) return concatSecrets(message.subarray(0, SECRET_SIZE));
  } catch (cause) {
    throw unavailable('the secret was not encrypted to this service, or was changed', cause);
  } finally {
    wipe(message);
  }
  throw unavailable('the secret is for another user or key');
}

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256', oaepLabel: Buffer.from(LABEL) };

/** Binds a secret to its user and key: SHA-256 of both, each after its length (UINT32, big endian). */
function contextOf(user: string, id: Uint8Array): Bytes {
  const name = utf8(user);
  return digest('sha256', uint32(name.length), name, uint32(id.length), id);
}

function associatedData(id: Uint8Array): Bytes {
  return concat(utf8(`${LABEL}\0`), id);
}

/** The error `recovery-unavailable`, whose remedy is a reset with a new key. */
export function unavailable(problem: string, cause?: unknown): KeyprovError {
  return new KeyprovError('recovery-unavailable', `the PIN cannot be recovered: ${problem}`, {
    cause,
    remedy: 'replace the key with a new one and set a new PIN',
  });
}
