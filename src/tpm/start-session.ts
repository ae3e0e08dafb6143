import { checkObject, copy, EMPTY, wipe } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import { randomBytes } from '../primitives.ts';
import type { SignalOptions } from '../signal.ts';
import { HASHES, type HashAlg, TPM_ALG, TPM_RH, TPM_SE } from './constants.ts';
import { isHashAlg } from './names.ts';
import { Session, type SessionUse, sessionKey, trimAuthValue } from './session.ts';
import { type SharedSecret, shareSecret } from './shared-secret.ts';
import type { TpmtSymDef } from './structures/algorithm.ts';
import type { TpmtPublic } from './structures/object.ts';
import type { TpmObject } from './tpm-object.ts';
import type { TpmRunner } from './tpm-runner.ts';

/** A key to which a session's salt is encrypted. Its public area must be trusted, not just read from the TPM. */
export interface SaltKey {
  readonly handle: number | TpmObject;
  readonly publicArea: TpmtPublic;
}

/** Options of {@link startSession}. */
export interface StartSessionOptions extends SignalOptions {
  /** Default `hmac`. */
  readonly type?: 'hmac' | 'policy' | 'trial' | undefined;
  /** Hash of the HMACs and keys. Default SHA-256. */
  readonly authHash?: HashAlg | undefined;
  /**
   * Cipher for parameter encryption. Default if the session is salted or bound: AES-CFB with 128 bits, or with as many
   * as the salt key has. Otherwise none.
   */
  readonly symmetric?: TpmtSymDef | undefined;
  readonly salt?: SaltKey | undefined;
  /** The entity to which the session is bound: its Name and its authorization value. */
  readonly bind?:
    | { readonly handle: number | TpmObject; readonly name: Uint8Array; readonly authValue: Uint8Array }
    | undefined;
  /** The session's attributes. Default: it stays open after each command, and encrypts nothing. */
  readonly use?: Partial<SessionUse> | undefined;
}

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
 * Starts an HMAC, policy or trial session. Close it afterwards, or set `continueSession: false` for its last use. Part
 * 1, 19.6.8: the session key is KDFa over the authorization value of `bind` and the salt.
 * @throws KeyprovError `tpm-session` or `key-invalid` for a key that cannot be a salt key; else like `Tpm.run`.
 */
export async function startSession(tpm: TpmRunner, options: StartSessionOptions = {}): Promise<Session> {
  options = checkMembers('startSession', options, 'type:=hmac|policy|trial? authHash symmetric salt bind use signal');
  const { type = 'hmac', authHash = TPM_ALG.SHA256, salt, bind, use = {}, signal } = options;
  const booleans = 'continueSession:boolean? decrypt:boolean? encrypt:boolean? audit:boolean?';
  checkMembers('use of startSession', use, booleans, 'auditExclusive:boolean? auditReset:boolean?');
  checkObject(tpm, 'tpm', 'openSession:function');
  const isKeyed = salt !== undefined || bind !== undefined;
  const symmetric = options.symmetric ?? (isKeyed ? cipherFor(salt) : { algorithm: TPM_ALG.NULL });
  const nonceCaller = randomBytes(HASHES[authHash].size);
  const shared = salt === undefined ? { secret: EMPTY, encrypted: EMPTY } : makeSalt(salt.publicArea);
  const keyMaterial = { salt: salt && shared.secret, boundAuth: bind?.authValue };
  try {
    return await tpm.openSession(
      {
        tpmKey: salt?.handle ?? TPM_RH.NULL,
        bind: bind?.handle ?? TPM_RH.NULL,
        nonceCaller,
        encryptedSalt: shared.encrypted,
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
          sessionKey: sessionKey(authHash, keyMaterial, nonceTPM, nonceCaller),
          ...(bind !== undefined && {
            bound: { name: copy(bind.name), authValue: copy(trimAuthValue(bind.authValue)) },
          }),
          use: { ...NO_USE, ...use },
          close: (closing) => tpm.flushSession(closing),
        }),
      { signal },
    );
  } finally {
    wipe(shared.secret);
  }
}

/** The cipher of the salt key: a TPM that supports only AES-256 has storage keys with it. */
function cipherFor(salt: SaltKey | undefined): TpmtSymDef {
  const parameters = salt?.publicArea.parameters;
  const own = parameters !== undefined && 'symmetric' in parameters ? parameters.symmetric : undefined;
  const keyBits = own?.algorithm === TPM_ALG.AES ? own.keyBits : 128;
  return { algorithm: TPM_ALG.AES, keyBits, mode: TPM_ALG.CFB };
}

/** A random salt, and the same salt encrypted to the key. Part 1, 19.6.8. */
function makeSalt(publicArea: TpmtPublic): SharedSecret {
  const { nameAlg } = publicArea;
  if (!isHashAlg(nameAlg)) {
    const problem = `a key with the name algorithm 0x${nameAlg.toString(16)} cannot be a salt key`;
    const remedy = 'use a storage key with a SHA-1 or SHA-2 name algorithm';
    throw new KeyprovError('tpm-session', problem, { remedy });
  }
  return shareSecret({ ...publicArea, nameAlg }, 'SECRET');
}
