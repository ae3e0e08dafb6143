import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex, utf8 } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { encodeSpki, type PublicKey } from '../crypto/public-key.ts';
import { PinError } from '../errors/pin-error.ts';
import { isKeyprovError, KeyprovError } from '../errors.ts';
import { JsonMembers } from '../json.ts';
import { removeIfThere, replaceFile, sweepLeftovers } from '../storage/atomic-file.ts';
import { isThere, storeIo } from '../storage/file-error.ts';
import { type StoreLockOptions, withStoreLock } from '../storage/hold-lock.ts';
import { readPrivateFile } from '../storage/private-files.ts';

export interface PinTryState {
  /** Counts the writes. */
  readonly sequence: number;
  /** Wrong PINs in a row, plus tries whose process died before the result. */
  readonly failures: number;
  /** Time of the last try: milliseconds since 1970. */
  readonly last: number;
}

/** The folder of the counts, below the directory of the store. */
export const PIN_TRY_FOLDER = 'pin-attempts';

/** The name of a key's folder in that one. */
export const countFolder = (key: PublicKey): string => toHex(digest('sha256', encodeSpki(key)));

/** Holds the state; written first. */
const COUNT_FILE = 'count.json';
/** A second copy, written right after. */
const LEDGER_FILE = 'ledger.json';
/** How often to look at files that others may write meanwhile. */
const LOOKS = 10;

/** Removes the count of a key that has left its store. @throws KeyprovError `store-busy`, `store-io` */
export async function removeCount(store: string, key: PublicKey, options: StoreLockOptions): Promise<void> {
  const folder = join(store, PIN_TRY_FOLDER);
  const directory = join(folder, countFolder(key));
  const remove = async () => {
    for (const name of [COUNT_FILE, LEDGER_FILE]) await removeIfThere(join(directory, name));
    await sweepLeftovers(directory, 0);
  };
  await storeIo(directory, async () => {
    if (!isThere(directory)) return;
    await withStoreLock(directory, remove, { ...options, remove: true });
    // A folder that is in use stays.
    for (const path of [directory, folder]) await rmdir(path).catch(() => undefined);
  });
}

/**
 * The count of one key, in two files, each of which reveals an old copy of the other. Each holds its own identity,
 * which a copy of it does not have, and a sequence number. All but {@link CountFiles.peek} need a lock.
 */
export class CountFiles {
  readonly #directory: string;
  readonly #key: string;

  /** `key` is the SHA-256 of its SubjectPublicKeyInfo, in hexadecimal digits. */
  constructor(directory: string, key: string) {
    this.#directory = directory;
    this.#key = key;
  }

  /** @throws PinError `key-locked` for an old file, KeyprovError `store-invalid` for a damaged one, `store-io` */
  async read(): Promise<PinTryState> {
    const { count, ahead } = await this.#readBoth();
    if (count === undefined) return { sequence: 0, failures: 0, last: 0 };
    // A process died between the two writes: if this stayed, the next such death would look like an old file.
    if (ahead === 1) await this.#writeFile(LEDGER_FILE, count);
    return count;
  }

  /** Reads without a lock and writes nothing; undefined if there is no count. @throws like {@link read} */
  async peek(): Promise<PinTryState | undefined> {
    for (let look = 1; ; look++) {
      try {
        return (await this.#readBoth()).count;
      } catch (error) {
        // Tries that are written between the two reads look like an old file too, but not every time.
        if (look === LOOKS || !isKeyprovError(error, 'key-locked')) throw error;
      }
    }
  }

  async #readBoth(): Promise<{ readonly count: PinTryState | undefined; readonly ahead: number }> {
    const ledger = await this.#readFile(LEDGER_FILE);
    const count = await this.#readFile(COUNT_FILE);
    const ahead = (count?.sequence ?? 0) - (ledger?.sequence ?? 0);
    if (ahead !== 0 && ahead !== 1) {
      const seen = (state: PinTryState | undefined) =>
        state === undefined ? 'is missing' : `has sequence number ${state.sequence}`;
      throw this.#putBack(`${COUNT_FILE} ${seen(count)}, ${LEDGER_FILE} ${seen(ledger)}`);
    }
    return { count, ahead };
  }

  /** Writes the successor of `state`. @throws KeyprovError `store-io` */
  async write({ sequence, failures, last }: PinTryState): Promise<PinTryState> {
    const state = { sequence: sequence + 1, failures, last };
    await this.#writeFile(COUNT_FILE, state);
    await this.#writeFile(LEDGER_FILE, state);
    return state;
  }

  /** Starts again at 0, whatever is wrong with the files. @throws KeyprovError `store-io` */
  async reset(): Promise<void> {
    let sequence = 0;
    for (const name of [COUNT_FILE, LEDGER_FILE]) {
      try {
        sequence = Math.max(sequence, (await this.#readFile(name))?.sequence ?? 0);
      } catch (error) {
        if (!isKeyprovError(error, 'store-invalid') && !isKeyprovError(error, 'key-locked')) throw error;
      }
    }
    await this.write({ sequence, failures: 0, last: 0 });
  }

  async #readFile(name: string): Promise<PinTryState | undefined> {
    const path = join(this.#directory, name);
    return await storeIo(path, async () => {
      const file = readPrivateFile(path);
      if (file === undefined) return undefined;
      const written = this.#decode(file.bytes.toString(), path);
      if (written.identity === file.identity) return written;
      throw this.#putBack(`${name} is a copy: its file id is ${file.identity}, not ${written.identity}`);
    });
  }

  async #writeFile(name: string, state: PinTryState): Promise<void> {
    await replaceFile(this.#directory, name, (identity) => this.#encode({ ...state, identity }));
  }

  /** Adds a digest that finds damage; it does not protect against anyone who can write the file. */
  #encode({ identity, sequence, failures, last }: PinTryState & { readonly identity: string }): string {
    const content = { format: 'keyprov-pin-attempts', version: 1, key: this.#key, identity, sequence, failures, last };
    return `${JSON.stringify({ ...content, sha256: toHex(digest('sha256', utf8(JSON.stringify(content)))) })}\n`;
  }

  #decode(text: string, path: string): PinTryState & { readonly identity: string } {
    let cause: unknown;
    try {
      const file = JsonMembers.parse('file', text);
      const state = {
        identity: file.text('identity'),
        sequence: file.integer('sequence'),
        failures: file.integer('failures'),
        last: file.integer('last'),
      };
      // The input was read correctly exactly if it gives the same text again.
      if (this.#encode(state) === text) return state;
    } catch (error) {
      cause = error;
    }
    const problem = `the PIN try counter ${path} is damaged, or belongs to another key or version`;
    throw new KeyprovError('store-invalid', problem, {
      cause,
      remedy: "reset this key's PIN try counter (PinTryLog.reset)",
    });
  }

  #putBack(seen: string): PinError {
    return new PinError(
      'key-locked',
      `a file of the PIN try counter in ${this.#directory} was replaced with an old copy, or deleted: ${seen}`,
      {
        remedy: "if you restored or copied the store yourself, reset this key's PIN try counter (PinTryLog.reset)",
      },
    );
  }
}
