import { join } from 'node:path';
import type { Option } from 'commander';
import { KeyprovError } from '../../errors.ts';
import { type KeyStore, openKeyStore } from '../../keys/key-store.ts';
import { absolutePath, userDirectory } from '../../storage/user-paths.ts';
import type { Context, Environment } from '../command.ts';
import type { Arguments } from './arguments.ts';
import { valueOption } from './value-option.ts';

/** The environment variable with the path of the key store, if `--store` is absent. */
const STORE_VARIABLE = 'KEYPROV_STORE';

/** The option `--store`. */
export function storeOption(): Option {
  return valueOption('--store <dir>', `key store (default: $${STORE_VARIABLE} or your own)`);
}

/** Opens the store that the arguments name. Makes it if it is missing. */
export async function openStore(given: Arguments, { environment }: Context): Promise<KeyStore> {
  return await openKeyStore(storePath(given, environment));
}

/** Opens a store that must exist. @throws KeyprovError `key-not-found` if it does not. */
export async function openExistingStore(given: Arguments, { environment }: Context): Promise<KeyStore> {
  return await openKeyStore(storePath(given, environment), { create: false });
}

/**
 * The absolute path of the store that the arguments name. The directory need not exist.
 * @throws KeyprovError `store-io` if they name none, and this user has no home directory.
 */
export function storePath(given: Arguments, environment: Environment): string {
  const path = knownStorePath(given, environment);
  if (path !== undefined) return path;
  throw new KeyprovError('store-io', 'the key store cannot be located: this user has no home directory', {
    remedy: `choose the store with --store or ${STORE_VARIABLE}, or set HOME`,
  });
}

/** The same as {@link storePath}, but undefined if there is no path. */
export function knownStorePath(given: Arguments, environment: Environment): string | undefined {
  const path = given.text('store') ?? (environment[STORE_VARIABLE] || defaultStore(environment));
  return path && absolutePath(path);
}

/** The default store below the user's data directory: XDG Base Directory Specification, or `LOCALAPPDATA` on Windows. */
function defaultStore({ LOCALAPPDATA: local, XDG_DATA_HOME: data }: Environment): string | undefined {
  const parent = userDirectory(process.platform === 'win32' ? local : data, ['.local', 'share']);
  return parent && join(parent, 'keyprov');
}
