import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  statSync,
} from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { KeyprovError } from '../errors.ts';
import { fileIdentity } from './atomic-file.ts';
import { errorCode, ignoring } from './file-error.ts';
import { makeDirectory } from './make-directory.ts';
import { shellWord } from './shell-word.ts';
import { absolutePath } from './user-paths.ts';

/** Mode bits that let others write. */
const OTHERS_WRITE = 0o022;
/** Mode bits that give others any right. */
const OTHERS = 0o077;
/** Sticky bit: users who may write in a directory still cannot remove or rename files of others. */
const STICKY = 0o1000;
/** How many links Linux follows. */
const MAX_LINKS = 40;
/** Size limit of a file, in bytes; a record has a few thousand. */
const MAX_SIZE = 1024 * 1024;

/**
 * Creates a directory (mode 0700) for files that others must neither read nor change, or checks an existing one.
 * Returns its absolute path. Checks nothing on Windows, where Node.js shows neither owners nor modes.
 * @throws KeyprovError `not-private` if it belongs to a user other than this one or root, if others may write in it, or
 * if others can choose which directory it is; the error of Node.
 */
export function openPrivateDirectory(directory: string): string {
  const path = absolutePath(directory);
  checkWayTo(path);
  makeDirectory(path);
  checkOwnerAndMode(path, statSync(path, { bigint: true }), OTHERS_WRITE);
  return path;
}

/**
 * Checks that {@link openPrivateDirectory} would succeed and that files can be made there. Only trying tells: some file
 * systems, such as /proc, refuse new directories to root as well. Leaves nothing behind.
 * @throws as {@link openPrivateDirectory} does.
 */
export function tryPrivateDirectory(directory: string): void {
  const path = absolutePath(directory);
  checkWayTo(path);
  let [at, missing] = [path, path];
  while (lstatSync(at, { throwIfNoEntry: false }) === undefined) [at, missing] = [dirname(at), at];
  if (at === path) checkOwnerAndMode(path, statSync(path, { bigint: true }), OTHERS_WRITE);
  try {
    rmdirSync(mkdtempSync(join(at, 'keyprov-')));
  } catch (error) {
    throw errorCode(error) === undefined ? error : Object.assign(Object(error), { path: missing });
  }
}

export interface PrivateFile {
  readonly bytes: Buffer;
  /** Identifies the file; see {@link fileIdentity}. */
  readonly identity: string;
}

/**
 * Reads a file of a private directory; undefined if there is none. A `secret` file must not be readable by others
 * either.
 * @throws KeyprovError `not-private` like {@link openPrivateFile}; the error of Node, also (`ERR_FS_FILE_TOO_LARGE`) for over 1 MiB.
 */
export function readPrivateFile(
  path: string,
  { secret = false }: { readonly secret?: boolean } = {},
): PrivateFile | undefined {
  let fd: number;
  try {
    fd = openPrivateFile(path, constants.O_RDONLY, secret ? OTHERS : OTHERS_WRITE);
  } catch (error) {
    return ignoring('ENOENT', undefined)(error);
  }
  try {
    const stats = fstatSync(fd, { bigint: true });
    if (stats.size > MAX_SIZE) {
      const error = new Error(`${path} has ${stats.size} bytes; the limit is ${MAX_SIZE}`);
      throw Object.assign(error, { code: 'ERR_FS_FILE_TOO_LARGE', syscall: 'read' });
    }
    return { bytes: readFileSync(fd), identity: fileIdentity(stats) };
  } finally {
    closeSync(fd);
  }
}

/**
 * Opens a file of a private directory, or creates it with mode 0600 if `flags` say so. Follows no link and does not
 * wait for the other end of a pipe.
 * @throws KeyprovError `not-private` if it is not a regular file, belongs to a user other than this one or root, or
 * gives others one of the rights in `forbidden`; the error of Node.
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
 * Follows a path as the system does, up to the first part that does not exist. Links must belong to this user or root,
 * and a world-writable directory needs the sticky bit.
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
      throw notPrivate(at, `is writable by other users (${modeText(mode)})`, 'choose a directory that is not below it');
    }
    const next = name === '..' ? dirname(at) : join(at, name);
    const stats = lstatSync(next, { bigint: true, throwIfNoEntry: false });
    if (stats === undefined) return;
    if (!stats.isSymbolicLink()) {
      at = next;
      continue;
    }
    if (isForeign(stats.uid)) throw notPrivate(next, `is a symbolic link owned by user ${stats.uid}`, REMOVE);
    if (++links > MAX_LINKS) return; // opening the path fails with the system's error
    const target = readlinkSync(next);
    if (isAbsolute(target)) at = '/';
    names.unshift(...target.split('/'));
  }
}

const modeText = (mode: number): string => `mode ${(mode & 0o7777).toString(8).padStart(4, '0')}`;

/** Tells whether this is neither the user of this process nor root. */
const isForeign = (uid: bigint): boolean => uid !== 0n && uid !== BigInt(process.geteuid?.() ?? 0);

function checkOwnerAndMode(path: string, stats: BigIntStats, forbidden: number): void {
  const user = process.geteuid?.();
  if (user === undefined) return; // Windows
  const { uid } = stats;
  const mode = Number(stats.mode);
  // Whatever else uses a directory might break.
  const unlessShared = stats.isDirectory() ? 'choose another directory, or, if only keyprov uses this one, ' : '';
  if (isForeign(uid)) {
    throw notPrivate(
      path,
      `belongs to user ${uid}, and this process runs as user ${user}`,
      `run as that user, ${unlessShared || 'or '}chown ${user} ${shellWord(path)}`,
    );
  }
  if ((mode & forbidden) !== 0) {
    const [right, rights] = forbidden === OTHERS ? ['readable or writable', 'rwx'] : ['writable', 'w'];
    // A sticky directory, such as /tmp, is meant to be shared.
    const isShared = (mode & STICKY) !== 0;
    throw notPrivate(
      path,
      `is ${right} by other users (${modeText(mode)})`,
      isShared ? 'choose another directory' : `${unlessShared}chmod go-${rights} ${shellWord(path)}`,
    );
  }
}

const REMOVE = 'find out who put it there, then remove it';

function notPrivate(path: string, what: string, remedy: string, cause?: unknown): KeyprovError {
  return new KeyprovError('not-private', `${path} ${what}`, { remedy, cause });
}
