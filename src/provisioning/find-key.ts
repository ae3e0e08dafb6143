import { toBase64, toBase64Url, toHex } from '../bytes.ts';
import { isKeyprovError, KeyprovError } from '../errors.ts';
import { keyIdOf } from '../formats/windows/key-registration.ts';
import { isRecordId, type KeyRecord } from '../keys/key-record.ts';
import { checkStore, type KeyStore } from '../keys/key-store.ts';
import { readLastBackend } from '../keys/last-backend.ts';
import type { Backend } from '../keys/provider.ts';
import { checkMembers } from '../known-members.ts';
import { shellWord } from '../storage/shell-word.ts';
import { isSame, listRegistrations, type RegistrationRecord, readRegistration } from './registration-record.ts';

/** Selects a key of a store. Absent members match every key. */
export interface KeyChoice {
  /** The id of the record, or the Key ID of the key in base64, base64url or hexadecimal. */
  readonly id?: string | undefined;
  /** User principal name, in any case. */
  readonly user?: string | undefined;
  /** GUID of the device, in any case. */
  readonly deviceId?: string | undefined;
}

/** A key of a store. */
export interface FoundKey {
  readonly record: KeyRecord;
  /** Absent if the key is not registered. */
  readonly registration?: RegistrationRecord | undefined;
  /** Other matching keys, which are not registered. Only if this key is registered. */
  readonly others: readonly KeyRecord[];
}

/**
 * Finds the matching keys of a store, registered or not. Reports a damaged record only if no other key matches.
 * @throws KeyprovError `store-invalid` or `not-private` for a damaged record; `store-io`; RangeError for an `id` that no
 * record can have; TypeError for an unknown member of the choice.
 */
export async function findKeys(store: KeyStore, choice: KeyChoice = {}): Promise<Omit<FoundKey, 'others'>[]> {
  checkStore('findKeys', store);
  return await keysOf(store, checkMembers('findKeys', choice, CHOICE));
}

const CHOICE = 'id:text? user:text? deviceId:text?';

async function keysOf(store: KeyStore, choice: KeyChoice): Promise<Omit<FoundKey, 'others'>[]> {
  const { id, user, deviceId } = choice;
  if (id !== undefined && (isRecordId(id) || !mayBeKeyId(id))) {
    const record = await store.load(id).catch((error: unknown) => {
      if (isKeyprovError(error, 'key-not-found')) return undefined;
      throw error;
    });
    if (record !== undefined)
      return [{ record, registration: readRegistration(record) }].filter((found) =>
        isChosen(found, { user, deviceId }),
      );
    if (!mayBeKeyId(id)) return [];
  }
  const { keys, damaged } = await listKeys(store);
  const fitting = keys.filter((found) => isChosen(found, choice));
  const [first] = damaged;
  if (first !== undefined && fitting.length === 0) throw first;
  return fitting;
}

export async function listKeys(
  store: KeyStore,
): Promise<{ readonly keys: readonly Omit<FoundKey, 'others'>[]; readonly damaged: readonly KeyprovError[] }> {
  const list = await store.list();
  const damaged = [...list.damaged];
  const keys = list.records.flatMap((record) => {
    try {
      return [{ record, registration: readRegistration(record) }];
    } catch (error) {
      if (!isKeyprovError(error, 'store-invalid')) throw error;
      damaged.push(error);
      return [];
    }
  });
  return { keys, damaged };
}

/**
 * Finds the one matching key. If several match and one of them is registered, returns that one.
 * @throws KeyprovError `key-not-found`; `key-ambiguous` if several match; else as {@link findKeys}.
 */
export async function findKey(store: KeyStore, choice: KeyChoice = {}): Promise<FoundKey> {
  checkStore('findKey', store);
  choice = checkMembers('findKey', choice, CHOICE);
  const found = await keysOf(store, choice);
  const registered = found.filter(({ registration }) => registration !== undefined);
  const [only, ...rest] = registered.length > 0 ? registered : found;
  if (only === undefined) {
    const { id, user, deviceId } = choice;
    const whose = [id && ` ${id}`, user && ` of ${user}`, deviceId && ` on ${deviceId}`].filter(Boolean).join('');
    const inStore = ` --store ${shellWord(store.directory)}`;
    throw new KeyprovError('key-not-found', `the key store at ${store.directory} has no key${whose}`, {
      remedy: `list the store's keys (keyprov status${inStore}), or make a key (keyprov provision, or keyprov create${inStore} without a service)`,
    });
  }
  if (rest.length > 0) {
    const named = ({ id, name }: KeyRecord) => (name === id ? id : `${id} (${name})`);
    const all = [only, ...rest].map(({ record }) => named(record)).join(', ');
    throw new KeyprovError('key-ambiguous', `several keys in the key store at ${store.directory} match: ${all}`, {
      remedy: 'select one by user and device, or by its id',
    });
  }
  return { ...only, others: found.filter(({ record }) => record.id !== only.record.id).map(({ record }) => record) };
}

export function isChosen(
  { record, registration }: Pick<FoundKey, 'record' | 'registration'>,
  { id, user, deviceId }: KeyChoice,
): boolean {
  const isIt = id === undefined || record.id === id || isKeyIdOf(record, id);
  const owner = registration ?? record;
  return isIt && isSame(owner.user, user) && isSame(owner.deviceId, deviceId);
}

function isKeyIdOf({ publicKey }: KeyRecord, text: string): boolean {
  if (!mayBeKeyId(text)) return false;
  const keyId = keyIdOf(publicKey);
  return [toBase64(keyId), toBase64Url(keyId)].includes(text) || toHex(keyId) === text.toLowerCase();
}

/**
 * The backend of a user's last key in the store, registered or not: `tpm` if any key is in a TPM. Without one, that of
 * a removed key; undefined if there was none.
 * @throws KeyprovError as {@link listRegistrations} does, unless a key in a TPM is found.
 */
export async function lastBackendOf(store: KeyStore, user: string): Promise<Backend | undefined> {
  const { records } = await store.list();
  const own = records.filter((record) => isSame(record.user, user));
  if (own.some(isInTpm)) return 'tpm';
  const registered = await listRegistrations(store, { user });
  return registered.some(({ record }) => isInTpm(record)) ? 'tpm' : await readLastBackend(store.directory, user);
}

const isInTpm = ({ backend }: KeyRecord): boolean => backend === 'tpm';

/** Whether this may be a Key ID: 32 bytes in hexadecimal, base64 or base64url. It may also be the id of a record. */
export const mayBeKeyId = (id: string): boolean =>
  /^(?:[0-9a-fA-F]{64}|[A-Za-z0-9+/]{43}=|[A-Za-z0-9_-]{43})$/.test(id);
