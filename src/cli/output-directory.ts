import { mkdtemp, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { KeyprovError, withCleanup } from '../errors.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import { type KeyStore, openKeyStore } from '../keys/key-store.ts';
import { WRAPPING_SECRET_FILE } from '../keys/wrapping-secret.ts';
import { findKeys } from '../provisioning/find-key.ts';
import { createFile, removeFile } from '../storage/atomic-file.ts';
import { exists, fileIo } from './file-io.ts';

/** What is written beside the key of a store that has one key, in that order. */
export const EXPORTS = ['request.json', 'attestation.json', 'key.pem', 'public.pem'] as const;

/** Their contents; not all of them are always there. */
export type ExportedFiles = Partial<Record<(typeof EXPORTS)[number], string>>;

/**
 * Makes the directory ready for a key, with mode 0700 where it is missing.
 * @throws KeyprovError `key-exists` where it has the key of an earlier call, unless `force`, and where it has any other
 * key; `not-private` if it belongs to another user, or if others may write in it; `store-io`.
 */
export async function openOutputDirectory(path: string, force: boolean): Promise<OutputDirectory> {
  const absolute = resolve(path);
  const missing: string[] = [];
  for (let parent = absolute; !(await exists(parent)); parent = dirname(parent)) missing.push(parent);
  const store = await openKeyStore(absolute);
  const keys = await findKeys(store);
  const foreign = keys.filter(({ record, registration }) => registration || record.exports === undefined);
  if (foreign.length > 0) {
    const ids = foreign.map(({ record }) => record.id).join(', ');
    throw new KeyprovError('key-exists', `${absolute} is a store with keys that no earlier call put there: ${ids}`, {
      remedy: 'name another directory, or name the store with --store in place of --out',
    });
  }
  const earlier = [...keys.map(({ record }) => `the key ${record.id}`), ...(await existing(absolute, EXPORTS))];
  if (earlier.length > 0 && !force) {
    throw new KeyprovError('key-exists', `${absolute} has files of an earlier call (${earlier.join(', ')})`, {
      remedy: 'name another directory, or give --force to replace them',
    });
  }
  const hadSecret = await exists(join(absolute, WRAPPING_SECRET_FILE));
  return new OutputDirectory(
    store,
    keys.map(({ record }) => record),
    { made: missing, hadSecret },
  );
}

/** Where a key and its exports go: all of them, or none. */
export class OutputDirectory {
  readonly store: KeyStore;
  /** The keys of an earlier call, which are replaced. */
  readonly earlier: readonly KeyRecord[];
  readonly #made: readonly string[];
  readonly #hadSecret: boolean;

  /** Use {@link openOutputDirectory}. */
  constructor(
    store: KeyStore,
    earlier: readonly KeyRecord[],
    { made, hadSecret }: { readonly made: readonly string[]; readonly hadSecret: boolean },
  ) {
    this.store = store;
    this.earlier = earlier;
    this.#made = made;
    this.#hadSecret = hadSecret;
  }

  /** Absolute path. */
  get path(): string {
    return this.store.directory;
  }

  /**
   * Writes the files (mode 0600) and then the key, in place of those of an earlier call, which come back when something
   * fails.
   */
  async write(record: KeyRecord, files: ExportedFiles, signal: AbortSignal): Promise<void> {
    await fileIo(this.path, async () => {
      const aside = await mkdtemp(join(this.path, '.earlier-'));
      const undo = [() => rm(aside, { recursive: true })];
      const keys = this.earlier.map(({ id }) => `key-${id}.json`);
      try {
        for (const name of await existing(this.path, [...EXPORTS, ...keys, 'record.json'])) {
          await rename(join(this.path, name), join(aside, name));
          undo.unshift(() => rename(join(aside, name), join(this.path, name)));
        }
        for (const name of EXPORTS) {
          signal.throwIfAborted();
          const content = files[name];
          if (content === undefined) continue;
          if (!(await createFile(this.path, name, content))) {
            throw new KeyprovError('key-exists', `${join(this.path, name)} was made by another program just now`);
          }
          undo.unshift(async () => void (await removeFile(this.path, name)));
        }
        await this.store.save(record, { signal });
      } catch (error) {
        return await withCleanup(
          () => Promise.reject(error),
          async () => {
            for (const step of undo) await step();
          },
        );
      }
      await rm(aside, { recursive: true });
    });
  }

  /** After a failure: removes what the run has made besides, as far as nobody else has put something into it. */
  async discard(): Promise<void> {
    if (!this.#hadSecret) await removeFile(this.path, WRAPPING_SECRET_FILE);
    for (const directory of this.#made) {
      // Not empty: it holds the state of a virtual TPM, or somebody else's files.
      const removed = await rmdir(directory).then(
        () => true,
        () => false,
      );
      if (!removed) return;
    }
  }
}

async function existing(directory: string, names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(names.map((name) => exists(join(directory, name))));
  return names.filter((_, index) => found[index]);
}
