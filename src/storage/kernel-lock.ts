import { randomUUID } from 'node:crypto';
import { closeSync, constants, fstatSync, ftruncateSync, lstatSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { type Holder, readHolder } from './lock-holder.ts';
import { openPrivateFile } from './private-files.ts';

const { O_RDWR, O_CREAT, O_APPEND } = constants;

/** Locks an open file against every other opening of it. Returns false if another one has the lock. */
export type TryLock = (fd: number) => boolean;

/** A lock that this process holds. */
export interface FileLock {
  /** Releases the lock; with `remove` also removes the file. Idempotent. */
  release(options?: { readonly remove?: boolean | undefined }): void;
}

/**
 * Takes the lock of a file at once, or returns its holder. The kernel releases it when the process ends, however it
 * ends and in whatever container it runs. The file names the holder; it is created (mode 0600) if missing.
 * @throws KeyprovError `not-private`; the error of Node, or of `tryLock`.
 */
export function takeKernelLock(path: string, tryLock: TryLock): FileLock | Holder {
  for (;;) {
    const fd = openPrivateFile(path, O_RDWR | O_CREAT | O_APPEND);
    try {
      if (!tryLock(fd)) {
        const holder = readHolder(readFileSync(fd, 'utf8'));
        closeSync(fd);
        return holder;
      }
      if (isAt(path, fd)) {
        nameHolder(fd);
        return lockOf(path, fd);
      }
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd); // the previous holder has removed the file meanwhile
  }
}

/** On a full disk the lock has no name, so that what the disk did not take can be removed under the lock. */
function nameHolder(fd: number): void {
  ftruncateSync(fd);
  try {
    writeSync(fd, `${JSON.stringify({ pid: process.pid, token: randomUUID() })}\n`);
  } catch {
    // Only messages and time-outs use the name.
  }
}

function lockOf(path: string, fd: number): FileLock {
  let held = true;
  return {
    release({ remove = false } = {}) {
      if (!held) return;
      held = false;
      try {
        if (!remove) ftruncateSync(fd);
        else if (isAt(path, fd)) rmSync(path, { force: true });
      } finally {
        closeSync(fd);
      }
    },
  };
}

/** Tells whether the path still leads to that open file. */
function isAt(path: string, fd: number): boolean {
  const open = fstatSync(fd, { bigint: true });
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return found?.ino === open.ino && found.dev === open.dev;
}
