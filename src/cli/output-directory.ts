import { mkdtemp, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { KeyprovError, withCleanup } from '../errors.ts';
import { type KeyStore, openKeyStore } from '../keys/key-store.ts';
import { WRAPPING_SECRET_FILE } from '../keys/wrapping-secret.ts';
import { createFile, removeFile } from '../storage/atomic-file.ts';
import { exists, fileIo } from './file-io.ts';

/** The files that `keyprov provision` writes, in that order: the record last, so that it stands for all of them. */
export const OUTPUT_FILES = ['request.json', 'attestation.json', 'key.pem', 'public.pem', 'record.json'] as const;

/** Their contents; not all of them are always there. */
export type OutputFiles = Partial<Record<(typeof OUTPUT_FILES)[number], string>>;

/**
 * Makes the directory ready for a run, with mode 0700 where it is missing.
 * @throws KeyprovError `key-exists` where it has files of an earlier run, unless `force`; `store-invalid` where others
 * may write in it; `store-io`.
 */
export async function openOutputDirectory(path: string, force: boolean): Promise<OutputDirectory> {
  const absolute = resolve(path);
  const missing: string[] = [];
  for (let parent = absolute; !(await exists(parent)); parent = dirname(parent)) missing.push(parent);
  const store = await openKeyStore(absolute);
  const earlier = await existing(absolute);
  if (earlier.length > 0 && !force) {
    throw new KeyprovError('key-exists', `${absolute} has files of an earlier run (${earlier.join(', ')})`, {
      remedy: 'name another directory, or give --force to replace them',
    });
  }
  return new OutputDirectory(store, missing, await exists(join(absolute, WRAPPING_SECRET_FILE)));
}

/** Where a run puts its files: all of them, or none. */
export class OutputDirectory {
  readonly store: KeyStore;
  readonly #made: readonly string[];
  readonly #hadSecret: boolean;

  /** Use {@link openOutputDirectory}. */
  constructor(store: KeyStore, made: readonly string[], hadSecret: boolean) {
    this.store = store;
    this.#made = made;
    this.#hadSecret = hadSecret;
  }

  /** Absolute path. */
  get path(): string {
    return this.store.directory;
  }

  /** Writes the files (mode 0600) in place of those of an earlier run, which come back when something fails. */
  async write(files: OutputFiles, signal: AbortSignal): Promise<void> {
    await fileIo(this.path, async () => {
      const aside = await mkdtemp(join(this.path, '.earlier-'));
      const undo = [() => rm(aside, { recursive: true })];
      try {
        for (const name of await existing(this.path)) {
          await rename(join(this.path, name), join(aside, name));
          undo.unshift(() => rename(join(aside, name), join(this.path, name)));
        }
        for (const name of OUTPUT_FILES) {
          signal.throwIfAborted();
          const content = files[name];
          if (content === undefined) continue;
          if (!(await createFile(this.path, name, content))) {
            throw new KeyprovError('key-exists', `${join(this.path, name)} was made by another program just now`);
          }
          undo.unshift(async () => void (await removeFile(this.path, name)));
        }
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

async function existing(directory: string): Promise<(typeof OUTPUT_FILES)[number][]> {
  const found = await Promise.all(OUTPUT_FILES.map((name) => exists(join(directory, name))));
  return OUTPUT_FILES.filter((_, index) => found[index]);
}
