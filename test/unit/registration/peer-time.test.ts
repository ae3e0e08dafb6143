import { describe, expect, it } from 'vitest';
import { requestInvalid } from '../../../src/formats/x509/in-request.ts';
import { JsonMembers } from '../../../src/json.ts';
import { parseAdSyncScheduler, scheduleOf } from '../../../src/registration/ad-sync-scheduler.ts';
import { retryAfter } from '../../../src/registration/answer-error.ts';
import { PEER_TIMES, peerTime } from '../../../src/registration/peer-time.ts';
import { forecastSync } from '../../../src/registration/sync-status.ts';
import { issuedTokens, secondsIn } from '../../../src/registration/token-endpoint.ts';
import { codeOf, filesIn } from '../source-files.ts';

const KINDS = Object.keys(PEER_TIMES).filter((kind): kind is keyof typeof PEER_TIMES => kind in PEER_TIMES);
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const now = new Date('2026-01-01T12:00:00Z');

describe('a time that a peer names', () => {
  it.each(KINDS)('is within its bounds for any number: %s', (kind) => {
    const { least, most } = PEER_TIMES[kind];
    for (const value of [-Infinity, -1, 0, 0.5, least, most, 2 ** 31, 2 ** 53, 1e300, Infinity, Number.NaN]) {
      const taken = peerTime(kind, value);
      expect(taken).toBeGreaterThanOrEqual(least);
      expect(taken).toBeLessThanOrEqual(most);
      expect(Number.isNaN(new Date(now.getTime() + taken).getTime())).toBe(false);
    }
    expect(peerTime(kind, least)).toBe(least);
    expect(peerTime(kind, most)).toBe(most);
  });

  it.each(['device-code-interval', 'retry-after'] as const)('that is waited for fits a timer: %s', (kind) => {
    expect(PEER_TIMES[kind].most).toBeLessThanOrEqual(LONGEST_TIMER_MS);
  });

  it('is bounded at each place that reads one', () => {
    const huge = '9'.repeat(400);
    const after = (value: string) => retryAfter(new Headers({ 'retry-after': value }), now);
    expect(['2147484', huge, 'Fri, 31 Dec 9999 23:59:59 GMT', 'Thu, 01 Jan 1970 00:00:00 GMT'].map(after)).toEqual([
      ...Array.from({ length: 3 }, () => PEER_TIMES['retry-after'].most),
      0,
    ]);
    const members = new JsonMembers('answer', { access_token: 'a', expires_in: huge, interval: '0' }, requestInvalid);
    expect(issuedTokens(members, now).expires).toEqual(new Date(now.getTime() + PEER_TIMES['token-lifetime'].most));
    expect(secondsIn(members, 'interval', 'device-code-interval')).toBe(1000);
    const text = (span: string) => parseAdSyncScheduler(`CurrentlyEffectiveSyncCycleInterval : ${span}`, { now });
    const spans = ['9999999.23:59:59', '00:00:00'].map((span) => scheduleOf(text(span)));
    expect(spans.map(({ intervalMs }) => intervalMs)).toEqual([
      PEER_TIMES['sync-interval'].most,
      PEER_TIMES['sync-interval'].least,
    ]);
    for (const schedule of spans) expect(forecastSync(now, schedule).overdueAfter.getTime()).not.toBeNaN();
  });

  it('is read nowhere else: all members and headers that name a time go through the helper', () => {
    const named = /'(interval|expires_in|refresh_token_expires_in|ext_expires_in|retry-after)'/;
    const reading = filesIn(['src/registration', 'src/provisioning', 'src/cli'], '.ts').flatMap((path) =>
      codeOf(path)
        .split('\n')
        .filter((line) => named.test(line))
        .filter(
          (line) =>
            !/secondsIn\(|peerTime\(|headers\.get\('retry-after'\)|'retry-after': \{ least|^ {2}\| '/.test(line),
        )
        .map((line) => `${path}: ${line.trim()}`),
    );
    expect(reading).toEqual([]);
  });
});
