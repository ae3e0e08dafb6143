import { join } from 'node:path';
import { type Bytes, byteCount, concat, copy, equal, uint32, uint32At, utf8 } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { isKeyprovError, KeyprovError, rethrowAs } from '../errors.ts';
import { sweepLeftovers, writeWhole, writeWholeSync } from '../storage/atomic-file.ts';
import { describeFileError, isThere } from '../storage/file-error.ts';
import { type StoreLockOptions, takeInTurn } from '../storage/hold-lock.ts';
import { type FileLock, type TryLock, takeKernelLock } from '../storage/kernel-lock.ts';
import type { Holder } from '../storage/lock-holder.ts';
import { openPrivateDirectory, readPrivateFile, tryPrivateDirectory } from '../storage/private-files.ts';
import { shellWord } from '../storage/shell-word.ts';
import { absolutePath } from '../storage/user-paths.ts';

const MAGIC = utf8('KPTPM2ST');
const NAME = 'tpm2.state';
const VERSION = 1;
const VERSION_AT = 8;
const LENGTH_AT = 12;
const DIGEST_AT = 16;
const STATE_AT = 48;
const RESTORE =
  "restore a copy of it, or make a new TPM in another directory; this TPM's keys are lost without its state";

/**
 * Encodes a state as a file: `KPTPM2ST`, version (1), length of the state, SHA-256 of the state (32), state. Numbers
 * are UINT32, big endian. The digest is needed because libtpms accepts many damaged states.
 */
export function encodeStateFile(state: Uint8Array): Bytes {
  return concat(MAGIC, uint32(VERSION), uint32(state.length), digest('sha256', state), state);
}

/**
 * Returns the state in a file that {@link encodeStateFile} made.
 * @param path only for messages.
 * @throws KeyprovError `state-invalid` if the file is damaged, cut off, or of another program or a newer version.
 */
export function decodeStateFile(file: Uint8Array, path: string): Bytes {
  if (file.length < STATE_AT) throw invalid(path, `is cut off (${byteCount(file.length)})`);
  if (!equal(file.subarray(0, MAGIC.length), MAGIC)) throw invalid(path, 'is not a state file of keyprov');
  const version = uint32At(file, VERSION_AT);
  if (version !== VERSION) {
    throw invalid(
      path,
      `has format version ${version}; this keyprov reads version ${VERSION}`,
      'use the version of keyprov that wrote it',
    );
  }
  const length = uint32At(file, LENGTH_AT);
  const state = file.subarray(STATE_AT);
  if (length !== state.length) throw invalid(path, `announces ${byteCount(length)} of state but has ${state.length}`);
  if (!equal(digest('sha256', state), file.subarray(DIGEST_AT, STATE_AT))) {
    throw invalid(path, 'is damaged (its SHA-256 does not match)');
  }
  return copy(state);
}

export interface StateFileOptions extends StoreLockOptions {
  /** Makes the directory if it is missing. Default true. */
  readonly create?: boolean | undefined;
}

/**
 * The permanent state of a virtual TPM on disk: a directory with `tpm2.state` and `.lock`, for one TPM at a time. The
 * directory is made if missing (mode 0700, the files 0600).
 */
export class StateFile {
  /** Absolute path. */
  readonly directory: string;
  readonly #path: string;
  #lock: FileLock | undefined;
  #saved: Bytes | undefined;

  /**
   * Locks the directory, waiting as {@link StoreLockOptions} say, and reads the state. Without `create` it must exist.
   * @throws KeyprovError with `no-tpm`, `state-in-use`, `state-invalid`, `state-io` or `not-private`; the reason of
   * `signal`.
   */
  static async open(
    directory: string,
    tryLock: TryLock,
    { create = true, ...options }: StateFileOptions = {},
  ): Promise<StateFile> {
    const path = stateIo(directory, () => {
      if (!create && !isThere(join(absolutePath(directory), NAME))) {
        const address = shellWord(`libtpms:${directory}`);
        throw new KeyprovError('no-tpm', `there is no TPM in ${absolutePath(directory)}`, {
          remedy: `check the path, or make a TPM there (keyprov create --tpm ${address})`,
        });
      }
      return openPrivateDirectory(directory);
    });
    return new StateFile(path, await lockDirectory(path, tryLock, options));
  }

