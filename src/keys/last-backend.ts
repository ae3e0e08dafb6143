import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../storage/atomic-file.ts';
import { storeIo } from '../storage/file-error.ts';
import { readPrivateFile } from '../storage/private-files.ts';
import { decodeRecord, encodeRecord, type RecordFormat } from '../storage/record-file.ts';
import type { Backend } from './provider.ts';

/** Where the last key of a user was, which is no longer in the store. */
interface LastKey {
  readonly user: string;
  readonly backend: Backend;
  /** When that was noted, in ISO 8601. Absent in notes of version 1. */
  readonly noted?: string | undefined;
}

const LAST_KEY: RecordFormat<LastKey> = {
  format: 'keyprov-last-key',
  version: 2,
  what: 'record of the previous key',
  code: 'store-invalid',
  remedy: 'restore a copy of the file, or remove it, after which the next key may be a software key',
  toJson: ({ user, backend, noted }) => ({ user, backend, noted }),
  fromJson: (members) => ({
    user: members.text('user'),
    backend: members.oneOf('backend', ['tpm', 'software']),
    noted: new Date(members.text('noted')).toISOString(),
  }),
  older: (members) => ({ user: members.text('user'), backend: members.oneOf('backend', ['tpm', 'software']) }),
};

/** Notes the backend of a key before it leaves the store, so that its successor is not weaker by accident. */
export async function noteLastBackend(
  directory: string,
  user: string,
  backend: Backend,
  now: Date = new Date(),
): Promise<void> {
  await replaceFile(directory, fileName(user), encodeRecord(LAST_KEY, { user, backend, noted: now.toISOString() }));
}

/** Whether a user's note says `tpm` and is newer than a key of that time: then it outlives the key. */
export async function isNotedInTpmSince(directory: string, user: string, created: string): Promise<boolean> {
  const note = await readNote(directory, user);
  if (note?.backend !== 'tpm') return false;
  const path = join(directory, fileName(user));
  const noted = note.noted ?? (await storeIo(path, async () => (await stat(path)).mtime.toISOString()));
  return noted >= created;
}

/** Reads the noted backend; undefined if none was noted. @throws KeyprovError `store-invalid`, `store-io` */
export async function readLastBackend(directory: string, user: string): Promise<Backend | undefined> {
  return (await readNote(directory, user))?.backend;
}

async function readNote(directory: string, user: string): Promise<LastKey | undefined> {
  const path = join(directory, fileName(user));
  const file = await storeIo(path, async () => readPrivateFile(path));
  return file && decodeRecord(LAST_KEY, file.bytes.toString(), path);
}

const fileName = (user: string): string =>
  `last-${createHash('sha256').update(user.toLowerCase()).digest('hex').slice(0, 16)}.json`;
