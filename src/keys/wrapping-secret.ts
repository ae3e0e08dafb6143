import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Bytes, byteCount, checkObject, view, withSecret } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import { createFile } from '../storage/atomic-file.ts';
import { storeIo } from '../storage/file-error.ts';
import { readPrivateFile } from '../storage/private-files.ts';
import type { KeyStore } from './key-store.ts';

/** The file in the directory of a store that holds the secret of {@link readWrappingSecret}. */
export const WRAPPING_SECRET_FILE = 'wrapping.secret';
const SIZE = 32;

/** Options of {@link readWrappingSecret}. */
export interface WrappingSecretOptions {
  /** Makes a secret if the store has none. Default true. Use false for an existing key: a new secret cannot open it. */
  readonly create?: boolean | undefined;
}

/**
 * Reads the secret that encrypts a store's software keys without a PIN: 32 random bytes in a file next to the keys
 * (mode 0600), created by the first call. It protects copies of single key files, and backups without it, but not
 * against anyone who can read the directory. The caller wipes it.
 * @throws KeyprovError `store-invalid` if the file has another size, or is missing and must not be made; `not-private`
 * if others can read it; `store-io`
 */
export async function readWrappingSecret(store: KeyStore, options: WrappingSecretOptions = {}): Promise<Bytes> {
  checkObject(store, 'store', 'directory:string');
  const { create = true } = checkMembers('readWrappingSecret', options, 'create:boolean?');
  const path = join(store.directory, WRAPPING_SECRET_FILE);
  const read = () => storeIo(path, async () => readPrivateFile(path, { secret: true })?.bytes);
  let secret = await read();
  if (secret === undefined && create) {
    // or another process was faster
    await withSecret(randomBytes(SIZE), (fresh) => createFile(store.directory, WRAPPING_SECRET_FILE, fresh));
    secret = await read();
  }
  if (secret?.length === SIZE) return view(secret);
  const problem = secret === undefined ? 'is missing' : `has ${byteCount(secret.length)}, not ${SIZE}`;
  throw new KeyprovError('store-invalid', `the wrapping secret ${path} ${problem}`, {
    remedy: 'restore a copy: without it, all software keys without a PIN are lost',
  });
}
