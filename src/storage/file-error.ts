import { existsSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { KeyprovError } from '../errors.ts';

type Meaning = readonly [what: string, remedy: string];

const NO_DIRECTORY: Meaning = ['is not a directory', 'give the path of a directory'];
const NO_RIGHT: Meaning = ['cannot be accessed by this user', 'change its owner or mode, or run as another user'];
const FULL: Meaning = ['is on a full disk', 'free some space'];
const CHECK = 'check that the directory and its files belong to this user and that the disk has room';
const TOO_MANY: Meaning = [
  'cannot be opened: too many files are open',
  'close some files, or raise the limit (ulimit -n)',
];

/** What the codes of Node's errors mean, after the path that they are about. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOENT: ['does not exist', 'check the path'],
  EEXIST: NO_DIRECTORY, // only directories are made without regard to what is there
  ENOTDIR: NO_DIRECTORY,
  EISDIR: ['is a directory, not a file', 'give the path of a file'],
  EACCES: NO_RIGHT,
  EPERM: NO_RIGHT,
  EROFS: ['is on a read-only file system', 'use another path'],
  ENOSPC: FULL,
  EDQUOT: FULL,
  EFBIG: ['exceeds the largest allowed file size', 'raise the limit (ulimit -f)'],
  // Of readPrivateFile.
  ERR_FS_FILE_TOO_LARGE: ['has more than 1 MiB, the limit', 'find out what wrote it, then restore or remove it'],
  EMFILE: TOO_MANY,
  ENFILE: TOO_MANY,
  ELOOP: ['leads through too many symbolic links', 'use a path with fewer links'],
  ENAMETOOLONG: ['is too long for a path', 'use a shorter path'],
  EIO: ['is on a disk that reports errors', 'check the disk'],
};

export function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

/** For `catch`: returns `instead` for a Node error with that code; rethrows any other error. */
export function ignoring<T>(code: string, instead: T): (error: unknown) => T {
  return (error) => {
    if (errorCode(error) === code) return instead;
    throw error;
  };
}

/** Says in words what an error means that was met while using `path`, to follow that path, and what to do about it. */
export function describeFileError(path: string, error: unknown): { readonly what: string; readonly remedy: string } {
  const meaning = error instanceof Error && 'syscall' in error ? MEANINGS[String(errorCode(error))] : undefined;
  if (meaning === undefined) {
    return { what: `cannot be read or written: ${error instanceof Error ? error.message : error}`, remedy: CHECK };
  }
  const [what, remedy] = meaning;
  const found = pathOf(error) ?? path;
  if (meaning === NO_RIGHT && isMissing(found)) {
    const parent = existingPart(found);
    const make = 'make it as a user who may write there, and give it to this user; or use another path';
    return { what: `does not exist, and this user may not write to ${parent}`, remedy: make };
  }
  const where = meaning === NO_DIRECTORY ? existingPart(found) : found;
  if (where === path) return { what, remedy };
  return { what: `cannot be used: ${where} ${what}`, remedy: meaning === NO_DIRECTORY ? 'check the path' : remedy };
}

/** The path that an error is about. For a temporary file or directory that is its parent, which the user knows. */
function pathOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const path = 'dest' in error ? error.dest : 'path' in error ? error.path : undefined;
  if (typeof path !== 'string') return undefined;
  const isTemporary = basename(path).startsWith('.keyprov-') ? path.endsWith('.tmp') : path.endsWith('XXXXXX');
  return isTemporary ? dirname(path) : path;
}

/** Whether `path` exists. @throws the error of Node if the system does not say, as this user may not look there. */
export function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Whether the system says that nothing is at `path`. */
function isMissing(path: string): boolean {
  try {
    return !isThere(path);
  } catch {
    return false; // this user may not look there
  }
}

/** The longest beginning of a path that exists. */
function existingPart(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : existingPart(dirname(path));
}

/** An error of the file system as KeyprovError. Returns any other error as it is. */
export function fileError(code: 'store-io' | 'state-io', path: string, cause: unknown, whose = ''): unknown {
  if (errorCode(cause) === undefined || cause instanceof KeyprovError) return cause;
  const { what, remedy } = describeFileError(path, cause);
  return new KeyprovError(code, `${whose}${path} ${what}`, { cause, remedy });
}

/** Runs `work` on a key store, and turns an error of the file system into KeyprovError `store-io`. */
export async function storeIo<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw fileError('store-io', path, cause, 'the key store at ');
  }
}
