import { checkObject, checkText } from '../bytes.ts';
import { checkMembers } from '../known-members.ts';
import { LIMIT } from '../limits.ts';
import { peerTime } from './peer-time.ts';

/** The settings of Entra Connect's scheduler. Settings that were not in the text, or could not be read, are absent. */
export interface AdSyncScheduler {
  /** The shortest allowed interval, in milliseconds. Microsoft's default and minimum is 30 minutes. */
  readonly AllowedSyncCycleInterval?: number;
  /** The interval in effect, in milliseconds. */
  readonly CurrentlyEffectiveSyncCycleInterval?: number;
  /** The configured interval, in milliseconds. Has no effect if it is below the allowed one. */
  readonly CustomizedSyncCycleInterval?: number;
  readonly NextSyncCyclePolicyType?: string;
  readonly NextSyncCycleStartTimeInUTC?: Date;
  /** In milliseconds. */
  readonly PurgeRunHistoryInterval?: number;
  readonly SyncCycleEnabled?: boolean;
  readonly MaintenanceEnabled?: boolean;
  readonly StagingModeEnabled?: boolean;
  readonly SchedulerSuspended?: boolean;
  readonly SyncCycleInProgress?: boolean;
  /** Every line of the text, by name. */
  readonly fields: ReadonlyMap<string, string>;
}

/** The schedule of the synchronization that writes a key to the directory. */
export interface SyncSchedule {
  /** The time from one cycle to the next, in milliseconds. */
  readonly intervalMs: number;
  /** When the next cycle starts. */
  readonly nextCycle?: Date;
  /** Why no cycle will write the key, for people; empty if nothing is wrong. */
  readonly obstacles?: readonly string[];
}

const MINUTE_MS = 60_000;
const YEAR_MS = 366 * 24 * 60 * MINUTE_MS;

/** Entra Connect's default, for a scheduler about which nothing is known. */
export const DEFAULT_SYNC_SCHEDULE: SyncSchedule = { intervalMs: 30 * MINUTE_MS };

/**
 * Reads up to 1 Mi characters of the output of the PowerShell command `Get-ADSyncScheduler`. A damaged text is not an error.
 *
 * @param options `now`: roughly when the command ran. The order of day and month depends on the system's language, so of two
 * possible times, the one nearest to `now` is used. A time more than a year from `now` counts as unreadable.
 * @throws TypeError for a `text` that is not a string, or a wrong option.
 */
export function parseAdSyncScheduler(text: string, options: { readonly now: Date }): AdSyncScheduler {
  checkText(text, 'the output of Get-ADSyncScheduler');
  const { now } = checkMembers('parseAdSyncScheduler', options, 'now:date');
  const fields = new Map<string, string>();
  for (const line of text.slice(0, LIMIT.document).split('\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0)).trim();
    if (/^\w+$/.test(name)) fields.set(name, line.slice(colon + 1).trim());
  }
  const field = (name: string) => fields.get(name) ?? '';
  const settings = {
    AllowedSyncCycleInterval: timeSpan(field('AllowedSyncCycleInterval')),
    CurrentlyEffectiveSyncCycleInterval: timeSpan(field('CurrentlyEffectiveSyncCycleInterval')),
    CustomizedSyncCycleInterval: timeSpan(field('CustomizedSyncCycleInterval')),
    NextSyncCyclePolicyType: fields.get('NextSyncCyclePolicyType'),
    NextSyncCycleStartTimeInUTC: dateNear(now, field('NextSyncCycleStartTimeInUTC')),
    PurgeRunHistoryInterval: timeSpan(field('PurgeRunHistoryInterval')),
    SyncCycleEnabled: truth(field('SyncCycleEnabled')),
    MaintenanceEnabled: truth(field('MaintenanceEnabled')),
    StagingModeEnabled: truth(field('StagingModeEnabled')),
    SchedulerSuspended: truth(field('SchedulerSuspended')),
    SyncCycleInProgress: truth(field('SyncCycleInProgress')),
  };
  return { ...Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)), fields };
}

/**
 * The schedule that follows from these settings. The interval is limited to 1 minute to 31 days.
 * @throws TypeError for an argument of another kind.
 */
