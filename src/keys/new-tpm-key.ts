import { EMPTY } from '../bytes.ts';
import { SelectionError } from '../errors/selection-error.ts';
import { withCleanup } from '../errors.ts';
import type { KeyAlgorithm } from '../policy/index.ts';
import { Create, type CreateResult } from '../tpm/commands/object.ts';
import { isUnsupported } from '../tpm/first-supported.ts';
import type { Session } from '../tpm/session.ts';
import { type UserKeyUsage, userKeyTemplate } from '../tpm/templates.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { underParent, withSaltedSession } from './loaded-key.ts';
import { type ParentOptions, parentForNewKey, type StorageParent } from './storage-parent.ts';

export interface NewTpmKeyOptions extends ParentOptions {
  readonly algorithm: KeyAlgorithm;
  /** Default `sign`. */
  readonly usage?: UserKeyUsage | undefined;
  /** The Name that the storage root key must have. */
  readonly recordedSrkName?: Uint8Array | undefined;
}

/** A key that is made but not loaded; its parent and session are still there. */
export interface NewTpmKey {
  readonly made: CreateResult;
  readonly parent: StorageParent;
  /** Salted; encrypts the first parameter both ways, and continues after each command. */
  readonly session: Session;
}

/**
 * Makes a key with the public area of a Windows Hello key, and runs `work` with it. A key with an authorization value
 * is under the TPM's dictionary attack protection; one without is not, since there is nothing to guess.
 * @throws KeyprovError `algorithm-unsupported` if the TPM cannot make such keys.
 */
export async function withNewTpmKey<T>(
  tpm: Tpm,
  userAuth: Uint8Array,
  { algorithm, usage = 'sign', recordedSrkName, ...options }: NewTpmKeyOptions,
  work: (made: NewTpmKey) => Promise<T>,
): Promise<T> {
  const { signal } = options;
  const parent = await parentForNewKey(tpm, { ...options, recordedSrkName });
  const args = {
    inSensitive: { userAuth, data: EMPTY },
    inPublic: userKeyTemplate(algorithm, { noDA: userAuth.length === 0, usage }),
    outsideInfo: EMPTY,
    creationPCR: [],
  };
  const make = async (session: Session): Promise<CreateResult> => {
    try {
      return await underParent(tpm, { parent, session }, { signal }, (parentHandle) =>
        tpm.run(Create, { parentHandle, ...args }, { signal }),
      );
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      const reason = `this TPM cannot make ${algorithm} keys`;
      const attempt = { backend: 'tpm', outcome: 'failed', code: error.code, reason: error.message } as const;
      const remedy = 'choose another algorithm';
      throw new SelectionError('algorithm-unsupported', reason, [attempt], { cause: error, remedy });
    }
  };
  const makeAndWork = async (session: Session) => work({ made: await make(session), parent, session });
  return await withCleanup(
    () => withSaltedSession(tpm, parent, options, makeAndWork),
    () => parent.release(),
  );
}
