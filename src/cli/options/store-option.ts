import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Option } from 'commander';
import { KeyprovError } from '../../errors.ts';
import { type KeyStore, openKeyStore } from '../../keys/key-store.ts';
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

/** The directory that the arguments name, whether it is there or not: an absolute path. */
export function storePath(given: Arguments, environment: Environment): string {
  return resolve(given.text('store') ?? (environment[STORE_VARIABLE] || defaultStore(environment)));
}

/** Where programs of this system keep what is the user's. XDG Base Directory Specification; `LOCALAPPDATA` of Windows. */
function defaultStore({ LOCALAPPDATA: local, XDG_DATA_HOME: data }: Environment): string {
  if (process.platform === 'win32' && local) return join(local, 'keyprov');
  return join(data || join(homedir(), '.local', 'share'), 'keyprov');
}
