import { checkList, checkObject, equal } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { isKeyprovError, type KeyprovError } from '../errors.ts';
import { checkGuid, encodeGuid } from '../formats/windows/guid.ts';
import { KEY_CREDENTIAL_USAGE, type KeyCredential } from '../formats/windows/key-credential-link.ts';
import { checkMembers } from '../known-members.ts';
import { sayTime } from '../printable.ts';
import { type SignalOptions, unlessAborted } from '../signal.ts';
import { DEFAULT_SYNC_SCHEDULE, type SyncSchedule } from './ad-sync-scheduler.ts';
import { type Sleep, sleepFor } from './sleep.ts';

/** Reads a user's keys from a directory. */
export interface DirectoryReader {
  /**
   * `active-directory`: the directory that domain controllers read. `entra`: the one that registration writes, which
   * says nothing about Active Directory.
   */
  readonly place: 'active-directory' | 'entra';
  /**
   * Reads the user's well-formed keys, and leaves out everything else.
   * @param user the user principal name.
   * @throws KeyprovError `service-unreachable` or `service-timeout` if it may work later; else `service-refused` or
   * `service-answer`.
   */
  read(user: string, options?: SignalOptions): Promise<KeyCredential[]>;
}

/** A key that the directories should have, such as a `RegistrationRecord`. */
export interface ExpectedKey {
  /** User principal name. */
  readonly user: string;
  /** SHA-256 of the key material, 32 bytes. */
  readonly keyId: Uint8Array;
  /** GUID of the device that has the key. */
  readonly deviceId: string;
  /** When the service accepted the key. */
  readonly registered: Date;
}

/** When to expect a key in the directory. The times are estimates; only a reader shows facts. */
export interface SyncForecast {
  /** Earliest time: the start of the next cycle; if that is unknown, one interval after the registration. */
  readonly earliest: Date;
  /** When a cycle will probably write it. */
  readonly estimate: Date;
  /** When it counts as late. */
  readonly overdueAfter: Date;
  /** Why no cycle will write it, for people; usually empty. */
  readonly obstacles: readonly string[];
}

/**
 * State of a key:
 * - `registered`: the service has accepted it. The directory was not read, or could not be (`problem`).
 * - `pending`: the directory does not have the key yet.
 * - `overdue`: it still does not, past the expected time.
 * - `synced`: the directory has the key with its device. Only if `place` is `active-directory` does this mean that
 * sign-in on premises works.
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
  /** Reads the directory. Absent: the state stays `registered`. */
  readonly reader?: DirectoryReader | undefined;
  /** Default: every 30 minutes. */
  readonly schedule?: SyncSchedule | undefined;
  /** The clock. */
  readonly now?: (() => Date) | undefined;
}

const STATUS_MEMBERS = 'reader schedule now:function? signal';

/** Options of {@link waitForSync}. */
export interface WaitForSyncOptions extends SyncStatusOptions {
  readonly reader: DirectoryReader;
  /** Interval between two checks, in milliseconds. Default 60,000. */
  readonly pollMs?: number | undefined;
  /** Called after each check. */
  readonly onProgress?: ((status: SyncStatus) => void) | undefined;
  readonly sleep?: Sleep | undefined;
}

/**
 * Estimates when a key that was registered at `registered` arrives. Allows for one failed cycle before the key counts
 * as late.
 * @throws RangeError unless `intervalMs` is above 0.
 */
