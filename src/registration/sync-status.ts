import { equal } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { isKeyprovError, type KeyprovError } from '../errors.ts';
import { encodeGuid } from '../formats/windows/guid.ts';
import { KEY_CREDENTIAL_USAGE, type KeyCredential } from '../formats/windows/key-credential-link.ts';
import type { SignalOptions } from '../signal.ts';
import { DEFAULT_SYNC_SCHEDULE, type SyncSchedule } from './ad-sync-scheduler.ts';
import { type Sleep, sleepFor } from './sleep.ts';

/** Reads the keys that a directory has of a user. */
export interface DirectoryReader {
  /** `active-directory`: where a domain controller looks. `entra`: where registration writes; says nothing of the former. */
  readonly place: 'active-directory' | 'entra';
  /**
   * The well-formed keys of the user; whatever else the directory holds is left out.
   * @param user the user principal name.
   * @throws KeyprovError `service-unreachable` or `service-timeout` where it may work later; `service-refused` or
   * `service-answer` where it will not.
   */
  read(user: string, options?: SignalOptions): Promise<KeyCredential[]>;
}

/** A key that directories should have: what is kept of a registration (`RegistrationRecord`) is one. */
export interface ExpectedKey {
  /** User principal name. */
  readonly user: string;
  /** SHA-256 of the key material, 32 bytes. */
  readonly keyId: Uint8Array;
  /** GUID of the device that has the key. */
  readonly deviceId: string;
  /** When the service accepted it. */
  readonly registered: Date;
}

/** When a key may be expected. The times are forecasts; only what a reader sees is a fact. */
export interface SyncForecast {
  /** Not to be expected before: the start of the next cycle, or where that is not known, one interval. */
  readonly earliest: Date;
  /** About when a cycle brings it. */
  readonly estimate: Date;
  /** From when on it is late. */
  readonly overdueAfter: Date;
  /** Why no cycle will bring it, for people; mostly empty. */
  readonly obstacles: readonly string[];
}

/**
 * How far a key is:
 * `registered` the service has accepted it; nobody has looked further, or `problem` kept from looking.
 * `pending` the directory was read and has not got it yet.
 * `overdue` nor has it after the time in which it should have come.
 * `synced` the directory was read and has the key with its device. At `place` `active-directory`, and only there, this
 * means that sign-in on premises works.
 */
export type SyncStatus =
  | (SyncForecast & { readonly state: 'registered'; readonly problem?: KeyprovError })
  | (SyncForecast & {
      readonly state: 'pending' | 'overdue';
      readonly place: DirectoryReader['place'];
      /** The key is there, but with another device. */
      readonly otherDevice?: string;
    })
  | { readonly state: 'synced'; readonly place: DirectoryReader['place']; readonly seen: Date };

/** Options of {@link syncStatus}. */
export interface SyncStatusOptions extends SignalOptions {
  /** Where to look. Absent: the state stays `registered`. */
  readonly reader?: DirectoryReader | undefined;
  /** Default: every 30 minutes. */
  readonly schedule?: SyncSchedule | undefined;
  /** The clock. */
  readonly now?: (() => Date) | undefined;
}

/** Options of {@link waitForSync}. */
export interface WaitForSyncOptions extends SyncStatusOptions {
  readonly reader: DirectoryReader;
  /** From one look to the next, in milliseconds. Default 60,000. */
  readonly pollMs?: number | undefined;
  /** Called after each look. */
  readonly onProgress?: ((status: SyncStatus) => void) | undefined;
  readonly sleep?: Sleep | undefined;
}

/** When a key that was registered at `registered` may be expected. One cycle may fail before it is called late. */
export function forecastSync(registered: Date, schedule: SyncSchedule = DEFAULT_SYNC_SCHEDULE): SyncForecast {
  const { intervalMs, nextCycle, obstacles = [] } = schedule;
  if (!(intervalMs > 0)) throw new RangeError(`an interval of ${intervalMs} ms`);
  const start = registered.getTime();
  // The cycles go on from the one that is known, at whole intervals.
  const behind = nextCycle === undefined ? 0 : Math.max(0, Math.ceil((start - nextCycle.getTime()) / intervalMs));
  const earliest = nextCycle === undefined ? start + intervalMs : nextCycle.getTime() + behind * intervalMs;
  const estimate = Math.max(earliest, start + intervalMs);
  return {
    earliest: new Date(earliest),
    estimate: new Date(estimate),
    overdueAfter: new Date(estimate + intervalMs),
    obstacles,
  };
}

