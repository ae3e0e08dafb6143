import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { checkObject } from '../bytes.ts';
import { isKeyprovError, KeyprovError } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import { createFile, removeFile, removeLeftovers, replaceFile } from '../storage/atomic-file.ts';
import { isThere, storeIo } from '../storage/file-error.ts';
import type { StoreLockOptions } from '../storage/hold-lock.ts';
import { openPrivateDirectory, readPrivateFile } from '../storage/private-files.ts';
import { shellWord } from '../storage/shell-word.ts';
import { absolutePath } from '../storage/user-paths.ts';
import { countFolder, removeCount } from './count-files.ts';
import { checkKeyId, decodeKeyRecord, EXPORTS, encodeKeyRecord, type KeyRecord } from './key-record.ts';
import { isNotedInTpmSince, noteLastBackend } from './last-backend.ts';
import { withLockInLine } from './lock-in-line.ts';
import { OLD_FILES, readOldDirectory } from './old-directory.ts';

/** The members of {@link StoreLockOptions}, for `checkMembers`. */
const LOCK_MEMBERS = 'timeout:number? signal';

/** Result of {@link KeyStore.list}. */
export interface KeyList {
  /** Sorted by id. */
  readonly records: readonly KeyRecord[];
  /**
   * One `store-invalid`, `not-private` or `store-io` for each record that cannot be read, with its file in the message.
   */
  readonly damaged: readonly KeyprovError[];
}

/** Options of {@link openKeyStore}. */
export interface OpenKeyStoreOptions {
  /** Makes the directory if it is missing. Default true; use false to read keys. */
  readonly create?: boolean | undefined;
}

/**
 * Opens the key store in a directory, which is created (mode 0700) if missing. A store needs no closing.
 * @throws KeyprovError `key-not-found` if it is missing and `create` is false; `store-io`; `not-private` if it belongs
 * to another user, or if others can write to it; TypeError for an unknown option.
 *
 * @example
 * ```ts
 * import { openKeyStore } from 'keyprov';
 *
 * const store = await openKeyStore('./keys');
 * const { records, damaged } = await store.list();
 * for (const { id, user, backend } of records) console.log(id, user, backend);
 * for (const { message } of damaged) console.error(message);
 * ```
 */
export async function openKeyStore(directory: string, options: OpenKeyStoreOptions = {}): Promise<KeyStore> {
  options = checkMembers('openKeyStore', options, 'create:boolean?');
  const { create = true } = options;
  if (!create && !(await storeIo(directory, async () => isThere(absolutePath(directory))))) {
    throw new KeyprovError('key-not-found', `there is no key store at ${absolutePath(directory)}`, {
      remedy: `use another directory, or make a key there (keyprov create --store ${shellWord(directory)})`,
    });
  }
  return new KeyStore(await openStoreDirectory(directory));
}

/** For callers without types. @throws TypeError for anything but a store */
export function checkStore(name: string, store: KeyStore): void {
  if (!(store instanceof KeyStore)) throw new TypeError(`${name}: store must be a KeyStore from openKeyStore`);
}

/**
 * Makes the directory if it is missing, checks it, and removes what dead processes left. Returns its absolute path.
 */
export async function openStoreDirectory(directory: string): Promise<string> {
  if (directory === '') throw new RangeError('the key store path is empty');
  const path = await storeIo(directory, async () => openPrivateDirectory(directory));
  await removeLeftovers(path);
  return path;
}

/**
 * Keys in a directory, one file each (mode 0600), for any number of processes at once. Writes are atomic, and durable
 * when the promise resolves. Files of newer versions are never changed; they can only be deleted.
 */
export class KeyStore {
  /** Absolute path. */
  readonly directory: string;

  /** Use {@link openKeyStore}, which checks the directory. */
  constructor(directory: string) {
    this.directory = directory;
  }

