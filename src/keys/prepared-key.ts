import { randomBytes } from 'node:crypto';
import { type Bytes, view, wipe } from '../bytes.ts';
import { withCleanup } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import type { KeyAlgorithm } from '../policy/index.ts';
import { type CreateResult, Load } from '../tpm/commands/object.ts';
import type { Session } from '../tpm/session.ts';
import type { Tpm } from '../tpm/tpm.ts';
import type { TpmObject } from '../tpm/tpm-object.ts';
import { changeAuth, underParent, withSaltedSession } from './loaded-key.ts';
import { type NewTpmKeyOptions, withNewTpmKey } from './new-tpm-key.ts';
import type { ProvidedKey } from './provider.ts';
import { type ParentOptions, parentOf } from './storage-parent.ts';

/** The parts of a key that are known in advance and stay when it gets its PIN. */
export type PreparedKeyParts = Omit<CreateResult, 'outPrivate'> & {
  readonly algorithm: KeyAlgorithm;
  readonly parent: NonNullable<ProvidedKey['parent']>;
};

/**
 * A key in the TPM that has no PIN yet. Until it gets one, only 32 random bytes in this object authorize its use.
 * Outside the TPM, the key exists only encrypted by the TPM, and only until the TPM is reset.
 */
export class PreparedTpmKey {
  readonly algorithm: KeyAlgorithm;
  readonly #tpm: Tpm;
  readonly #object: TpmObject;
  readonly #authValue: Bytes;
  readonly #parts: PreparedKeyParts;

  /** Use `TpmKeyProvider.prepare`. */
  constructor(tpm: Tpm, object: TpmObject, authValue: Bytes, parts: PreparedKeyParts) {
    this.algorithm = parts.algorithm;
    this.#tpm = tpm;
    this.#object = object;
    this.#authValue = authValue;
    this.#parts = parts;
  }

  /**
   * Gives the key its real authorization value, by TPM2_ObjectChangeAuth in a salted session.
   * @returns the key as TPM2_Create would have made it with that value, with the same proof of creation.
   * @throws KeyprovError `tpm-identity-changed`; `key-invalid` if the TPM has lost the key; TpmError if the TPM
   * refuses.
   */
  async finish(newAuth: Uint8Array, options: ParentOptions): Promise<CreateResult & PreparedKeyParts> {
    options = checkMembers('PreparedTpmKey.finish', options, 'ownerAuth parentAuth:bytes? saltKey signal');
    const { signal } = options;
    const parent = await parentOf(this.#tpm, this.#parts.parent, options);
    const loaded = { object: this.#object, authValue: this.#authValue, parent };
    const change = (session: Session) => changeAuth(this.#tpm, { ...loaded, session }, newAuth, { signal });
    const outPrivate = await withCleanup(
      () => withSaltedSession(this.#tpm, parent, options, change),
      () => parent.release(),
    );
    return { ...this.#parts, outPrivate };
  }

  /** Wipes the random value: from then on nobody can use the key. */
  wipe(): void {
    wipe(this.#authValue);
  }

  /** Wipes the random value and flushes the key. Idempotent. */
  async close(): Promise<void> {
    this.wipe();
    await this.#object.flush();
  }
}

/**
 * Makes a key for a PIN that is not known yet, under dictionary attack protection like every key with a PIN.
 * @throws like TpmKeyProvider.create.
 */
export async function prepareTpmKey(tpm: Tpm, options: NewTpmKeyOptions): Promise<PreparedTpmKey> {
  const { algorithm, signal } = options;
  const authValue = view(randomBytes(32));
  try {
    return await withNewTpmKey(tpm, authValue, options, async ({ made, parent, session }) => {
      const { outPrivate, ...parts } = made;
      try {
        const load = { inPrivate: outPrivate, inPublic: parts.outPublic };
        const { objectHandle } = await underParent(tpm, { parent, session }, { signal }, (parentHandle) =>
          tpm.run(Load, { parentHandle, ...load }, { signal }),
        );
        return new PreparedTpmKey(tpm, objectHandle, authValue, { ...parts, algorithm, parent: parent.record });
      } finally {
        // The random value would open the key forever, without a PIN: wipe it now.
        wipe(outPrivate);
      }
    });
  } catch (error) {
    wipe(authValue);
    throw error;
  }
}
