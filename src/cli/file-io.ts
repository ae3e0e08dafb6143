import { constants, createReadStream, fstat } from 'node:fs';
import { access, chmod, realpath, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { promisify } from 'node:util';
import { type Bytes, concat } from '../bytes.ts';
import { withCleanup } from '../errors.ts';
import { unlessAborted } from '../signal.ts';
import { removeIfThere, replaceBy, writeTemporary } from '../storage/atomic-file.ts';
import { errorCode, fileError, ignoring } from '../storage/file-error.ts';
import { type Arguments, UsageError } from './options/arguments.ts';

/**
 * Runs `work` on a file that the user named. It may be a pipe without a peer, so `signal` ends the wait. An error of the
 * file system becomes KeyprovError `store-io`.
 */
export async function fileIo<T>(path: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await unlessAborted(work, signal);
  } catch (cause) {
    throw fileError('store-io', path, cause);
  }
}

/**
 * Reads a file that the user named; `-` is standard input. Of one that is longer than `most`, reads just enough to show
 * that. @throws KeyprovError `store-io`; the reason of `signal`.
 */
export async function readNamed(path: string, signal: AbortSignal, most: number): Promise<Bytes> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of piecesOfNamed(path, signal, most)) {
    parts.push(part);
    length += part.length;
    if (length > most) break;
  }
  return concat(...parts);
}

/** Does the same piece by piece, so the file may be of any length. @throws like {@link readNamed}. */
export async function* piecesOfNamed(path: string, signal: AbortSignal, most?: number): AsyncGenerator<Uint8Array> {
  const stream = addAbortSignal(
    signal,
    path === '-' ? process.stdin : createReadStream(path, { end: most, highWaterMark: 2 ** 20 }),
  );
  const pieces: AsyncIterator<Uint8Array> = stream[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await fileIo(path === '-' ? 'standard input' : path, () => pieces.next(), signal);
      if (done === true) return;
      yield value;
    }
  } finally {
    stream.destroy();
  }
}

/** Checks that a file that the user named can be read, before a PIN is asked for. @throws KeyprovError `store-io` */
export async function checkInput(path: string): Promise<void> {
  if (path !== '-') await fileIo(path, () => access(path, constants.R_OK));
}

/**
 * Writes a result to a file that the user named: all of it, or the file stays as it was. Writes directly to anything that
 * is not a regular file, such as a pipe or `/dev/stdout`. @throws KeyprovError `store-io`; the reason of `signal`.
 */
export async function writeResult(path: string, data: Uint8Array | string, signal: AbortSignal): Promise<void> {
  const there = await fileIo(path, () => ifThere(stat(path)), signal);
  if (there?.isFile() === false) return await fileIo(path, () => writeFile(path, data), signal);
  // Without the signal, since an abort would leave a partial file.
  const mode = there === undefined ? 0o666 & ~process.umask() : there.mode & 0o7777;
  await fileIo(path, async () => {
    try {
      await writeWhole(there === undefined ? path : await realpath(path), data, mode);
    } catch (error) {
      if (there === undefined || !CANNOT_REPLACE.has(errorCode(error))) throw error;
      await writeFile(path, data);
    }
  });
}

/**
 * Checks that {@link writeResult} can write to the file of `--out`, before a PIN is tried or a TPM makes something that
 * would be lost. Leaves nothing behind. @throws KeyprovError `store-io`; UsageError if it would replace an input
 */
export async function checkOutput(given: Arguments): Promise<void> {
  const path = given.text('out');
  if (path === undefined) return;
  await fileIo(path, async () => {
    const there = await ifThere(stat(path));
    if (there === undefined) await removeIfThere(await writeTemporary(dirname(path), '', { durable: false }));
    else if (there.isDirectory()) await writeFile(path, '', { flag: 'r+' }); // fails, with the error of the system
  });
  await checkNoInput(path, given);
}

/** @throws UsageError if another option names the file that `--out` would replace */
async function checkNoInput(output: string, given: Arguments): Promise<void> {
  const identify = async (path: string): Promise<string | undefined> => {
    const there = await (path === '-' ? promisify(fstat)(0, BIG) : stat(path, BIG)).catch(() => undefined);
    return there?.isFile() ? `${there.dev} ${there.ino}` : undefined;
  };
  const own = await identify(output);
  if (own === undefined) return;
  for (const [option, path] of given.files()) {
    if (option !== '--out' && (await identify(path)) === own) {
      throw new UsageError([`--out would replace the file of ${option}: choose another file`]);
    }
  }
}

const BIG = { bigint: true } as const;

/** Errors if the file may be written but not its directory, or if the file is a mount point. */
const CANNOT_REPLACE: ReadonlySet<unknown> = new Set(['EACCES', 'EPERM', 'EROFS', 'EBUSY']);

async function writeWhole(path: string, data: Uint8Array | string, mode: number): Promise<void> {
  const temporary = await writeTemporary(dirname(path), data, { durable: false });
  await withCleanup(
    async () => {
      await chmod(temporary, mode);
      await replaceBy(temporary, path);
    },
    () => removeIfThere(temporary),
  );
}

/** Whether `path` exists. @throws KeyprovError `store-io` */
export async function exists(path: string): Promise<boolean> {
  return (await fileIo(path, () => ifThere(stat(path)))) !== undefined;
}

const ifThere = <T>(work: Promise<T>): Promise<T | undefined> => work.catch(ignoring('ENOENT', undefined));