  /**
   * All keys; a damaged record does not hide the others.
   * @throws KeyprovError `store-io` if the directory cannot be read.
   */
  async list(): Promise<KeyList> {
    const names = await storeIo(this.directory, () => readdir(this.directory));
    const records: KeyRecord[] = [];
    const damaged: KeyprovError[] = [];
    const ids = names.sort().flatMap((name) => /^key-(.+)\.json$/.exec(name)?.[1] ?? []);
    const read = async (work: () => Promise<KeyRecord | undefined>): Promise<void> => {
      try {
        const record = await work();
        if (record !== undefined) records.push(record);
      } catch (error) {
        // An unreadable record says nothing about the others.
        if (isDamage(error) || isKeyprovError(error, 'store-io')) damaged.push(error);
        else if (!isKeyprovError(error, 'key-not-found')) throw error; // deleted since the directory was read
      }
    };
    for (const id of ids) await read(() => this.#read(id));
    if (names.includes(OLD_FILES[0])) {
      await read(async () => {
        const record = await readOldDirectory(this.directory);
        return record !== undefined && ids.includes(record.id) ? undefined : record;
      });
      records.sort((a, b) => (a.id < b.id ? -1 : 1));
    }
    return { records, damaged };
  }

  /**
   * Loads a record.
   * @throws KeyprovError `key-not-found`, `store-invalid`, `not-private`, `store-io`; RangeError or TypeError for an invalid id.
   */
  async load(id: string): Promise<KeyRecord> {
    checkKeyId(id);
    return await this.#read(id);
  }

  /**
   * Adds a key: its record, or an object with one, as `provisionKey` returns it.
   * @throws KeyprovError `key-exists`, `store-busy`, `store-io`, `store-invalid` for a record that could not be read
   * again; RangeError or TypeError for an invalid id.
   */
  async save(key: KeyRecord | { readonly record: KeyRecord }, options: StoreLockOptions = {}): Promise<void> {
    const lock = checkMembers('KeyStore.save', options, LOCK_MEMBERS);
    const what = 'the key to save';
    checkObject(key, what);
    const record = checkObject('record' in key ? key.record : key, what);
    const text = this.#encode(record);
    await withLockInLine(this.directory, lock, async () => {
      const isOld = (await readOldDirectory(this.directory))?.id === record.id;
      if (!isOld && (await createFile(this.directory, fileName(record.id), text))) return;
      throw new KeyprovError('key-exists', `the key store at ${this.directory} already has a key ${record.id}`, {
        remedy: 'delete it first, or choose another id',
      });
    });
  }

  /**
   * Replaces a record with the result of `change`; no other process writes in between. The id must not change.
   * @throws KeyprovError like {@link load}, and `store-busy`; any error of `change`, and then nothing is written.
   */
  async update(
    id: string,
    change: (record: KeyRecord) => KeyRecord | Promise<KeyRecord>,
    options: StoreLockOptions = {},
  ): Promise<KeyRecord> {
    checkKeyId(id);
    const lock = checkMembers('KeyStore.update', options, LOCK_MEMBERS);
    return await withLockInLine(this.directory, lock, async () => {
      const next = checkObject(await change(await this.#read(id)), 'the result of change', 'id');
      if (next.id !== id) throw new RangeError(`an update must not change the id ${id} to ${next.id}`);
      await replaceFile(this.directory, fileName(id), this.#encode(next));
      for (const name of next.exports ?? []) await replaceFile(this.directory, name, next.privateKey);
      await this.#removeOld(id, ['record.json']);
      return next;
    });
  }

  /**
   * Removes a key and its count of PIN tries, or a damaged record. Keeps a note of whether the user's last key was in a
   * TPM or in software, so the next key is not weaker by accident; `note: false`, for a key that was replaced, keeps no
   * note. A registered key stays registered at its service: see `unregisterKey`.
   * @throws KeyprovError `key-not-found`, `store-busy`, `store-io`; RangeError or TypeError for an invalid id.
   */
  async delete(id: string, given: StoreLockOptions & { readonly note?: boolean | undefined } = {}): Promise<void> {
    const { note = true, ...options } = checkMembers('KeyStore.delete', given, LOCK_MEMBERS, 'note:boolean?');
    checkKeyId(id);
    await withLockInLine(this.directory, options, async () => {
      const record = await this.#read(id).catch((error: unknown) => {
        if (!isDamage(error)) throw error;
      });
      if (note && record?.user !== undefined) await this.#noteBackend(record, record.user);
      await this.#removeOld(id, OLD_FILES); // before its exports, without which it cannot be read
      // The record goes last, so that deleting again ends what was interrupted.
      if (record?.exports !== undefined) for (const name of EXPORTS) await removeFile(this.directory, name);
      if (record !== undefined) await this.#removeCount(record, options);
      await removeFile(this.directory, fileName(id));
    });
  }

  /** Removing an old software key does not make the user's last key a software key. */
  async #noteBackend({ backend, created }: KeyRecord, user: string): Promise<void> {
    const isNoted = async () => await isNotedInTpmSince(this.directory, user, created);
    const onError = (error: unknown): boolean => {
      if (!isDamage(error)) throw error;
      return false; // a damaged note is replaced
    };
    if (backend === 'software' && (await isNoted().catch(onError))) return;
    await noteLastBackend(this.directory, user, backend);
  }

  /** Removes the count of PIN tries, unless it may protect another record of the same key. */
  async #removeCount({ id, publicKey }: KeyRecord, options: StoreLockOptions): Promise<void> {
    const { records, damaged } = await this.list();
    const isKept = records.some((other) => other.id !== id && countFolder(other.publicKey) === countFolder(publicKey));
    if (damaged.length === 0 && !isKept) await removeCount(this.directory, publicKey, options);
  }

  /** Removes files of an earlier version if they belong to this key. */
  async #removeOld(id: string, names: readonly string[]): Promise<void> {
    if ((await readOldDirectory(this.directory))?.id !== id) return;
    for (const name of names) await removeFile(this.directory, name);
  }

  async #read(id: string): Promise<KeyRecord> {
    const path = join(this.directory, fileName(id));
    const file = await storeIo(path, async () => readPrivateFile(path));
    if (file === undefined) {
      const old = await readOldDirectory(this.directory);
      if (old?.id === id) return old;
      throw new KeyprovError('key-not-found', `the key store at ${this.directory} has no key ${id}`, {
        remedy: `list the store's keys (keyprov status --store ${shellWord(this.directory)})`,
      });
    }
    const record = decodeKeyRecord(file.bytes.toString(), path);
    if (record.id === id) return record;
    throw new KeyprovError('store-invalid', `the key record ${path} belongs to the key ${record.id}`, {
      remedy: 'rename the file to its original name',
    });
  }

  /** Writes the text of a record, and checks that it can be read again. */
  #encode(record: KeyRecord): string {
    checkKeyId(record.id);
    const text = encodeKeyRecord(record);
    decodeKeyRecord(text, `of ${record.id}, not written yet,`);
    return text;
  }
}

const isDamage = (error: unknown): error is KeyprovError =>
  isKeyprovError(error, 'store-invalid') || isKeyprovError(error, 'not-private');

const fileName = (id: string): string => `key-${id}.json`;
