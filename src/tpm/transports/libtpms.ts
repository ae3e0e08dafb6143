import type { Libtpms } from '../../../native/libtpms.ts';
import type { LibtpmsError, LibtpmsFailure } from '../../../native/libtpms-library.ts';
import type { Bytes } from '../../bytes.ts';
import { KeyprovError, type PlainErrorCode } from '../../errors.ts';
import { passingFailure } from '../../storage/load-failure.ts';
import { absolutePath } from '../../storage/user-paths.ts';
import { refuseOnWindows } from '../../storage/windows.ts';
import { checkAnswerFrame, checkCommandFrame } from '../frame.ts';
import { StateFile } from '../state-file.ts';
import type { PowerCycling, TpmTransport } from '../transport.ts';
import { TransportLife } from './life.ts';
import { cannotLoad, loadNative } from './load-native.ts';

export interface LibtpmsOptions {
  /** Where the TPM keeps its state; made if missing. Absent: in memory, and lost with the transport. */
  readonly directory?: string | undefined;
  /** Makes a TPM if the directory has none. Default true. */
  readonly create?: boolean | undefined;
  /**
   * Path of libtpms. Absent: the environment variable `KEYPROV_LIBTPMS`, else the directories where distributions put
   * it.
   */
  readonly library?: string | undefined;
  /** Ends the wait for the directory; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Maximum time to wait for the directory while another TPM uses it, in milliseconds. Default: 10,000; 0 tries once.
   * The time restarts each time another TPM takes the directory.
   */
  readonly lockTimeoutMs?: number | undefined;
  /**
   * The permanent state to start from, as returned by `exportState`. Not together with `directory`. Absent: a new TPM.
   */
  readonly state?: Uint8Array | undefined;
}

/** A TPM inside this process. It is dead after a `state-io` error, because its state on disk is then unknown. */
export interface LibtpmsTransport extends TpmTransport, PowerCycling, AsyncDisposable {
  readonly kind: 'libtpms';
  readonly emulator: true;
  readonly managed: false;
  /**
   * Does the work of `send` synchronously, for a process that is exiting. Returns undefined, and sends nothing, while
   * another command runs or if the transport is dead or closed.
   * @throws KeyprovError with `state-io`, `transport-lost` or `transport-protocol`.
   */
  sendSync(command: Uint8Array): Bytes | undefined;
  /** Returns the permanent state, which this TPM keeps without power, including its seeds. Not while a command runs. */
  exportState(): Bytes;
}

/**
 * Starts a TPM 2.0 of libtpms (0.9 or newer) inside this process.
 *
 * On Linux, every TPM has its own copy of the library, so a process can have any number of them, in all threads. On
 * other systems, a process can have one at a time. A running command occupies one thread of libuv's pool, which has
 * four threads unless the environment variable `UV_THREADPOOL_SIZE` changes that.
 * @throws KeyprovError with `library-missing`, `library-unsuitable`, `state-in-use`, `state-invalid`, `state-io`,
 * `not-private`, `transport-busy` if the only TPM of the process is in use, or `no-tpm` if there is none and
 * `create` is false.
 */
export async function openLibtpms(options: LibtpmsOptions = {}): Promise<LibtpmsTransport> {
  const { directory, create, library, state, signal, lockTimeoutMs } = options;
  if (directory !== undefined && state !== undefined) {
    throw new TypeError('libtpms: pass either state or directory, not both');
  }
  const address = `libtpms:${directory === undefined ? ':memory:' : absolutePath(directory)}`;
  const native = await loadLibtpms(address);
  const path = findPath(native, address, library);
  let tpm: Libtpms | undefined;
  let file: StateFile | undefined;
  try {
    if (directory !== undefined) {
      file = await StateFile.open(directory, native.loadLibc().tryLock, { create, signal, timeout: lockTimeoutMs });
      await file.sweep();
    }
    tpm = new native.Libtpms(path);
    tpm.boot(file?.state ?? state);
    await file?.save(tpm.state());
    return transportTo(address, tpm, file);
  } catch (error) {
    tpm?.unload();
    file?.close();
    if (error instanceof native.LibtpmsError) throw openingError(address, path, error);
    throw error;
  }
}

/**
 * Finds the libtpms that {@link openLibtpms} uses by default, and its version.
 * @throws KeyprovError with `library-missing` or `library-unsuitable`.
 */
