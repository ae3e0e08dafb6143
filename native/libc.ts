import { constants } from 'node:os';
import koffi from 'koffi';

/** LOCK_EX | LOCK_NB of flock(2); the same on Linux, macOS and the BSDs. */
const LOCK_EXCLUSIVE_AT_ONCE = 6;
const MFD_CLOEXEC = 1;

/** C library functions that Node.js lacks. */
export interface Libc {
  /**
   * Locks the open file with flock(2) against every other open descriptor, also in this process. The lock ends when the
   * descriptor is closed, even if the process is killed. Returns false if another descriptor holds the lock.
   * @throws Error for every other failure; `code` is the name, such as `ENOLCK`.
   */
  tryLock(fd: number): boolean;
  /** Returns the descriptor of a new executable file in memory; undefined if the system does not support or allow it. */
  createMemoryFile(name: string): number | undefined;
  /** Closes a descriptor from `createMemoryFile`. Node.js would warn if a worker closes one that it has not opened. */
  close(fd: number): void;
  /** Ends this process and all its threads at once. */
  exitAtOnce(code: number): void;
  /** Address of a C function that accepts any arguments, does nothing and returns 0. */
  readonly doNothing: bigint;
}

let loaded: Libc | undefined;

/** The version of koffi. */
export const koffiVersion: string = koffi.version;

/** Binds the C library of this process. @throws koffi's error if this is not a Unix system. */
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
    // sched_yield(2) has no parameters and always succeeds. On all 64-bit systems the caller removes the arguments, so
    // you can pass more arguments than a function reads.
    doNothing: library.symbol('sched_yield'),
  };
}
