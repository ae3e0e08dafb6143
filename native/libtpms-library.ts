import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import koffi, { type LibraryHandle, type TypeObject } from 'koffi';
import { type Libc, loadLibc } from './libc.ts';
import { uniqueTypeName } from './type-name.ts';

/** 0.9.0 in the encoding of TPMLIB_GetVersion: major, minor and micro number from the most significant byte. */
const OLDEST_VERSION = 0x000900;

/** Why libtpms cannot be used: wrong library or too old, already in use, or it refuses the state. */
export type LibtpmsFailure = 'unsuitable' | 'in-use' | 'state-refused';

/** A failure of libtpms itself, as opposed to an error answer from its TPM. */
export class LibtpmsError extends Error {
  readonly reason: LibtpmsFailure;

  constructor(reason: LibtpmsFailure, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'LibtpmsError';
    this.reason = reason;
  }
}

/** struct libtpms_callbacks of tpm_library.h. */
export const Callbacks: TypeObject = koffi.struct(uniqueTypeName('libtpms_callbacks'), {
  sizeOfStruct: 'int',
  init: 'void *',
  loaddata: 'void *',
  storedata: 'void *',
  deletename: 'void *',
  ioInit: 'void *',
  getlocality: 'void *',
  getphysicalpresence: 'void *',
});

type KoffiFunction = ReturnType<LibraryHandle['func']>;

/** The functions of one loaded libtpms, named as in tpm_library.h without the prefix. */
export interface LibtpmsLibrary {
  /** For example `0.9.2`. */
  readonly version: string;
  readonly chooseTPMVersion: KoffiFunction;
  readonly registerCallbacks: KoffiFunction;
  readonly mainInit: KoffiFunction;
  readonly process: KoffiFunction;
  readonly getState: KoffiFunction;
  readonly cancelCommand: KoffiFunction;
  readonly terminate: KoffiFunction;
  readonly setDebugFD: KoffiFunction;
  readonly malloc: KoffiFunction;
  readonly free: KoffiFunction;
  /** Unloads the library. Call no function afterwards. */
  unload(): void;
}

/**
 * Loads a private copy of the library at `path`. If the system has no executable memory files, loads the library itself,
 * which the entire process shares.
 * @throws LibtpmsError `unsuitable`
 */
export function loadLibrary(path: string): LibtpmsLibrary {
  try {
    const { library, unload } = loadImage(loadLibc(), path);
    try {
      return { ...bind(library, path), unload };
    } catch (error) {
      unload();
      throw error;
    }
  } catch (error) {
    if (error instanceof LibtpmsError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new LibtpmsError('unsuitable', `${path} cannot be used as libtpms: ${reason}`, error);
  }
}

/** A library loaded into this process. */
interface Image {
  readonly library: LibraryHandle;
  unload(): void;
}

function loadImage(libc: Libc, path: string): Image {
  // Without `deep` (RTLD_DEEPBIND), libtpms and libcrypto would use the OpenSSL inside Node.js, which may be a version with
  // different structures.
  const options = { deep: true };
  // A path with a slash, because for a bare name the loader would return a copy that is already loaded.
  const file = realpathSync(path);
  const fd = libc.createMemoryFile('libtpms');
  if (fd !== undefined) {
    try {
      writeFileSync(fd, readFileSync(file));
      const library = koffi.load(`/proc/self/fd/${fd}`, options);
      // The descriptor stays open while the copy is loaded: the loader compares names, and would mistake the next file with
      // the same descriptor number for this one.
      const unload = () => {
        library.unload();
        libc.close(fd);
      };
      return { library, unload };
    } catch {
      // No /proc, or a security policy forbids it. Next comes the library itself, whose failure is reported.
      libc.close(fd);
    }
  }
  const library = koffi.load(file, options);
  return { library, unload: () => library.unload() };
}

function bind(library: LibraryHandle, path: string): Omit<LibtpmsLibrary, 'unload'> {
  const number: number = library.func('TPMLIB_GetVersion', 'uint32_t', [])();
  const version = [number >>> 16, (number >>> 8) & 0xff, number & 0xff].join('.');
  if (number < OLDEST_VERSION) {
    throw new LibtpmsError('unsuitable', `${path} is libtpms ${version}; 0.9.0 or newer is needed`);
  }
  return {
    version,
    chooseTPMVersion: library.func('TPMLIB_ChooseTPMVersion', 'uint32_t', ['int']),
    registerCallbacks: library.func('TPMLIB_RegisterCallbacks', 'uint32_t', [koffi.pointer(Callbacks)]),
    mainInit: library.func('TPMLIB_MainInit', 'uint32_t', []),
    process: library.func('TPMLIB_Process', 'uint32_t', ['void *', 'void *', 'void *', 'void *', 'uint32_t']),
    getState: library.func('TPMLIB_GetState', 'uint32_t', ['int', 'void *', 'void *']),
    cancelCommand: library.func('TPMLIB_CancelCommand', 'uint32_t', []),
    terminate: library.func('TPMLIB_Terminate', 'void', []),
    setDebugFD: library.func('TPMLIB_SetDebugFD', 'void', ['int']),
    malloc: library.func('TPM_Malloc', 'uint32_t', ['void *', 'uint32_t']),
    free: library.func('TPM_Free', 'void', ['void *']),
  };
}