export async function locateLibtpms(): Promise<{ readonly path: string; readonly version: string }> {
  const address = 'libtpms';
  const native = await loadLibtpms(address);
  const path = findPath(native, address, undefined);
  try {
    const library = native.loadLibrary(path);
    library.unload();
    return { path, version: library.version };
  } catch (error) {
    if (error instanceof native.LibtpmsError) throw openingError(address, path, error);
    throw error;
  }
}

async function loadLibtpms(address: string) {
  refuseOnWindows(`${address}: libtpms`);
  return await loadNative(address, async () => {
    const [{ loadLibc }, { LibtpmsError, loadLibrary }, { findLibtpms, Libtpms }] = await Promise.all([
      import('../../../native/libc.ts'),
      import('../../../native/libtpms-library.ts'),
      import('../../../native/libtpms.ts'),
    ]);
    return { loadLibc, findLibtpms, LibtpmsError, loadLibrary, Libtpms };
  });
}

function findPath(
  native: Awaited<ReturnType<typeof loadLibtpms>>,
  address: string,
  chosen: string | undefined,
): string {
  const { path, tried } = native.findLibtpms(chosen);
  if (path !== undefined) return path;
  for (const one of tried) {
    const passing = passingFailure(undefined, one);
    if (passing !== undefined) throw cannotLoad(address, one, passing);
  }
  throw new KeyprovError('library-missing', `${address}: libtpms was not found (tried ${tried.join(', ')})`, {
    remedy: 'install it (Debian: apt-get install libtpms0), or set KEYPROV_LIBTPMS to the path of the library',
  });
}

const OPENING_ERRORS: Readonly<Record<LibtpmsFailure, readonly [code: PlainErrorCode, remedy: string]>> = {
  unsuitable: ['library-unsuitable', 'install libtpms 0.9 or newer (Debian: apt-get install libtpms0)'],
  'in-use': ['transport-busy', "close this process's other TPM: on this system, a process can open only one at a time"],
  'state-refused': ['state-invalid', 'restore a copy of the state, or use the version of libtpms that wrote it'],
};

function openingError(address: string, path: string, cause: LibtpmsError): KeyprovError {
  const passing = cause.reason === 'unsuitable' ? passingFailure(cause.cause, path) : undefined;
  if (passing !== undefined) return cannotLoad(address, path, passing);
  const [code, remedy] = OPENING_ERRORS[cause.reason];
  return new KeyprovError(code, `${address}: ${cause.message}`, { cause, remedy });
}

/**
 * How often a cancellation is repeated, in milliseconds. libtpms drops one that comes before the command begins on its
 * thread.
 */
const CANCEL_INTERVAL_MS = 5;

function transportTo(address: string, tpm: Libtpms, file: StateFile | undefined): LibtpmsTransport {
  const life = new TransportLife(address, () => true);
  const exchange = async (command: Uint8Array, signal: AbortSignal | undefined): Promise<Bytes> => {
    const processing = tpm.process(command);
    const stopCanceling = cancelWhenAborted(tpm, signal);
    try {
      const answer = await processing;
      checkAnswerFrame(answer, address);
      // The caller may rely on the response only if what it says would survive a power loss.
      await file?.save(tpm.state());
      return answer;
    } finally {
      stopCanceling();
    }
  };
  const free = async (): Promise<void> => {
    try {
      tpm.unload();
    } finally {
      file?.close();
    }
  };
  const close = (): Promise<void> => life.close(free);
  return {
    ...{ kind: 'libtpms', address, emulator: true, managed: false },
    send: (command, options = {}) => life.send(command, options, () => exchange(command, options.signal)),
    sendSync(command) {
      checkCommandFrame(command);
      if (life.obstacle !== undefined) return undefined;
      try {
        const answer = tpm.processSync(command);
        checkAnswerFrame(answer, address);
        file?.saveSync(tpm.state());
        return answer;
      } catch (error) {
        throw life.die(error);
      }
    },
    exportState() {
      life.requireIdle();
      return tpm.state();
    },
    async powerCycle() {
      life.requireIdle();
      try {
        const state = tpm.state();
        tpm.powerOff();
        tpm.boot(state);
      } catch (error) {
        throw life.die(error);
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function cancelWhenAborted(tpm: Libtpms, signal: AbortSignal | undefined): () => void {
  let timer: NodeJS.Timeout | undefined;
  const cancel = () => {
    tpm.cancel();
    timer = setInterval(() => tpm.cancel(), CANCEL_INTERVAL_MS);
  };
  if (signal?.aborted) cancel();
  else signal?.addEventListener('abort', cancel, { once: true });
  return () => {
    signal?.removeEventListener('abort', cancel);
    clearInterval(timer);
  };
}
