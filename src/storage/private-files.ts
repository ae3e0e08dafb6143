import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  readlinkSync,
  statSync,
} from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { KeyprovError } from '../errors.ts';
import { errorCode, fileIdentity } from './atomic-file.ts';
import { makeDirectory } from './make-directory.ts';
import { absolutePath } from './user-paths.ts';

/** Bits of a mode that let others write. */
const OTHERS_WRITE = 0o022;
/** Bits of a mode that let others do anything. */
const OTHERS = 0o077;
/** With the sticky bit, who may write in a directory may still not remove or rename what belongs to others. */
const STICKY = 0o1000;
/** How many links Linux follows. */
const MAX_LINKS = 40;
/** Longest file that is read, in bytes: a record has a few thousand. */
const MAX_SIZE = 1024 * 1024;

/**
 * Makes a directory (mode 0700) for files that others must neither read nor change, if it is missing, and checks the
 * one that is there. Its absolute path. Windows has neither owners nor modes that Node.js shows; there nothing is checked.
 * @throws KeyprovError `not-private` if it belongs to another user than this one or root, or if others may write in it,
 * or if others can choose which directory it is; the error of Node.
 */
export function openPrivateDirectory(directory: string): string {
  const path = absolutePath(directory);
  checkWayTo(path);
  makeDirectory(path);
  checkOwnerAndMode(path, statSync(path, { bigint: true }), OTHERS_WRITE);
  return path;
}

/** What {@link readPrivateFile} found. */
export interface PrivateFile {
  readonly bytes: Buffer;
  /** Which file it is. See {@link fileIdentity}. */
  readonly identity: string;
}

/**
 * Reads a file of a private directory; undefined if there is none. `secret` files must not be readable by others either.
 * @throws KeyprovError `not-private` as {@link openPrivateFile} does; the error of Node, also (`EFBIG`) for more than 1 MiB.
 */
export function readPrivateFile(
  path: string,
  { secret = false }: { readonly secret?: boolean } = {},
): PrivateFile | undefined {
  let fd: number;
  try {
    fd = openPrivateFile(path, constants.O_RDONLY, secret ? OTHERS : OTHERS_WRITE);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stats = fstatSync(fd, { bigint: true });
    if (stats.size > MAX_SIZE) {
      throw Object.assign(new Error(`${path} has ${stats.size} bytes; at most ${MAX_SIZE} are read`), {
        code: 'EFBIG',
      });
    }
    return { bytes: readFileSync(fd), identity: fileIdentity(stats) };
  } finally {
    closeSync(fd);
  }
}

/**
 * Opens a file of a private directory, which is made with mode 0600 if `flags` say so, without following a link and
 * without waiting for the other end of a pipe.
 * @throws KeyprovError `not-private` if it is not a regular file, belongs to another user than this one or root, or if
 * others have one of the rights in `forbidden`; the error of Node.
 */
export function openPrivateFile(path: string, flags: number, forbidden: number = OTHERS_WRITE): number {
  let fd: number;
  try {
    // Windows has neither of the two flags.
    fd = openSync(path, flags | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0), 0o600);
  } catch (error) {
    if (errorCode(error) === 'ELOOP') throw notPrivate(path, 'is a symbolic link', REMOVE, error);
    if (errorCode(error) === 'ENXIO') throw notPrivate(path, 'is not a regular file', REMOVE, error);
    throw error;
  }
  try {
    const stats = fstatSync(fd, { bigint: true });
    if (!stats.isFile()) throw notPrivate(path, 'is not a regular file', REMOVE);
    checkOwnerAndMode(path, stats, forbidden);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return fd;
}

/**
 * Follows a path as the system does, to where nothing is any more: links must be of this user or root, and where all may
 * write there must be a sticky bit.
 */
function checkWayTo(path: string): void {
  if (process.geteuid === undefined) return; // Windows
  let at = '/';
  let links = 0;
  const names = path.split('/');
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    if (name === '' || name === '.') continue;
    const { mode } = lstatSync(at);
    if ((mode & 0o002) !== 0 && (mode & STICKY) === 0) {
      throw notPrivate(at, `can be written by others (${modeText(mode)})`, `chmod o-w ${at}, or chmod +t ${at}`);
    }
    const next = name === '..' ? dirname(at) : join(at, name);
    const stats = lstatSync(next, { bigint: true, throwIfNoEntry: false });
    if (stats === undefined) return;
    if (!stats.isSymbolicLink()) {
      at = next;
      continue;
    }
    if (isForeign(stats.uid)) throw notPrivate(next, `is a symbolic link of user ${stats.uid}`, REMOVE);
    if (++links > MAX_LINKS) return; // the system says so to who goes there
    const target = readlinkSync(next);
    if (isAbsolute(target)) at = '/';
    names.unshift(...target.split('/'));
  }
}

const modeText = (mode: number): string => `mode ${(mode & 0o7777).toString(8).padStart(4, '0')}`;

/** Whether it is another user than this one and root. */
const isForeign = (uid: bigint): boolean => uid !== 0n && uid !== BigInt(process.geteuid?.() ?? 0);

function checkOwnerAndMode(path: string, { uid, mode }: BigIntStats, forbidden: number): void {
  const user = process.geteuid?.();
  if (user === undefined) return; // Windows
  if (isForeign(uid)) {
    throw notPrivate(
      path,
      `belongs to user ${uid}, and this process runs as user ${user}`,
      `run as that user, or chown ${user} ${path}`,
    );
  }
  if ((Number(mode) & forbidden) !== 0) {
    const right = forbidden === OTHERS ? 'read or written' : 'written';
    throw notPrivate(
      path,
      `can be ${right} by others (${modeText(Number(mode))})`,
      `chmod go-${forbidden === OTHERS ? 'rwx' : 'w'} ${path}`,
    );
  }
}

const REMOVE = 'look who put it there, and remove it';

function notPrivate(path: string, what: string, remedy: string, cause?: unknown): KeyprovError {
  return new KeyprovError('not-private', `${path} ${what}`, { remedy, cause });
}
