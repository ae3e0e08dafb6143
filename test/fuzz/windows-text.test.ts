import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dsregSection, formatDsregStatus, parseDsregStatus } from '../../src/provisioning/windows/dsregcmd.ts';
import { readDsregFacts } from '../../src/provisioning/windows/prerequisite-probe.ts';
import { checkPrerequisites } from '../../src/provisioning/windows/prerequisites.ts';
import { parseAdSyncScheduler, scheduleOf } from '../../src/registration/ad-sync-scheduler.ts';
import { forecastSync } from '../../src/registration/sync-status.ts';
import { anyText } from '../any-text.ts';
import { diagnostics } from '../diagnostics.ts';

const RUNS = 2000;
const SCHEDULER = `AllowedSyncCycleInterval : 00:30:00
NextSyncCycleStartTimeInUTC : 9/29/2025 12:51:47 PM
PurgeRunHistoryInterval : 7.00:00:00
StagingModeEnabled : False`;

/** Text that is nearly `text`: parts of it are taken out, doubled or replaced. */
const nearly = (text: string): fc.Arbitrary<string> =>
  fc
    .array(
      fc.record({
        at: fc.nat(text.length),
        length: fc.nat(40),
        put: fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom('\n', ' : ', ':', '|', '+--+', 'YES', '\r', '')),
      }),
      { minLength: 1, maxLength: 6 },
    )
    .map((edits) =>
      edits.reduce((edited, { at, length, put }) => edited.slice(0, at) + put + edited.slice(at + length), text),
    );

const editedText = (text: string) => fc.oneof({ weight: 3, arbitrary: nearly(text) }, anyText);

describe('dsregcmd', () => {
  const { hybridComplete, windows } = diagnostics.dsregcmd;

  it('is always read without an error, and never as ready by chance', () => {
    const facts = readDsregFacts(hybridComplete);
    fc.assert(
      fc.property(fc.oneof(editedText(hybridComplete), editedText(windows)), (text) => {
        const found = readDsregFacts(text);
        const { result } = checkPrerequisites(found);
        // Only the same text can be ready, apart from optional parts.
        if (result === 'WillProvision') expect(facts).toMatchObject({ ...found, cloudTgt: false });
      }),
      { numRuns: RUNS },
    );
  });

  it('is written so that it is read again as it was', () => {
    fc.assert(
      fc.property(fc.oneof(editedText(hybridComplete), editedText(windows)), (text) => {
        const status = parseDsregStatus(text);
        for (const lineEnd of ['\n', '\r\n'] as const) {
          expect(parseDsregStatus(formatDsregStatus(status, { lineEnd }))).toEqual(status);
        }
      }),
      { numRuns: RUNS },
    );
  });

  it('accepts or refuses any names and values', () => {
    const fields = fc.dictionary(fc.string({ minLength: 1 }), fc.string(), { noNullPrototype: true });
    fc.assert(
      fc.property(fc.string(), fields, (title, values) => {
        const status = [dsregSection(title, values)];
        let text: string;
        try {
          text = formatDsregStatus(status);
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError);
          return;
        }
        expect(parseDsregStatus(text)).toEqual(status);
      }),
      { numRuns: RUNS },
    );
  });
});

describe('Get-ADSyncScheduler', () => {
  it('is always read without an error, as a usable schedule', () => {
    fc.assert(
      fc.property(editedText(SCHEDULER), fc.date({ noInvalidDate: true }), (text, now) => {
        const schedule = scheduleOf(parseAdSyncScheduler(text, { now }));
        const registered = new Date('2026-01-01');
        const { earliest, estimate, overdueAfter } = forecastSync(registered, schedule);
        expect(earliest >= registered && estimate >= earliest && overdueAfter > estimate).toBe(true);
      }),
      { numRuns: RUNS },
    );
  });
});
