import { describe, expect, it } from 'vitest';
import { parseAdSyncScheduler, scheduleOf } from '../../../src/registration/ad-sync-scheduler.ts';

/** As Windows PowerShell 5.1 prints it. */
const PRINTED = `
AllowedSyncCycleInterval            : 00:30:00
CurrentlyEffectiveSyncCycleInterval : 01:00:00
CustomizedSyncCycleInterval         : 01:00:00
NextSyncCyclePolicyType             : Delta
NextSyncCycleStartTimeInUTC         : 9/29/2025 12:51:47 PM
PurgeRunHistoryInterval             : 7.00:00:00
SyncCycleEnabled                    : True
MaintenanceEnabled                  : True
StagingModeEnabled                  : False
SchedulerSuspended                  : False
SyncCycleInProgress                 : False
IsConnectorServer                   : maybe
`;
const now = new Date('2025-09-29T12:30:00Z');
const HOUR = 3_600_000;

describe('parseAdSyncScheduler', () => {
  it('reads every setting, and keeps unknown ones', () => {
    const { fields, ...settings } = parseAdSyncScheduler(PRINTED.replaceAll('\n', '\r\n'), { now });
    expect(settings).toEqual({
      AllowedSyncCycleInterval: HOUR / 2,
      CurrentlyEffectiveSyncCycleInterval: HOUR,
      CustomizedSyncCycleInterval: HOUR,
      NextSyncCyclePolicyType: 'Delta',
      NextSyncCycleStartTimeInUTC: new Date('2025-09-29T12:51:47Z'),
      PurgeRunHistoryInterval: 7 * 24 * HOUR,
      SyncCycleEnabled: true,
      MaintenanceEnabled: true,
      StagingModeEnabled: false,
      SchedulerSuspended: false,
      SyncCycleInProgress: false,
    });
    expect([fields.size, fields.get('IsConnectorServer')]).toEqual([12, 'maybe']);
  });

  it('leaves out missing, empty or unreadable settings', () => {
    const text = 'CustomizedSyncCycleInterval :\nAllowedSyncCycleInterval : soon\n  SyncCycleEnabled : Vrai';
    expect(Object.keys(parseAdSyncScheduler(text, { now }))).toEqual(['fields']);
    expect(Object.keys(parseAdSyncScheduler('no such command', { now }))).toEqual(['fields']);
  });

  it.each([
    ['English (United States)', '4/3/2026 12:30:05 AM', '2026-04-03T00:30:05Z', '2026-04-02T23:50:00Z'],
    ['English (United Kingdom)', '03/04/2026 14:30:05', '2026-04-03T14:30:05Z', '2026-04-03T14:00:00Z'],
    [
      'English (United States), next to another day',
      '3/4/2026 2:30:05 PM',
      '2026-03-04T14:30:05Z',
      '2026-03-04T14:00:00Z',
    ],
    ['Dutch', '24-3-2025 22:03:04', '2025-03-24T22:03:04Z', '2025-03-24T21:40:00Z'],
    ['German', '05.01.2023 20:28:37', '2023-01-05T20:28:37Z', '2023-05-01T20:00:00Z'],
    ['Japanese', '2026/08/10 14:30:11', '2026-08-10T14:30:11Z', '2026-08-10T14:00:00Z'],
    ['ISO 8601', '2026-08-10T14:30:11Z', '2026-08-10T14:30:11Z', '2026-08-10T14:00:00Z'],
    ['Czech', '29. 11. 2026 14:05:12', '2026-11-29T14:05:12Z', '2026-11-29T14:00:00Z'],
    ['Greek', '29/11/2026 2:05:12 μμ', '2026-11-29T14:05:12Z', '2026-11-29T14:00:00Z'],
    ['Spanish (Mexico)', '29/11/2026 02:05:12 p. m.', '2026-11-29T14:05:12Z', '2026-11-29T14:00:00Z'],
    [
      'Spanish (Mexico), with blanks that do not break',
      '1/2/2026 12:05:12 a.\u00a0m.',
      '2026-02-01T00:05:12Z',
      '2026-02-01T00:00:00Z',
    ],
    ['Korean', '2026-11-29 오후 2:05:12', '2026-11-29T14:05:12Z', '2026-11-29T14:00:00Z'],
    ['Chinese', '2026/11/29 下午 02:05:12', '2026-11-29T14:05:12Z', '2026-11-29T14:00:00Z'],
    ['Hungarian', '2026. 11. 29. 14:05:12', '2026-11-29T14:05:12Z', '2026-11-29T14:00:00Z'],
    ['Bulgarian', '29.11.2026 г. 14:05:12', '2026-11-29T14:05:12Z', '2026-11-29T14:00:00Z'],
    ['Thai, in the Buddhist era', '29/11/2569 14:05:12', undefined, '2026-11-29T14:00:00Z'],
    ['Persian, in its calendar', '8/9/1405 02:05:12 ب.ظ', undefined, '2026-11-29T14:00:00Z'],
    ['Arabic (Saudi Arabia), in its calendar', '19/06/1448 02:05:12 م', undefined, '2026-11-29T14:00:00Z'],
    ['a year before', '29/11/2025 14:05:12', '2025-11-29T14:05:12Z', '2026-11-29T14:00:00Z'],
    ['no half of a day', '29/11/2026 2:05:12 xy', undefined, '2026-11-29T14:00:00Z'],
    ['no day', '30/30/2026 14:30:11', undefined, '2026-08-10T14:00:00Z'],
    ['no day of that month', '31.04.2026 14:30:11', undefined, '2026-08-10T14:00:00Z'],
    ['no time', '10.08.2026', undefined, '2026-08-10T14:00:00Z'],
  ])('reads times as they are written in %s', (_, text, expected, when) => {
    const scheduler = parseAdSyncScheduler(`NextSyncCycleStartTimeInUTC : ${text}`, { now: new Date(when) });
    expect(scheduler.NextSyncCycleStartTimeInUTC).toEqual(expected === undefined ? undefined : new Date(expected));
  });
});

describe('scheduleOf', () => {
  const schedule = (text: string) => scheduleOf(parseAdSyncScheduler(text, { now }));

  it('uses the interval in effect, and the next cycle', () => {
    expect(schedule(PRINTED)).toEqual({
      intervalMs: HOUR,
      nextCycle: new Date('2025-09-29T12:51:47Z'),
      obstacles: [],
    });
  });

  it.each([
    ['', HOUR / 2],
    ['AllowedSyncCycleInterval : 00:45:00', 0.75 * HOUR],
    ['AllowedSyncCycleInterval : 00:30:00\nCustomizedSyncCycleInterval : 03:00:00', 3 * HOUR],
    ['AllowedSyncCycleInterval : 00:30:00\nCustomizedSyncCycleInterval : 00:10:00', HOUR / 2],
    ['CustomizedSyncCycleInterval : 00:10:00', HOUR / 2],
  ])('works out the interval of %j', (text, expected) => {
    expect(schedule(text)).toEqual({ intervalMs: expected, obstacles: [] });
  });

  it.each([
    ['SyncCycleEnabled                    : True', 'SyncCycleEnabled : False', 'switched off'],
    ['StagingModeEnabled                  : False', 'StagingModeEnabled : True', 'staging mode'],
    ['SchedulerSuspended                  : False', 'SchedulerSuspended : True', 'suspended'],
  ])('says why no key will arrive (%s)', (good, bad, expected) => {
    const { obstacles } = schedule(PRINTED.replace(good, bad));
    expect(obstacles).toHaveLength(1);
    expect(obstacles?.[0]).toContain(expected);
  });
});
