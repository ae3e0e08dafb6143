import { constants } from 'node:os';
import koffi from 'koffi';

/** LOCK_EX | LOCK_NB of flock(2); the same on Linux, macOS and the BSDs. */
const LOCK_EXCLUSIVE_AT_ONCE = 6;
const MFD_CLOEXEC = 1;

/** C library functions that Node.js does not offer. */
export interface Libc {
  /**
   * Locks the open file with flock(2) against every other opening of it, in this process too. The lock ends when the
   * descriptor is closed, even if the process is killed. Returns false if another opening has the lock.
   * @throws Error for every other failure; `code` is its name (`ENOLCK`).
   */
  tryLock(fd: number): boolean;
  /** Returns the descriptor of a new executable file in memory; undefined if the system has or allows none. */
  createMemoryFile(name: string): number | undefined;
  /** Closes a descriptor of `createMemoryFile`; Node.js warns if a worker closes one that it has not opened. */
  close(fd: number): void;
  /** Ends this process with all its threads, without waiting for any. */
  exitAtOnce(code: number): void;
  /** Address of a C function that may be called with any arguments, does nothing and returns 0. */
  readonly doNothing: bigint;
}

let loaded: Libc | undefined;

/** The version of koffi. */
export const koffiVersion: string = koffi.version;

/** Binds the C library of this process. @throws Error of koffi if this is not a Unix system. */
export function loadLibc(): Libc {
  loaded ??= bind();
  return loaded;
}

function bind(): Libc {
  const library = koffi.load(null);
  const flock = library.func('flock', 'int', ['int', 'int']);
  const memfdCreate =
    process.platform === 'linux' ? library.func('memfd_create', 'int', ['str', 'unsigned int']) : undefined;
  const exit = library.func('_exit', 'void', ['int']);
  const close = library.func('close', 'int', ['int']);
  return {
    tryLock(fd) {
      if (flock(fd, LOCK_EXCLUSIVE_AT_ONCE) === 0) return true;
      const errno = koffi.errno();
      if (errno === constants.errno.EWOULDBLOCK) return false;
      const code = Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
      throw Object.assign(new Error(`flock failed: ${code}`), { code });
    },
    createMemoryFile(name) {
      const fd: number = memfdCreate?.(name, MFD_CLOEXEC) ?? -1;
      return fd < 0 ? undefined : fd;
    },
    close(fd) {
      close(fd);
    },
    exitAtOnce(code) {
      exit(code);
    },
    // sched_yield(2) takes no arguments and always succeeds. In the calling conventions of all 64-bit systems the
    // caller removes the arguments, so a function can be given more of them than it reads.
    doNothing: library.symbol('sched_yield'),
  };
}
