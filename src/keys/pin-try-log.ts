import { join } from 'node:path';
import type { PublicKey } from '../crypto/public-key.ts';
import { PinError } from '../errors/pin-error.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { absolutePath } from '../storage/user-paths.ts';
import { CountFiles, countFolder, PIN_TRY_FOLDER, type PinTryState } from './count-files.ts';
import { openStoreDirectory } from './key-store.ts';
import { withLockInLine } from './lock-in-line.ts';

/** Options of {@link openPinTryLog}. */
export interface PinTryLogOptions {
  /** The time in milliseconds since 1970; default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/** Result of {@link PinTryLog.read}. */
export interface PinTryCount {
  /** Wrong PINs in a row, plus tries whose process died before the result. */
  readonly failures: number;
  /** Tries left before a wait. */
  readonly triesLeft: number;
  /** Seconds until the next try is possible; 0 if it is now. */
  readonly retryAfterSeconds: number;
}

/** Wrong PINs in a row before the first wait. */
const FREE_TRIES = 5;
/** The first wait, in milliseconds; each further wrong PIN doubles it, up to the longest. */
const FIRST_WAIT = 30_000;
const LONGEST_WAIT = 3_600_000;
/** How long a try may wait for another one, in milliseconds; each takes a third of a second. */
const LOCK_TIMEOUT = 60_000;

/**
 * Opens the log of PIN tries in the folder `pin-attempts` of a directory, such as a key store's. Creates missing
 * folders (mode 0700). The log needs no closing.
 * @throws KeyprovError `store-io`; `not-private` if the folder belongs to another user, or if others can write to it.
 */
export async function openPinTryLog(directory: string, options: PinTryLogOptions = {}): Promise<PinTryLog> {
  const { now = Date.now } = checkMembers('openPinTryLog', options, 'now:function?');
  return new PinTryLog(await openStoreDirectory(join(absolutePath(directory), PIN_TRY_FOLDER)), now);
}

/**
 * Counts the PIN tries of software keys: one counter per public key, on disk, shared by all processes. Counts each try
 * before it is made, one at a time per key. The correct PIN resets the counter to 0.
 *
 * | wrong PINs in a row      | 1 to 4 | 5    | 6    | 7     | 8     | 9     | 10    | 11      | 12 and more |
 * |--------------------------|--------|------|------|-------|-------|-------|-------|---------|-------------|
 * | wait before the next try | none   | 30 s | 60 s | 120 s | 240 s | 480 s | 960 s | 1,920 s | 3,600 s     |
 *
 * Setting the clock back restarts the wait; setting it forward ends it.
 *
 * Putting back an old count is detected: each of the two files of a key holds its own identity (a copy has another) and
 * a sequence number that the other file holds too. The key is then locked until {@link PinTryLog.reset}. Not detected:
 * both files put back as the very same files (renamed, from hard links, in a directory moved away and back, by a
 * snapshot of the disk), both deleted, and both forged.
 */
export class PinTryLog {
  /** Absolute path of the folder. */
  readonly directory: string;
  readonly #now: () => number;

  /** Use {@link openPinTryLog}, which checks the folder. */
  constructor(directory: string, now: () => number) {
    this.directory = directory;
    this.#now = now;
  }

  /**
   * Counts a PIN try for `key`, then calls `tryPin`, which returns whether the PIN was correct. If `tryPin` throws, the
   * try stays counted.
   * @throws PinError `pin-wrong`; `key-locked` without a try, during the wait or because an old count was put back.
   * KeyprovError `store-invalid` for a damaged counter, `store-busy` if another try takes over a minute,
   * `store-io`.
   */
  async attempt(key: PublicKey, tryPin: () => Promise<boolean>, options: SignalOptions = {}): Promise<void> {
    await this.#exclusive(key, options, async (files) => {
      let state = await files.read();
      const now = this.#now();
      if (now < state.last) state = await files.write({ ...state, last: now });
      const { retryAfterSeconds: wait } = countOf(state, now);
      if (wait > 0) {
        const problem = `the PIN was not tried: the key is locked after ${state.failures} wrong PINs`;
        throw new PinError('key-locked', problem, { triesLeft: 0, retryAfterSeconds: wait, remedy: `wait ${wait} s` });
      }
      state = await files.write({ ...state, failures: state.failures + 1, last: now });
      if (await tryPin()) {
        await files.write({ ...state, failures: 0 });
        return;
      }
      const { triesLeft, retryAfterSeconds } = countOf(state, now);
      const left =
        triesLeft === 0 ? '' : `; ${triesLeft} ${triesLeft === 1 ? 'try is' : 'tries are'} left before a wait`;
      throw new PinError('pin-wrong', `the software key's PIN is wrong${left}`, {
        triesLeft,
        ...(triesLeft === 0 && { retryAfterSeconds }),
        remedy:
          triesLeft === 0
            ? `wait ${retryAfterSeconds} s, then try again with the right PIN`
            : 'try again with the right PIN',
      });
    });
  }

  /** Returns the count of a key. @throws like {@link attempt}, except `pin-wrong`; a wait is not an error. */
  async read(key: PublicKey, options: SignalOptions = {}): Promise<PinTryCount> {
    return await this.#exclusive(key, options, async (files) => countOf(await files.read(), this.#now()));
  }

  /**
   * Sets the counter of a key to 0, even if it is damaged or an old copy. Call it only after checking that the user may
   * reset it.
   * @throws KeyprovError `store-busy` if another try takes over a minute, `store-io`.
   */
  async reset(key: PublicKey, options: SignalOptions = {}): Promise<void> {
    await this.#exclusive(key, options, (files) => files.reset());
  }

  /** Runs `work` under the lock of the key. */
  async #exclusive<T>(key: PublicKey, { signal }: SignalOptions, work: (files: CountFiles) => Promise<T>): Promise<T> {
    const name = countFolder(key);
    const directory = await openStoreDirectory(join(this.directory, name));
    const options = { signal, timeout: LOCK_TIMEOUT };
    return await withLockInLine(directory, options, () => work(new CountFiles(directory, name)));
  }
}

/**
 * The count of a key of the store in `directory`, for reports: needs no lock and writes nothing; undefined if no PIN of
 * the key was ever tried.
 * @throws PinError `key-locked` for an old count; KeyprovError `store-invalid`, `not-private`, `store-io`.
 */
export async function peekPinTries(directory: string, key: PublicKey): Promise<PinTryCount | undefined> {
  const name = countFolder(key);
  const state = await new CountFiles(join(directory, PIN_TRY_FOLDER, name), name).peek();
  return state && countOf(state, Date.now());
}

function countOf({ failures, last }: PinTryState, now: number): PinTryCount {
  const wait = failures < FREE_TRIES ? 0 : Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - FREE_TRIES));
  const left = Math.min(wait, Math.max(0, last + wait - now));
  return { failures, triesLeft: Math.max(0, FREE_TRIES - failures), retryAfterSeconds: Math.ceil(left / 1000) };
}