  private constructor(directory: string, lock: FileLock) {
    this.directory = directory;
    this.#path = join(directory, NAME);
    this.#lock = lock;
    try {
      this.#saved = readState(this.#path);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The last state read or saved; undefined if the directory has none yet. */
  get state(): Bytes | undefined {
    return this.#saved;
  }

  /**
   * Saves `state` if it differs from the last one; it survives a power loss once the promise resolves. At every moment,
   * the directory has a complete state, either the old or the new one.
   * @throws KeyprovError `state-io`; then it is unknown which of the two states the directory has.
   */
  async save(state: Uint8Array): Promise<void> {
    if (this.#isSaved(state)) return;
    const next = copy(state);
    await writeWhole(this.directory, NAME, encodeStateFile(next)).catch(failed(this.directory));
    this.#saved = next;
  }

  /** Does the work of {@link save} synchronously, for a process that is exiting. @throws KeyprovError `state-io` */
  saveSync(state: Uint8Array): void {
    if (this.#isSaved(state)) return;
    const next = copy(state);
    stateIo(this.directory, () => writeWholeSync(this.directory, NAME, encodeStateFile(next)));
    this.#saved = next;
  }

  /** Removes what a process left that died while saving. @throws KeyprovError `state-io` */
  async sweep(): Promise<void> {
    // Thanks to the lock, nobody else writes here.
    await sweepLeftovers(this.directory, 0).catch(failed(this.directory));
  }

  /** Unlocks the directory. Idempotent. */
  close(): void {
    if (this.#lock === undefined) return;
    this.#lock.release();
    this.#lock = undefined;
  }

  #isSaved(state: Uint8Array): boolean {
    if (this.#lock === undefined) throw new TypeError(`the TPM state in ${this.directory} was closed`);
    return this.#saved !== undefined && equal(state, this.#saved);
  }
}

/** Checks that a TPM can be made in a directory, and leaves nothing there. @throws as {@link StateFile.open} does */
export function tryStateDirectory(directory: string): void {
  stateIo(directory, () => tryPrivateDirectory(directory));
}

async function lockDirectory(directory: string, tryLock: TryLock, options: StoreLockOptions): Promise<FileLock> {
  const take = async (): Promise<FileLock | Holder> =>
    stateIo(directory, () => takeKernelLock(join(directory, '.lock'), tryLock));
  const taken = await takeInTurn(take, options);
  if ('release' in taken) return taken;
  const holder = taken.pid === undefined ? 'this or another process' : `process ${taken.pid}`;
  throw new KeyprovError('state-in-use', `${directory} is already in use by a TPM of ${holder}`, {
    remedy: taken.pid === process.pid ? 'open the TPM once, and share it' : 'close that TPM, or use another directory',
  });
}

function readState(path: string): Bytes | undefined {
  const file = stateIo(path, () => readPrivateFile(path)?.bytes);
  // A new TPM may be made only if the file is missing: any other error may hide an existing state.
  return file && decodeStateFile(file, path);
}

function invalid(path: string, what: string, remedy = RESTORE): KeyprovError {
  return new KeyprovError('state-invalid', `${path} ${what}`, { remedy });
}

function ioError(path: string, cause: unknown): KeyprovError {
  if (isKeyprovError(cause)) return cause;
  const { what, remedy } = describeFileError(path, cause);
  return new KeyprovError('state-io', `the TPM state ${path} ${what}`, { cause, remedy });
}

const failed = (path: string) => (cause: unknown) => {
  throw ioError(path, cause);
};

const stateIo = <T>(path: string, work: () => T): T => rethrowAs(work, (cause) => ioError(path, cause));
