import { link, readdir, rename, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { KeyprovError, undoOnFailure, withCleanup } from '../errors.ts';
import { PIN_TRY_FOLDER } from '../keys/count-files.ts';
import { EXPORTS, type KeyRecord } from '../keys/key-record.ts';
import { type KeyStore, openKeyStore } from '../keys/key-store.ts';
import { WRAPPING_SECRET_FILE } from '../keys/wrapping-secret.ts';
import { findKeys } from '../provisioning/find-key.ts';
import type { SignalOptions } from '../signal.ts';
import { removeFile, removeIfThere, syncDirectory, writeTemporary } from '../storage/atomic-file.ts';
import { errorCode } from '../storage/file-error.ts';
import { type HeldLock, holdLock, STORE_LOCK, withStoreLock } from '../storage/hold-lock.ts';
import { absolutePath } from '../storage/user-paths.ts';
import { exists, fileIo } from './file-io.ts';

/** Held by the process that makes a key there. */
const LOCK = '.keyprov-out.lock';

/** Contents of {@link EXPORTS}; some may be absent. */
export type ExportedFiles = Partial<Record<(typeof EXPORTS)[number], string>>;

/**
 * Prepares the directory for a key, and creates it with mode 0700 if it is missing. Keeps other processes out until the
 * key is written or the directory discarded.
 * @throws KeyprovError `key-exists` if it has the key of an earlier call, or files that keyprov did not write, and
 * `force` is not set, or if it has any other key; `not-private` if it belongs to another user, or if others may write
 * in it; `store-busy` while another process makes a key there; `store-io`.
 */
export async function openOutputDirectory(
  path: string,
  force: boolean,
  options: SignalOptions = {},
): Promise<OutputDirectory> {
  const absolute = absolutePath(path);
  const made: string[] = [];
  for (let parent = absolute; !(await exists(parent)); parent = dirname(parent)) made.push(parent);
  let lock: HeldLock | undefined;
  const open = async (): Promise<OutputDirectory> => {
    const store = await openKeyStore(absolute);
    lock = await holdLock(join(absolute, LOCK), options);
    const keys = await findKeys(store);
    const foreign = keys.filter(({ record, registration }) => registration || record.exports === undefined);
    if (foreign.length > 0) {
      const ids = foreign.map(({ record }) => record.id).join(', ');
      throw new KeyprovError('key-exists', `${absolute} is a store with keys that create --out did not make: ${ids}`, {
        remedy: 'choose another directory, or use --store instead of --out',
      });
    }
    const others = force ? [] : await filesOfOthers(absolute);
    if (others.length > 0) {
      const names = others.length > 3 ? `${others.slice(0, 3).join(', ')}, …` : others.join(', ');
      throw new KeyprovError('key-exists', `${absolute} contains files that keyprov did not write: ${names}`, {
        remedy: 'choose a new directory, or pass --force to use this one',
      });
    }
    const exported = await existing(absolute, EXPORTS);
    const earlier = [...keys.map(({ record }) => `the key ${record.id}`), ...exported];
    if (earlier.length > 0 && !force) {
      throw new KeyprovError('key-exists', `${absolute} contains files from an earlier run (${earlier.join(', ')})`, {
        remedy: 'choose another directory, or pass --force to replace them',
      });
    }
    const hadSecret = await exists(join(absolute, WRAPPING_SECRET_FILE));
    const hadLock = await exists(join(absolute, STORE_LOCK));
    return new OutputDirectory(
      store,
      keys.map(({ record }) => record),
      { exported, made, hadSecret, hadLock, lock },
    );
  };
  return await undoOnFailure(open, async () => {
    await lock?.release({ remove: true });
    await removeEmpty(made);
  });
}

/** Whether keyprov writes files of this name: into a store, or as the state of a virtual TPM. */
function isOurs(name: string): boolean {
  if (name.startsWith('.') || OUR_NAMES.includes(name)) return true;
  return name.endsWith('.json') && ['key-', 'last-', 'run-'].some((start) => name.startsWith(start));
}

const OUR_NAMES: readonly string[] = [...EXPORTS, WRAPPING_SECRET_FILE, 'tpm2.state', 'record.json'];

/** The files that keyprov did not write. Directories are not looked at: one may be the state of a virtual TPM. */
async function filesOfOthers(directory: string): Promise<string[]> {
  const entries = await fileIo(directory, () => readdir(directory, { withFileTypes: true }));
  const files = entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
  return files.filter((name) => !isOurs(name)).sort();
}

/** The state of the directory before the call. */
interface Found {
  /** The {@link EXPORTS} that existed. */
  readonly exported: readonly string[];
  /** The directories that were created, the innermost first. */
  readonly made: readonly string[];
  readonly hadSecret: boolean;
  readonly hadLock: boolean;
  readonly lock: HeldLock;
}

/** Writes a key and its exports to a directory: all of them, or none. */
export class OutputDirectory {
  readonly store: KeyStore;
  /** The keys of an earlier call, which will be replaced. */
  readonly earlier: readonly KeyRecord[];
  readonly #found: Found;

  /** Use {@link openOutputDirectory}. */
  constructor(store: KeyStore, earlier: readonly KeyRecord[], found: Found) {
    this.store = store;
    this.earlier = earlier;
    this.#found = found;
  }

  /** Absolute path. */
  get path(): string {
    return this.store.directory;
  }

  /**
   * Writes the files (mode 0600) and the key. Removes those of an earlier call once all new ones are written: at every
   * moment one of the two keys is in the store.
   */
  async write(record: KeyRecord, files: ExportedFiles, signal: AbortSignal): Promise<void> {
    await fileIo(this.path, async () => {
      const written = new Map<string, string>();
      const linked: string[] = [];
      const add = async (): Promise<void> => {
        for (const name of EXPORTS) {
          const content = files[name];
          if (content !== undefined) written.set(name, await writeTemporary(this.path, content));
          signal.throwIfAborted();
        }
        for (const [name, temporary] of written) {
          if (this.#found.exported.includes(name)) continue;
          await link(temporary, join(this.path, name)).catch((cause: unknown) => {
            if (errorCode(cause) !== 'EEXIST') throw cause;
            throw new KeyprovError('key-exists', `${join(this.path, name)} has just been made by another program`);
          });
          linked.push(name);
        }
        await this.store.save(record, { signal });
      };
      await undoOnFailure(add, async () => {
        for (const name of linked) await removeFile(this.path, name);
        for (const temporary of written.values()) await removeIfThere(temporary);
      });
      for (const { id, user } of this.earlier) await this.store.delete(id, { note: !isSameUser(user, record.user) });
      for (const name of EXPORTS) {
        const [path, temporary] = [join(this.path, name), written.get(name)];
        if (temporary === undefined) await removeIfThere(path);
        else {
          // A file that was linked above is gone if it has the name of one of an earlier key, and else stays as it is.
          await rename(temporary, path);
          await removeIfThere(temporary);
        }
      }
      await syncDirectory(this.path);
      await this.#found.lock.release({ remove: true });
    });
  }

  /** After a failure: removes the files and directories of this run, unless somebody else has used them. */
  async discard(): Promise<void> {
    const { hadSecret, hadLock, lock, made } = this.#found;
    const remove = async (): Promise<void> => (hadSecret ? undefined : await this.#removeSecret());
    await withCleanup(
      () => withStoreLock(this.path, remove, { remove: !hadLock }),
      async () => {
        await rmdir(join(this.path, PIN_TRY_FOLDER)).catch(() => undefined); // it stays if it has counts
        await lock.release({ remove: true });
        await removeEmpty(made);
      },
    );
  }

  /** Under the lock of the store: {@link saveWithSecret} sees afterwards whether it was too late. */
  async #removeSecret(): Promise<void> {
    const { records, damaged } = await this.store.list();
    if (records.length + damaged.length === 0) await removeFile(this.path, WRAPPING_SECRET_FILE);
  }
}

/**
 * Saves a new key to a store in which another process may make one with {@link openOutputDirectory} and fail.
 * @throws KeyprovError `store-busy` if that has removed the wrapping secret before the key was saved; `store-io`.
 */
export async function saveWithSecret(store: KeyStore, record: KeyRecord, options: SignalOptions): Promise<void> {
  await store.save(record, options);
  const needsSecret = record.backend === 'software' && !record.hasPin;
  if (!needsSecret || (await exists(join(store.directory, WRAPPING_SECRET_FILE)))) return;
  await store.delete(record.id, { note: false });
  throw new KeyprovError(
    'store-busy',
    `another keyprov create --out ${store.directory} has failed, and has removed the store's secret`,
    {
      remedy: 'run this command again',
    },
  );
}

/** Compares user names without regard to case. */
export const isSameUser = (a: string | undefined, b: string | undefined): boolean =>
  a?.toLowerCase() === b?.toLowerCase();

/** Removes directories up to one that is not empty: it contains the state of a virtual TPM, or other files. */
async function removeEmpty(directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    const removed = await rmdir(directory).then(
      () => true,
      () => false,
    );
    if (!removed) return;
  }
}

async function existing(directory: string, names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(names.map((name) => exists(join(directory, name))));
  return names.filter((_, index) => found[index]);
}
