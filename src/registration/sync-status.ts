import { setTimeout as delay } from 'node:timers/promises';
import { equal } from '../bytes.ts';
import { isKeyprovError, type KeyprovError } from '../errors.ts';
import { KEY_USAGE, type KeyCredential } from '../request/key-credential-link.ts';
import type { SignalOptions } from '../tpm/tpm.ts';
import { DEFAULT_SYNC_SCHEDULE, type SyncSchedule } from './ad-sync-scheduler.ts';

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

/** A key that the service has accepted. */
export interface RegisteredKey {
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
  /** No cycle can bring the key before. */
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
  readonly reader?: DirectoryReader;
  /** Default: every 30 minutes. */
  readonly schedule?: SyncSchedule;
  /** The clock. */
  readonly now?: () => Date;
}

/** Options of {@link waitForSync}. */
export interface WaitForSyncOptions extends SyncStatusOptions {
  readonly reader: DirectoryReader;
  /** From one look to the next, in milliseconds. Default 60,000. */
  readonly pollMs?: number;
  /** Called after each look. */
  readonly onProgress?: (status: SyncStatus) => void;
  /** Waits; ends at once, by an error, when `signal` aborts. */
  readonly sleep?: (ms: number, options: SignalOptions) => Promise<void>;
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
