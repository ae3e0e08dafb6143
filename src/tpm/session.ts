import { type Bytes, concatSecrets, copy, EMPTY, equal, view, wipe } from '../bytes.ts';
import { hmac, kdfa } from '../crypto/kdf.ts';
import { KeyprovError } from '../errors.ts';
import { aesCfb, randomBytes } from '../primitives.ts';
import { HASHES, type HashAlg, TPM_ALG } from './constants.ts';
import type { TpmtSymDef } from './structures/algorithm.ts';

/** How the use of an entity is authorized: with its authorization value in clear (a password), or with a session. */
export type Authorization = Uint8Array | SessionAuthorization;

/** Authorization with a session. `authValue` is the entity's authorization value; absent means empty. */
export interface SessionAuthorization {
  readonly session: Session;
  readonly authValue?: Uint8Array;
}

/** The attributes of a session in a command. TPMA_SESSION, Part 2, 8.4. */
export interface SessionUse {
  /** The session stays open after the command; if false, this is its last command. */
  readonly continueSession: boolean;
  /** Encrypts the first parameter of the command with this session. */
  readonly decrypt: boolean;
  /** Encrypts the first parameter of the response with this session. */
  readonly encrypt: boolean;
  readonly audit: boolean;
  readonly auditExclusive: boolean;
  readonly auditReset: boolean;
}

const BITS: Readonly<Record<keyof SessionUse, number>> = {
  continueSession: 0x01,
  auditExclusive: 0x02,
  auditReset: 0x04,
  decrypt: 0x20,
  encrypt: 0x40,
  audit: 0x80,
};

/** The byte of a TPMA_SESSION. */
export function sessionBits(use: SessionUse): number {
  let bits = 0;
  for (const key of Object.keys(BITS) as (keyof SessionUse)[]) if (use[key]) bits |= BITS[key];
  return bits;
}

const SETS_PROOF: ReadonlySet<string> = new Set(['PolicyAuthValue', 'PolicyPassword', 'PolicyRestart']);

export interface SessionState {
  readonly sessionHandle: number;
  readonly type: 'hmac' | 'policy' | 'trial';
  readonly authHash: HashAlg;
  readonly symmetric: TpmtSymDef;
  readonly nonceCaller: Bytes;
  readonly nonceTPM: Bytes;
  /** Empty for a session that is neither salted nor bound. */
  readonly sessionKey: Bytes;
  /** The entity that the session is bound to, with its authorization value at that time. */
  readonly bound?: { readonly name: Bytes; readonly authValue: Bytes };
  readonly use: SessionUse;
  readonly close: (session: Session) => Promise<void>;
  /** Draws the caller's nonces; default `randomBytes` of the platform. */
  readonly randomBytes?: (size: number) => Uint8Array;
}

/** An authorization value as the TPM keeps it: without trailing zeros. Part 1, 19.6.4.3. */
export function trimAuthValue(authValue: Uint8Array): Uint8Array {
  let end = authValue.length;
  while (authValue[end - 1] === 0) end--;
  return authValue.subarray(0, end);
}

/**
 * Derives the key of a session from the salt and the authorization value of the entity that it is bound to. Empty if
 * there is neither; an empty authorization value counts as one. Part 1, 19.6.8.
 */
export function sessionKey(
  authHash: HashAlg,
  { salt, boundAuth }: { readonly salt: Uint8Array | undefined; readonly boundAuth: Uint8Array | undefined },
  nonceTPM: Uint8Array,
  nonceCaller: Uint8Array,
): Bytes {
  if (salt === undefined && boundAuth === undefined) return EMPTY;
  const { name, size } = HASHES[authHash];
  const material = concatSecrets(trimAuthValue(boundAuth ?? EMPTY), salt ?? EMPTY);
  try {
    return kdfa(name, material, 'ATH', nonceTPM, nonceCaller, size * 8);
  } finally {
    wipe(material);
  }
}

/**
 * An HMAC or policy session: authorizes commands, protects their integrity and encrypts their first parameter. The
 * nonces change with every command (Part 1, 19.6), so only one command at a time can use a session; the `Tpm` that
 * started it ensures that.
 */
export class Session {
  readonly sessionHandle: number;
  readonly type: 'hmac' | 'policy' | 'trial';
  readonly authHash: HashAlg;
  readonly symmetric: TpmtSymDef;
  /** Its attributes in the next commands. */
  use: SessionUse;
  /** Policy sessions: TPM2_PolicyAuthValue was run, so the HMAC key includes the authorization value. `Tpm` sets it. */
  needsAuthValue = false;
  /** Policy sessions: TPM2_PolicyPassword was run, so the authorization value is sent in clear. `Tpm` sets it. */
  needsPassword = false;
  /** True once the session was flushed, or the TPM has dropped it. */
  ended = false;
  #nonceCaller: Bytes;
  #nonceTPM: Bytes;
  readonly #sessionKey: Bytes;
  #bound: SessionState['bound'];
  readonly #close: SessionState['close'];
  readonly #randomBytes: (size: number) => Uint8Array;
  #closing: Promise<void> | undefined;

