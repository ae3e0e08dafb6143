import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeTemporary } from '../../../src/storage/atomic-file.ts';
import { describeFileError, fileError } from '../../../src/storage/file-error.ts';
import { makeDirectory } from '../../../src/storage/make-directory.ts';
import { readPrivateFile } from '../../../src/storage/private-files.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'keyprov-file-error-'));
  mkdirSync(join(root, 'directory'));
  writeFileSync(join(root, 'file'), '');
  symlinkSync('loop', join(root, 'loop'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** The message of the error in `work`, without the test's directory. */
async function said(path: string, work: (path: string) => unknown): Promise<string> {
  const full = join(root, path);
  try {
    await work(full);
  } catch (error) {
    return describeFileError(full, error).what.replaceAll(root, '.');
  }
  return 'nothing';
}

describe('describeFileError', () => {
  it.each([
    ['missing', readFile, 'does not exist'],
    ['directory', readFile, 'is a directory, not a file'],
    ['loop/x', readFile, 'leads through too many symbolic links'],
    ['file', makeDirectory, 'is not a directory'],
    ['file/a/b', readFile, 'cannot be used: ./file is not a directory'],
    ['file/a/b', makeDirectory, 'cannot be used: ./file is not a directory'],
    ['missing', (path: string) => writeTemporary(path, ''), 'does not exist'],
    ['x'.repeat(300), readFile, 'is too long for a path'],
  ])('explains the problem with %.20s', async (path, work, expected) => {
    expect(await said(path, work)).toBe(expected);
  });

  it.each([
    ['new', 'new', 'does not exist, and this user may not write to .'],
    ['new/keys', 'new', 'does not exist, and this user may not write to .'],
    ['directory', 'directory', 'cannot be accessed by this user'],
    ['directory/keys', 'directory', 'cannot be used: ./directory cannot be accessed by this user'],
  ])('says of %s whether %s is missing or closed', async (path, at, expected) => {
    const denied = Object.assign(new Error('EACCES'), { code: 'EACCES', syscall: 'mkdir', path: join(root, at) });
    expect(await said(path, () => Promise.reject(denied))).toBe(expected);
  });

  it('keeps the words of errors that it does not know', async () => {
    const fail = () => Promise.reject(new Error('the disk is on fire'));
    expect(await said('file', fail)).toBe('cannot be read or written: the disk is on fire');
  });

  it('does not blame the disk for a private file that is too large', () => {
    const path = join(root, 'large');
    writeFileSync(path, new Uint8Array(1024 * 1024 + 1), { mode: 0o600 });
    expect(() => {
      try {
        readPrivateFile(path);
      } catch (error) {
        throw fileError('store-io', path, error);
      }
    }).toThrow(
      expect.objectContaining({
        ...{ code: 'store-io', message: `${path} has more than 1 MiB, the limit` },
        remedy: 'find out what wrote it, then restore or remove it',
      }),
    );
  });
});