/**
 * How far a key is, by one look at the directory. A key counts as ours only with usage NGC, our KeyID, key material of
 * that KeyID, and our device.
 *
 * @throws RangeError for a KeyID that is not of 32 bytes; TypeError for a device id that is no GUID.
 * @throws KeyprovError what the reader throws, unless it may work later.
 *
 * @example
 * ```ts
 * import { Client } from 'ldapts';
 * import { describeSyncStatus, ldapReader, type ExpectedKey, syncStatus } from 'keyprov/registration';
 *
 * declare const key: ExpectedKey; // such as the `registration` of a key in the store
 *
 * const tlsOptions = { rejectUnauthorized: true }; // also where the environment says otherwise
 * const client = new Client({ url: 'ldaps://dc1.contoso.test', tlsOptions });
 * await client.bind('CN=reader,DC=contoso,DC=test', 'secret');
 * console.log(describeSyncStatus(await syncStatus(key, { reader: ldapReader(client, { base: 'DC=contoso,DC=test' }) })));
 * ```
 */
export async function syncStatus(key: ExpectedKey, options: SyncStatusOptions = {}): Promise<SyncStatus> {
  const { reader, schedule, now = () => new Date(), signal } = options;
  if (key.keyId.length !== 32) throw new RangeError(`a KeyID has 32 bytes, this one ${key.keyId.length}`);
  const device = encodeGuid(key.deviceId);
  const forecast = forecastSync(key.registered, schedule);
  if (reader === undefined) return { ...forecast, state: 'registered' };
  let found: KeyCredential[];
  try {
    found = await reader.read(key.user, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (!isKeyprovError(error) || !MAY_WORK_LATER.has(error.code)) throw error;
    return { ...forecast, state: 'registered', problem: error };
  }
  const { place } = reader;
  const devices = found.filter((credential) => isOurKey(credential, key)).map(({ deviceId }) => deviceId ?? NO_DEVICE);
  if (devices.some((id) => equal(encodeGuid(id), device))) return { state: 'synced', place, seen: now() };
  const [otherDevice] = devices;
  return {
    ...forecast,
    state: now() < forecast.overdueAfter ? 'pending' : 'overdue',
    place,
    ...(otherDevice !== undefined && { otherDevice }),
  };
}

const MAY_WORK_LATER: ReadonlySet<string> = new Set(['service-unreachable', 'service-timeout']);
const NO_DEVICE = '00000000-0000-0000-0000-000000000000';

function isOurKey({ usage, keyId, keyMaterial }: KeyCredential, ours: ExpectedKey): boolean {
  return (
    usage === KEY_CREDENTIAL_USAGE.NGC && equal(keyId, ours.keyId) && equal(digest('sha256', keyMaterial), ours.keyId)
  );
}

/**
 * Looks until the key is there, or late: `synced` or `overdue`.
 *
 * @throws KeyprovError what the reader throws; what may work later, only when the key is late by then.
 * @throws the reason of `signal` when that aborts.
 */
export async function waitForSync(key: ExpectedKey, options: WaitForSyncOptions): Promise<SyncStatus> {
  const { pollMs = 60_000, onProgress = () => {}, sleep = sleepFor, now = () => new Date(), signal } = options;
  if (!(pollMs > 0)) throw new RangeError(`an interval of ${pollMs} ms`);
  for (;;) {
    signal?.throwIfAborted();
    const status = await syncStatus(key, options);
    onProgress(status);
    if (status.state === 'synced' || status.state === 'overdue') return status;
    const leftMs = status.overdueAfter.getTime() - now().getTime();
    if (leftMs <= 0 && status.state === 'registered' && status.problem) throw status.problem;
    await sleep(Math.min(pollMs, Math.max(leftMs, 1)), { signal });
  }
}

/** The status as one sentence for the user. */
export function describeSyncStatus(status: SyncStatus): string {
  if (status.state === 'synced') {
    return status.place === 'active-directory'
      ? 'The PIN works for sign-in to the cloud and on premises.'
      : 'The PIN works for sign-in to the cloud; whether it does on premises has not been looked up.';
  }
  const when = status.estimate.toISOString();
  const why = status.obstacles.length === 0 ? '' : ` (${status.obstacles.join('; ')})`;
  return status.state === 'overdue'
    ? `The PIN works for sign-in to the cloud, but the key should have been on premises since ${when}${why}.`
    : `The PIN works for sign-in to the cloud now, and on premises after synchronization, about ${when}${why}.`;
}