  constructor(state: SessionState) {
    this.sessionHandle = state.sessionHandle;
    this.type = state.type;
    this.authHash = state.authHash;
    this.symmetric = state.symmetric;
    this.use = state.use;
    this.#nonceCaller = state.nonceCaller;
    this.#nonceTPM = state.nonceTPM;
    this.#sessionKey = state.sessionKey;
    this.#bound = state.bound;
    this.#close = state.close;
    this.#randomBytes = state.randomBytes ?? randomBytes;
  }

  /** The TPM's latest nonce, an argument of TPM2_PolicySecret and TPM2_PolicySigned. */
  get nonceTPM(): Bytes {
    return this.#nonceTPM;
  }

  /** The caller's latest nonce. */
  get nonceCaller(): Bytes {
    return this.#nonceCaller;
  }

  /** Draws the caller's nonce for the next command. */
  rollCaller(): void {
    this.#nonceCaller = view(this.#randomBytes(HASHES[this.authHash].size));
  }

  /** Takes the TPM's nonce from a response. */
  rollTPM(nonceTPM: Uint8Array): void {
    this.#nonceTPM = copy(nonceTPM);
  }

  /**
   * Notes that the TPM has run `command` on this session, or with it in the authorization area, which resets its policy:
   * the next authorization needs the value in the way that the last such command says. Part 3, 23.17, 23.18 and 11.2.
   */
  noteRun(command: string, isAuthorization: boolean): void {
    const last = isAuthorization ? 'PolicyRestart' : command;
    if (!SETS_PROOF.has(last)) return;
    this.needsAuthValue = last === 'PolicyAuthValue';
    this.needsPassword = last === 'PolicyPassword';
  }

  /** Ends the binding, as the TPM does when the session has audited a command: an audit session is never bound. */
  unbind(): void {
    wipe(this.#bound?.authValue);
    this.#bound = undefined;
  }

  /** Tells whether the HMAC key includes the authorization value of `entity`. Part 1, 19.6.5 to 19.6.8. */
  keyHasAuth({ name, authValue }: { readonly name: Uint8Array; readonly authValue: Uint8Array }): boolean {
    if (this.type !== 'hmac') return this.needsAuthValue;
    const bound = this.#bound;
    return bound === undefined || !equal(bound.name, name) || !equal(bound.authValue, trimAuthValue(authValue));
  }

  /** The HMAC key, including that authorization value (which may be empty). The caller wipes it. */
  hmacKey(authValue: Uint8Array): Bytes {
    return concatSecrets(this.#sessionKey, trimAuthValue(authValue));
  }

  /** The HMAC of `parts` with `key`, using the session's hash. */
  hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Bytes {
    return hmac(HASHES[this.authHash].name, key, ...parts);
  }

  /**
   * Encrypts the first parameter of a command, or decrypts that of a response, in place. Part 1, 21. `authValue`
   * belongs to the entity that the session authorizes in the same command, if any.
   * @throws KeyprovError `tpm-session` if the session has no cipher.
   */
  crypt(direction: 'command' | 'answer', data: Uint8Array, authValue: Uint8Array | undefined): void {
    const value = this.hmacKey(authValue ?? EMPTY);
    const [newer, older] =
      direction === 'command' ? [this.#nonceCaller, this.#nonceTPM] : [this.#nonceTPM, this.#nonceCaller];
    const hash = HASHES[this.authHash].name;
    let key: Bytes | undefined;
    try {
      if (this.symmetric.algorithm === TPM_ALG.XOR) {
        // With the hash of the session, not the one in TPMT_SYM_DEF: Part 1, 21.2.
        key = kdfa(hash, value, 'XOR', newer, older, data.length * 8);
        for (const [i, mask] of key.entries()) data[i] = (data[i] as number) ^ mask;
      } else if (this.symmetric.algorithm === TPM_ALG.AES) {
        const { keyBits } = this.symmetric;
        key = kdfa(hash, value, 'CFB', newer, older, keyBits + 128);
        const way = direction === 'command' ? 'encrypt' : 'decrypt';
        const output = aesCfb(way, key.subarray(0, keyBits / 8), key.subarray(keyBits / 8), data);
        data.set(output);
        wipe(output); // for a response, this is the secret
      } else {
        throw new KeyprovError('tpm-session', 'the session has no cipher for parameter encryption', {
          remedy: 'start it with a symmetric algorithm (AES-CFB or XOR), or clear its encrypt and decrypt attributes',
        });
      }
    } finally {
      wipe(value, key);
    }
  }

  /** Ends the session in the TPM, unless it has ended, and wipes its keys. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    try {
      if (!this.ended) await this.#close(this);
    } finally {
      // Not earlier: a running command still needs the keys for its response.
      wipe(this.#sessionKey, this.#bound?.authValue);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
