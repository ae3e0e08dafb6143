import { KeyprovError, withCleanup } from '../errors.ts';
import type { SignalOptions } from '../signal.ts';
import { decode } from '../tpm/codec/index.ts';
import type { Entity } from '../tpm/command.ts';
import { Load, ObjectChangeAuth } from '../tpm/commands/object.ts';
import type { Session } from '../tpm/session.ts';
import { startSession } from '../tpm/start-session.ts';
import { TPM2B_PRIVATE, TPM2B_PUBLIC } from '../tpm/structures/object.ts';
import type { Tpm } from '../tpm/tpm.ts';
import type { TpmObject } from '../tpm/tpm-object.ts';
import { decodeKeyFile, type KeyFile } from './key-file.ts';
import type { ProvidedKey } from './provider.ts';
import { type ParentOptions, parentOf, type StorageParent, tryParentAuth } from './storage-parent.ts';

/** A key in the TPM, ready for commands. */
export interface LoadedKey {
  readonly object: TpmObject;
  /** The value that authorizes it; empty for a key without a PIN, or for one that is used without its PIN. */
  readonly authValue: Uint8Array;
  /** Salted; encrypts the first parameter of commands and of responses according to its `use`. */
  readonly session: Session;
  readonly parent: StorageParent;
  /** The key file that it was loaded from. */
  readonly file: KeyFile;
}

/** Runs `work` with a salted session that encrypts both ways, and ends the session. */
export async function withSaltedSession<T>(
  tpm: Tpm,
  parent: StorageParent,
  { saltKey, signal }: ParentOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const salt = saltKey ?? { handle: parent.handle, publicArea: parent.publicArea };
  const session = await startSession(tpm, { salt, use: { decrypt: true, encrypt: true }, signal });
  return await withCleanup(
    () => work(session),
    () => session.close(),
  );
}

/**
 * Runs `work`, which makes or loads a key under `parent`; `session` authorizes the parent.
 * @throws PinError `pin-last-try` if the try could lock the TPM.
 */
export async function underParent<T>(
  tpm: Tpm,
  { parent, session }: Pick<LoadedKey, 'parent' | 'session'>,
  options: SignalOptions,
  work: (parentHandle: Entity) => Promise<T>,
): Promise<T> {
  const { handle, record } = parent;
  return await tryParentAuth(tpm, parent, options, (authValue) =>
    work({ handle, name: record.name, auth: { session, ...(authValue && { authValue }) } }),
  );
}

/** Loads a key under its parent, runs `work` with it, and flushes it, its parent and the session. */
export async function withLoadedKey<T>(
  tpm: Tpm,
  key: ProvidedKey,
  { authValue, ...options }: ParentOptions & { readonly authValue: Uint8Array },
  work: (loaded: LoadedKey) => Promise<T>,
): Promise<T> {
  const { signal } = options;
  const file = await decodeKeyFile(key.privateKey);
  if (key.parent === undefined) throw new KeyprovError('key-invalid', 'the TPM key record has no parent');
  const parent = await parentOf(tpm, key.parent, options);
  const loadAndWork = async (session: Session): Promise<T> => {
    const loading = {
      inPrivate: decode(TPM2B_PRIVATE, file.privateArea),
      inPublic: decode(TPM2B_PUBLIC, file.publicArea),
    };
    const { objectHandle: object } = await underParent(tpm, { parent, session }, { signal }, (parentHandle) =>
      tpm.run(Load, { parentHandle, ...loading }, { signal }),
    );
    return await withCleanup(
      () => work({ object, authValue, session, parent, file }),
      () => object.flush(),
    );
  };
  return await withCleanup(
    () => withSaltedSession(tpm, parent, options, loadAndWork),
    () => parent.release(),
  );
}

/**
 * Gives a loaded key another authorization value; this is the last use of its session.
 * @returns its new TPM2B_PRIVATE, without the length. The old one still works, with the old value.
 */
export async function changeAuth(
  tpm: Tpm,
  { object, authValue, session, parent }: Omit<LoadedKey, 'file'>,
  newAuth: Uint8Array,
  { signal }: SignalOptions,
): Promise<Uint8Array> {
  session.use = { ...session.use, encrypt: false, continueSession: false };
  const objectHandle = { handle: object, auth: { session, authValue } };
  const { outPrivate } = await tpm.run(
    ObjectChangeAuth,
    { objectHandle, parentHandle: parent.handle, newAuth },
    { signal },
  );
  return outPrivate;
}
