import type { ServiceContext } from './service-context.ts';

/** Entra Connect's default, in milliseconds. */
export const SYNC_INTERVAL_MS = 1_800_000;

/** The output of Entra Connect's `Get-ADSyncScheduler` for this service, in en-US. */
export function schedulerText({ options, now, state }: ServiceContext): string {
  const { syncIntervalMs = SYNC_INTERVAL_MS, onPremises } = options;
  const interval = timeSpan(syncIntervalMs);
  const [next = new Date(now().getTime() + syncIntervalMs)] = state.keys
    .outbox()
    .filter(({ status }) => status === 'waiting')
    .map(({ due }) => due)
    .sort((a, b) => a.getTime() - b.getTime());
  const fields = {
    AllowedSyncCycleInterval: interval,
    CurrentlyEffectiveSyncCycleInterval: interval,
    CustomizedSyncCycleInterval: '',
    NextSyncCyclePolicyType: 'Delta',
    NextSyncCycleStartTimeInUTC: dateTime(next),
    PurgeRunHistoryInterval: '7.00:00:00',
    SyncCycleEnabled: onPremises === undefined ? 'False' : 'True',
    MaintenanceEnabled: 'True',
    StagingModeEnabled: 'False',
    SchedulerSuspended: 'False',
    SyncCycleInProgress: 'False',
  };
  return Object.entries(fields)
    .map(([name, value]) => `${name.padEnd(36)}: ${value}\n`)
    .join('');
}

/** A TimeSpan of .NET: `7.00:00:00`. */
function timeSpan(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  const days = Math.floor(seconds / 86_400);
  const clock = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60].map(two).join(':');
  return days === 0 ? clock : `${days}.${clock}`;
}

/** `11/24/2026 9:05:00 PM` */
function dateTime(date: Date): string {
  return date
    .toLocaleString('en-US', { timeZone: 'UTC' })
    .replace(',', '')
    .replace(/\u202f/g, ' ');
}
