import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Option } from 'commander';
import { KeyprovError } from '../../errors.ts';
import { type KeyStore, openKeyStore } from '../../keys/key-store.ts';
import { listRegistrations, type RegisteredRecord } from '../../provisioning/registration-record.ts';
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

/** The options that say which key of the store is meant. */
export function keyOptions(): Option[] {
  return [
    valueOption('--user <name>', 'whose key (default: the only one)'),
    valueOption('--device-id <guid>', 'the key of which device'),
  ];
}

/** Opens the store that the arguments name, which is made where it is missing. */
export async function openStore(given: Arguments, { environment }: Context): Promise<KeyStore> {
  return await openKeyStore(storePath(given, environment));
}

/** The same for a store that must be there. @throws KeyprovError `key-not-found` where it is not. */
export async function openExistingStore(given: Arguments, { environment }: Context): Promise<KeyStore> {
  const path = resolve(storePath(given, environment));
  if (await exists(path)) return await openKeyStore(path);
  throw new KeyprovError('key-not-found', `there is no key store at ${path}`, {
    remedy: 'name it with --store, or run keyprov provision',
  });
}

const storePath = (given: Arguments, environment: Environment): string =>
  given.text('store') ?? (environment[STORE_VARIABLE] || defaultStore(environment));

/** Where programs of this system keep what is the user's. XDG Base Directory Specification; `LOCALAPPDATA` of Windows. */
function defaultStore({ LOCALAPPDATA: local, XDG_DATA_HOME: data }: Environment): string {
  if (process.platform === 'win32' && local) return join(local, 'keyprov');
  return join(data || join(homedir(), '.local', 'share'), 'keyprov');
}

/**
 * The one registered key that is meant.
 * @throws KeyprovError `key-not-found` where there is none, or more than one: the message says which.
 */
export async function findKey(
  store: KeyStore,
  of: { readonly user: string | undefined; readonly deviceId: string | undefined },
): Promise<RegisteredRecord> {
  const [first, ...others] = await listRegistrations(store, of);
  if (first !== undefined && others.length === 0) return first;
  const whose = [of.user && `of ${of.user}`, of.deviceId && `on ${of.deviceId}`].filter(Boolean).join(' ');
  if (first === undefined) {
    throw new KeyprovError('key-not-found', `${store.directory} has no registered key ${whose}`.trimEnd(), {
      remedy: 'run keyprov status to see what it has',
    });
  }
  const all = [first, ...others].map(({ registration: { user, deviceId } }) => `${user} on ${deviceId}`);
  throw new KeyprovError('key-not-found', `${store.directory} has more than one such key: ${all.join(', ')}`, {
    remedy: 'name one with --user and --device-id',
  });
}
