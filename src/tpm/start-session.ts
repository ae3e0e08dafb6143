import { constants, createECDH, createPublicKey, publicEncrypt, randomBytes } from 'node:crypto';
import { type Bytes, concat, copy, toBase64Url, view, wipe } from '../bytes.ts';
import { kdfa, kdfe } from '../crypto/kdf.ts';
import { KeyprovError } from '../errors.ts';
import { encode } from './codec/index.ts';
import { HASHES, type HashAlg, TPM_ALG, TPM_ECC, TPM_RH, TPM_SE } from './constants.ts';
import { isHashAlg } from './names.ts';
import { Session, type SessionUse, trimAuthValue } from './session.ts';
import { TPMS_ECC_POINT, type TpmtSymDef } from './structures/algorithm.ts';
import type { TpmtPublic } from './structures/object.ts';
import type { SignalOptions, Tpm } from './tpm.ts';
import type { TpmObject } from './tpm-object.ts';

/** A key that the salt of a session is encrypted to; its public area must be trusted, not merely read from the TPM. */
export interface SaltKey {
  readonly handle: number | TpmObject;
  readonly publicArea: TpmtPublic;
}

/** Options of {@link startSession}. */
export interface StartSessionOptions extends SignalOptions {
  readonly type?: 'hmac' | 'policy' | 'trial';
  /** Hash of the HMACs and keys. Default SHA-256. */
  readonly authHash?: HashAlg;
  /** Cipher for parameter encryption. Default AES-128-CFB when salted or bound, else none. */
  readonly symmetric?: TpmtSymDef;
  readonly salt?: SaltKey;
  /** The entity to bind to: its Name, and its authorization value. */
  readonly bind?: { readonly handle: number | TpmObject; readonly name: Uint8Array; readonly authValue: Uint8Array };
  /** What the session does in commands. Default: it continues, and does nothing else. */
  readonly use?: Partial<SessionUse>;
}

const EMPTY = new Uint8Array(0);
const NO_USE: SessionUse = {
  continueSession: true,
  decrypt: false,
  encrypt: false,
  audit: false,
  auditExclusive: false,
  auditReset: false,
};
const TYPES = { hmac: TPM_SE.HMAC, policy: TPM_SE.POLICY, trial: TPM_SE.TRIAL } as const;

/**
 * Starts an HMAC, policy or trial session; close it when it is done, or let its last use say `continueSession: false`.
 * Part 1, 19.6.8: the session key is KDFa over the authorization value of `bind` and the salt.
 */
export async function startSession(tpm: Tpm, options: StartSessionOptions = {}): Promise<Session> {
  const { type = 'hmac', authHash = TPM_ALG.SHA256, salt, bind, signal } = options;
  const isKeyed = salt !== undefined || bind !== undefined;
  const symmetric =
    options.symmetric ??
    (isKeyed ? { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } : { algorithm: TPM_ALG.NULL });
  const { name: hash, size } = HASHES[authHash];
  const nonceCaller = view(randomBytes(size));
  const secret = salt === undefined ? { salt: EMPTY, encrypted: EMPTY } : makeSalt(salt.publicArea);
  const boundAuth = bind === undefined ? EMPTY : trimAuthValue(bind.authValue);
  const keyMaterial = concat(boundAuth, secret.salt);
  try {
    return await tpm.openSession(
      {
        tpmKey: salt?.handle ?? TPM_RH.NULL,
        bind: bind?.handle ?? TPM_RH.NULL,
        nonceCaller,
        encryptedSalt: secret.encrypted,
        sessionType: TYPES[type],
        symmetric,
        authHash,
      },
      ({ sessionHandle, nonceTPM }) =>
        new Session({
          sessionHandle,
          type,
          authHash,
          symmetric,
          nonceCaller,
          nonceTPM: copy(nonceTPM),
          sessionKey: isKeyed ? kdfa(hash, keyMaterial, 'ATH', nonceTPM, nonceCaller, size * 8) : new Uint8Array(0),
          ...(bind !== undefined && { bound: { name: copy(bind.name), authValue: copy(boundAuth) } }),
          use: { ...NO_USE, ...options.use },
          close: (closing) => tpm.flushSession(closing),
        }),
      { signal },
    );
  } finally {
    wipe(keyMaterial, secret.salt);
  }
}

const CURVES: ReadonlyMap<number, { readonly name: string; readonly size: number }> = new Map([
  [TPM_ECC.NIST_P256, { name: 'prime256v1', size: 32 }],
  [TPM_ECC.NIST_P384, { name: 'secp384r1', size: 48 }],
  [TPM_ECC.NIST_P521, { name: 'secp521r1', size: 66 }],
]);

/** A random salt and the same encrypted to the key. Part 1, B.10.2 (RSA) and C.6.1 (ECC), label "SECRET". */
function makeSalt({ nameAlg, ...key }: TpmtPublic): { salt: Bytes; encrypted: Bytes } {
  if (!isHashAlg(nameAlg)) throw unsuitable(`its name algorithm is 0x${nameAlg.toString(16)}`);
  const { name: hash, size } = HASHES[nameAlg];
  if (key.type === TPM_ALG.RSA) {
    const salt = view(randomBytes(size));
    const exponent = key.parameters.exponent === 0 ? 65537 : key.parameters.exponent;
    const e = Buffer.alloc(4);
    e.writeUInt32BE(exponent);
    const jwk = {
      kty: 'RSA',
      n: toBase64Url(key.unique),
      e: toBase64Url(e.subarray(e.findIndex((byte) => byte !== 0))),
    };
    const encrypted = publicEncrypt(
      {
        key: createPublicKey({ key: jwk, format: 'jwk' }),
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: hash,
        oaepLabel: Buffer.from('SECRET\0'),
      },
      salt,
    );
    return { salt, encrypted: view(encrypted) };
  }
  if (key.type === TPM_ALG.ECC) {
    const curve = CURVES.get(key.parameters.curveID);
    if (curve === undefined) throw unsuitable(`its curve is 0x${key.parameters.curveID.toString(16)}`);
    const pad = (coordinate: Uint8Array) =>
      concat(new Uint8Array(Math.max(0, curve.size - coordinate.length)), coordinate);
    const [x, y] = [pad(key.unique.x), pad(key.unique.y)];
    const ephemeral = createECDH(curve.name);
    const point = view(ephemeral.generateKeys());
    const ours = { x: point.subarray(1, 1 + curve.size), y: point.subarray(1 + curve.size) };
    const z = view(ephemeral.computeSecret(concat(new Uint8Array([4]), x, y)));
    const salt = kdfe(hash, z, 'SECRET', ours.x, x, size * 8);
    wipe(z);
    return { salt, encrypted: encode(TPMS_ECC_POINT, ours) };
  }
  throw unsuitable('it is no RSA or ECC key');
}

const unsuitable = (why: string): KeyprovError =>
  new KeyprovError('tpm-session', `a session cannot be salted with this key: ${why}`, {
    remedy: 'use an RSA, P-256, P-384 or P-521 storage key with a SHA-2 name algorithm',
  });
