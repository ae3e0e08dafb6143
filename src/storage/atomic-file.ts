import { randomUUID } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { closeSync, fsyncSync, openSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { link, lstat, open, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { withCleanup } from '../errors.ts';
import { errorCode, ignoring, storeIo } from './file-error.ts';

/** A temporary file at least this old, in milliseconds, was left behind by a process that died. */
const LEFTOVER_AGE = 60_000;

/** How long to retry on Windows if a file in use cannot be replaced, in milliseconds. */
const REPLACE_MS = 2_000;
/** Windows' error codes for that. */
const IN_USE: ReadonlySet<unknown> = new Set(['EPERM', 'EACCES', 'EBUSY']);

/**
 * Writes `data` atomically to a new file (mode 0600). Returns false if a file with that name exists. Durable.
 * @throws KeyprovError `store-io`
 */
export async function createFile(directory: string, name: string, data: string | Uint8Array): Promise<boolean> {
  return await storeIo(directory, async () => {
    const temporary = await writeTemporary(directory, data);
    const created = await withCleanup(
      () => link(temporary, join(directory, name)).then(() => true, ignoring('EEXIST', false)),
      () => removeIfThere(temporary),
    );
    if (created) await syncDirectory(directory);
    return created;
  });
}

/**
 * Replaces a file atomically: readers see either the complete old file or the complete new one. Durable. `data` can be
 * computed from the {@link fileIdentity} of the new file.
 */
export async function replaceFile(
  directory: string,
  name: string,
  data: string | Uint8Array | ((identity: string) => string),
): Promise<void> {
  await storeIo(directory, () => writeWhole(directory, name, data));
}

/** Does the work of {@link replaceFile}. @throws the error of Node */
export async function writeWhole(
  directory: string,
  name: string,
  data: Parameters<typeof replaceFile>[2],
): Promise<void> {
  const temporary = await writeTemporary(directory, data);
  await withCleanup(
    () => replaceBy(temporary, join(directory, name)),
    () => removeIfThere(temporary),
  );
  await syncDirectory(directory);
}

/**
 * Renames the file at `temporary` to `path`, replacing the old file. Windows refuses that while another process has the
 * old file open, such as a virus scanner: then tries again for two seconds.
 * @throws the error of Node
 */
export async function replaceBy(temporary: string, path: string): Promise<void> {
  for (const end = performance.now() + REPLACE_MS; ; await delay(1 + Math.random() * 20)) {
    try {
      return await rename(temporary, path);
    } catch (error) {
      if (!mayPass(error, end)) throw error;
    }
  }
}

function mayPass(error: unknown, end: number): boolean {
  return process.platform === 'win32' && IN_USE.has(errorCode(error)) && performance.now() < end;
}

/** Does the work of {@link writeWhole} synchronously, for a process that is exiting. @throws the error of Node */
export function writeWholeSync(directory: string, name: string, data: Uint8Array): void {
  const temporary = join(directory, temporaryName());
  try {
    withFile(temporary, 'wx', (fd) => {
      writeFileSync(fd, data);
      fsyncSync(fd);
    });
    replaceBySync(temporary, join(directory, name));
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // The first error counts; a later sweep removes the temporary file.
    }
    throw error;
  }
  if (process.platform !== 'win32') withFile(directory, 'r', fsyncSync);
}

function replaceBySync(temporary: string, path: string): void {
  for (const end = performance.now() + REPLACE_MS; ; ) {
    try {
      renameSync(temporary, path);
      return;
    } catch (error) {
      if (!mayPass(error, end)) throw error;
    }
  }
}

function withFile(path: string, flags: string, work: (fd: number) => void): void {
  const fd = openSync(path, flags, 0o600);
  try {
    work(fd);
  } finally {
    closeSync(fd);
  }
}

/** Returns a name for a temporary file that no other process uses. */
export function temporaryName(): string {
  return `.keyprov-${randomUUID()}.tmp`;
}

const TEMPORARY = /^\.keyprov-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/**
 * Identifies a file whatever its name: by its inode number and, on Linux, also by its time of birth, which nothing can
 * set (ext4 gives a freed inode number to the very next file). A renamed file keeps its identity; a copy has another.
 */
export function fileIdentity({ ino, birthtimeNs }: BigIntStats): string {
  return process.platform === 'linux' ? `${ino}-${birthtimeNs}` : `${ino}`;
}

/** Removes a file, durably. Returns false if there is none. @throws KeyprovError `store-io` */
export async function removeFile(directory: string, name: string): Promise<boolean> {
  return await storeIo(directory, async () => {
    const removed = await unlink(join(directory, name)).then(() => true, ignoring('ENOENT', false));
    if (removed) await syncDirectory(directory);
    return removed;
  });
}

/**
 * Removes the temporary files that dead processes of this user left in `directory`: only files with keyprov's names
 * that are older than a minute. @throws KeyprovError `store-io`
 */
export async function removeLeftovers(directory: string): Promise<void> {
  await storeIo(directory, () => sweepLeftovers(directory, LEFTOVER_AGE));
}

/** Does the work of {@link removeLeftovers} for files older than `age` milliseconds. @throws the error of Node */
export async function sweepLeftovers(directory: string, age: number): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!TEMPORARY.test(name)) continue;
    const path = join(directory, name);
    const stats = await lstat(path).catch(ignoring('ENOENT', undefined));
    const isOurs = stats?.isFile() === true && (process.getuid === undefined || stats.uid === process.getuid());
    if (isOurs && Date.now() - stats.mtimeMs >= age) await removeIfThere(path);
  }
}

/**
 * Writes a file (mode 0600) under a temporary name; the caller renames or removes it.
 * @returns its path. @throws the error of Node, and then there is no file.
 */
export async function writeTemporary(
  directory: string,
  data: Parameters<typeof replaceFile>[2],
  { durable = true }: { readonly durable?: boolean } = {},
): Promise<string> {
  const path = join(directory, temporaryName());
  try {
    const file = await open(path, 'wx', 0o600);
    await withCleanup(
      async () => {
        await file.writeFile(typeof data === 'function' ? data(fileIdentity(await file.stat({ bigint: true }))) : data);
        if (durable) await file.sync();
      },
      () => file.close(),
    );
  } catch (error) {
    await removeIfThere(path).catch(() => undefined); // the first error counts; a later sweep removes the file
    throw error;
  }
  return path;
}

export async function removeIfThere(path: string): Promise<void> {
  await unlink(path).catch(ignoring('ENOENT', undefined));
}

/** Syncs a directory: a new name is durable only after that. Windows lacks this call and does not need it. */
export async function syncDirectory(directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(directory);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
