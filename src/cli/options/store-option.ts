import { join } from 'node:path';
import type { Option } from 'commander';
import { KeyprovError } from '../../errors.ts';
import { type KeyStore, openKeyStore } from '../../keys/key-store.ts';
import { absolutePath, userDirectory } from '../../storage/user-paths.ts';
import type { Context, Environment } from '../command.ts';
import { exists } from '../file-io.ts';
import type { Arguments } from './arguments.ts';
import { valueOption } from './value-option.ts';

/** The environment variable that says where keys are kept, unless `--store` does. */
const STORE_VARIABLE = 'KEYPROV_STORE';

/** The option `--store`. */
export function storeOption(): Option {
  return valueOption('--store <dir>', `the key store (default: $${STORE_VARIABLE}, or yours)`);
}

/** Opens the store that the arguments name, which is made where it is missing. */
export async function openStore(given: Arguments, { environment }: Context): Promise<KeyStore> {
  return await openKeyStore(storePath(given, environment));
}

/** The same for a store that must be there. @throws KeyprovError `key-not-found` where it is not. */
export async function openExistingStore(given: Arguments, { environment }: Context): Promise<KeyStore> {
  const path = storePath(given, environment);
  if (await exists(path)) return await openKeyStore(path);
  throw new KeyprovError('key-not-found', `there is no key store at ${path}`, {
    remedy: 'name it with --store, or make a key with keyprov create or keyprov provision',
  });
}

/**
 * The directory that the arguments name, whether it is there or not: an absolute path.
 * @throws KeyprovError `store-io` if they name none, and this user has no home directory.
 */
export function storePath(given: Arguments, environment: Environment): string {
  const path = knownStorePath(given, environment);
  if (path !== undefined) return path;
  throw new KeyprovError('store-io', 'it cannot be said where your key store is: this user has no home directory', {
    remedy: `name the store with --store or ${STORE_VARIABLE}, or set HOME`,
  });
}

/** What {@link storePath} gives; undefined where it throws. */
export function knownStorePath(given: Arguments, environment: Environment): string | undefined {
  const path = given.text('store') ?? (environment[STORE_VARIABLE] || defaultStore(environment));
  return path && absolutePath(path);
}

/** Where programs of this system keep what is the user's. XDG Base Directory Specification; `LOCALAPPDATA` of Windows. */
function defaultStore({ LOCALAPPDATA: local, XDG_DATA_HOME: data }: Environment): string | undefined {
  const parent = userDirectory(process.platform === 'win32' ? local : data, ['.local', 'share']);
  return parent && join(parent, 'keyprov');
}