export function scheduleOf(scheduler: AdSyncScheduler): SyncSchedule {
  checkObject(scheduler, 'the scheduler');
  const { AllowedSyncCycleInterval = DEFAULT_SYNC_SCHEDULE.intervalMs, CustomizedSyncCycleInterval = 0 } = scheduler;
  const obstacles = [
    scheduler.SyncCycleEnabled === false ? 'the synchronization is switched off (SyncCycleEnabled)' : '',
    scheduler.StagingModeEnabled === true ? 'the server is in staging mode (StagingModeEnabled)' : '',
    scheduler.SchedulerSuspended === true ? 'the scheduler is suspended (SchedulerSuspended)' : '',
  ];
  return {
    intervalMs: peerTime(
      'sync-interval',
      scheduler.CurrentlyEffectiveSyncCycleInterval ?? Math.max(AllowedSyncCycleInterval, CustomizedSyncCycleInterval),
    ),
    ...(scheduler.NextSyncCycleStartTimeInUTC && { nextCycle: scheduler.NextSyncCycleStartTimeInUTC }),
    obstacles: obstacles.filter((obstacle) => obstacle !== ''),
  };
}

const truth = (value: string): boolean | undefined => (value === 'True' ? true : value === 'False' ? false : undefined);

/** A TimeSpan of .NET, `7.00:00:00`, in milliseconds. */
function timeSpan(value: string): number | undefined {
  const [, days = '0', ...clock] = /^(?:(\d{1,7})\.)?(\d\d):(\d\d):(\d\d)(?:\.\d{1,7})?$/.exec(value) ?? [];
  const [hours, minutes, seconds] = clock.map(Number);
  if (hours === undefined || minutes === undefined || seconds === undefined) return undefined;
  return (((Number(days) * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000;
}

const YEAR_FIRST = /^(\d{4})[-/.] ?(\d\d?)[-/.] ?(\d\d?)\.?[ T](.+)$/;
const YEAR_LAST = /^(\d\d?)([-/.]) ?(\d\d?)\2 ?(\d{4})(?:,| г\.)? (.+)$/;
/**
 * The halves of a day in the languages of Windows, without dots and blanks, before or after the time. CLDR, dayPeriods.
 */
const HALVES = {
  am: ['am', 'πμ', '오전', '上午', '午前', 'sa', 'dop', 'de', 'öö', 'pd', 'ص', 'قظ', 'ਪੂਦੁ', 'पूर्वाह्न'],
  pm: ['pm', 'μμ', '오후', '下午', '午後', 'ch', 'odp', 'du', 'ös', 'md', 'م', 'بظ', 'ਬਾਦੁ', 'अपराह्न'],
};

/**
 * The time that `value` may be in some language of Windows; of two, the one nearest to `now`. Undefined for a time that is
 * further away than a year: Thai, Persian and Arabic systems count the years from another one.
 */
function dateNear(now: Date, value: string): Date | undefined {
  const [, year, month, day, time = ''] = YEAR_FIRST.exec(value) ?? [];
  const [, first, separator, second, lastYear, lastTime = ''] = YEAR_LAST.exec(value) ?? [];
  const candidates = [
    utc(year, month, day, time),
    utc(lastYear, second, first, lastTime),
    separator === '.' ? undefined : utc(lastYear, first, second, lastTime), // languages with dots write the day first
  ];
  const distance = (date: Date) => Math.abs(date.getTime() - now.getTime());
  const [nearest] = candidates.filter((date) => date !== undefined).sort((a, b) => distance(a) - distance(b));
  return nearest !== undefined && distance(nearest) <= YEAR_MS ? nearest : undefined;
}

function utc(year = '', month = '', day = '', time: string): Date | undefined {
  const [, before, hours, minutes, seconds, behind] =
    /^(\D{0,12})(\d\d?)[:.](\d\d)[:.](\d\d)(\D{0,12})$/.exec(time) ?? [];
  const half = `${before}${behind}`.replaceAll(/[.\s]/g, '').toLowerCase();
  const isMorning = HALVES.am.includes(half);
  if (!isMorning && !HALVES.pm.includes(half) && half !== '' && half !== 'z') return undefined;
  const is24 = half === '' || half === 'z';
  const hour = is24 ? Number(hours) : (Number(hours) % 12) + (isMorning ? 0 : 12);
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day), hour, Number(minutes), Number(seconds)));
  const isThatDay = date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day);
  return isThatDay ? date : undefined;
}