export function forecastSync(registered: Date, schedule: SyncSchedule = DEFAULT_SYNC_SCHEDULE): SyncForecast {
  checkObject(registered, 'the time of the registration', 'getTime');
  checkObject(schedule, 'the schedule', 'intervalMs');
  const { intervalMs, nextCycle, obstacles = [] } = schedule;
  if (!(intervalMs > 0)) throw new RangeError(`intervalMs must be above 0, not ${intervalMs}`);
  const start = registered.getTime();
  // Cycles follow the known one at whole intervals.
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
 * Checks once whether the directory has a key. A value counts only if it has usage NGC, the expected Key ID, key
 * material with that Key ID, and the expected device.
 *
 * @throws RangeError for a Key ID that does not have 32 bytes; TypeError for a device id that is not a GUID.
 * @throws KeyprovError of the reader, unless it may work later.
 *
 * @example
 * ```ts
 * import { Client } from 'ldapts';
 * import { describeSyncStatus, ldapReader, type ExpectedKey, syncStatus } from 'keyprov/registration';
 *
 * declare const key: ExpectedKey; // such as the `registration` of a key in the store
 *
 * const tlsOptions = { rejectUnauthorized: true }; // even if the environment says otherwise
 * const client = new Client({ url: 'ldaps://dc1.contoso.test', tlsOptions });
 * await client.bind('CN=reader,DC=contoso,DC=test', 'secret');
 * console.log(describeSyncStatus(await syncStatus(key, { reader: ldapReader(client, { base: 'DC=contoso,DC=test' }) })));
 * ```
 */
export async function syncStatus(key: ExpectedKey, options: SyncStatusOptions = {}): Promise<SyncStatus> {
  checkObject(key, 'the key', 'keyId:bytes', 'deviceId:string', 'registered');
  options = checkMembers('syncStatus', options, STATUS_MEMBERS);
  const { reader, schedule, now = () => new Date(), signal } = options;
  if (key.keyId.length !== 32) throw new RangeError(`a Key ID has 32 bytes, not ${key.keyId.length}`);
  checkGuid(key.deviceId, 'deviceId');
  const device = encodeGuid(key.deviceId);
  const forecast = forecastSync(key.registered, schedule);
  if (reader === undefined) return { ...forecast, state: 'registered' };
  let found: KeyCredential[];
  try {
    found = checkList(
      await unlessAborted(() => reader.read(key.user, { signal }), signal),
      'the result of reader.read',
    );
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
 * Checks repeatedly until the key is `synced` or `overdue`.
 *
 * @throws RangeError and TypeError as {@link syncStatus}, and RangeError unless `pollMs` is above 0.
 * @throws KeyprovError of the reader; if it may work later, only once the key is late.
 * @throws the reason of `signal` when it aborts.
 */
export async function waitForSync(key: ExpectedKey, options: WaitForSyncOptions): Promise<SyncStatus> {
  const {
    pollMs = 60_000,
    onProgress = () => {},
    sleep = sleepFor,
    ...reading
  } = checkMembers('waitForSync', options, 'pollMs:number? onProgress:function? sleep:function?', STATUS_MEMBERS);
  const { now = () => new Date(), signal } = reading;
  if (!(pollMs > 0)) throw new RangeError(`pollMs must be above 0, not ${pollMs}`);
  for (;;) {
    signal?.throwIfAborted();
    const status = await syncStatus(key, reading);
    onProgress(status);
    if (status.state === 'synced' || status.state === 'overdue') return status;
    const leftMs = status.overdueAfter.getTime() - now().getTime();
    if (leftMs <= 0 && status.state === 'registered' && status.problem) throw status.problem;
    await unlessAborted(() => sleep(Math.min(pollMs, Math.max(leftMs, 1)), { signal }), signal);
  }
}

/** Describes the status in a sentence or two for the user. @throws TypeError for an argument of another kind. */
export function describeSyncStatus(status: SyncStatus): string {
  checkObject(status, 'the status', 'state');
  if (status.state === 'synced') {
    return status.place === 'active-directory'
      ? 'The PIN works for sign-in at the service and on premises.'
      : 'The PIN works for sign-in to the cloud; on premises it has not been checked.';
  }
  const { place, otherDevice } = { place: undefined, otherDevice: undefined, ...status };
  const other = otherDevice === undefined ? '' : ` The directory has the key, but for another device: ${otherDevice}.`;
  if (place === 'entra') {
    const what = 'does not have the key for this device';
    const problem = status.state === 'overdue' ? `still ${what}` : `${what} yet`;
    return `Entra ID ${problem}, so sign-in with the PIN may fail.${other}`;
  }
  const when = sayTime(status.estimate);
  const why = status.obstacles.length === 0 ? '' : ` (${status.obstacles.join('; ')})`;
  return status.state === 'overdue'
    ? `The PIN works for sign-in at the service, but the key should have been on premises since ${when}${why}.${other}`
    : `The PIN works for sign-in at the service now. If the service synchronizes with Active Directory, the PIN works on premises from about ${when}${why}.${other}`;
}
