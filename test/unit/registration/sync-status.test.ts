import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromHex } from '../../../src/bytes.ts';
import type { ErrorCode } from '../../../src/errors.ts';
import {
  KEY_CREDENTIAL_USAGE,
  type KeyCredential,
  parseKeyCredentialLink,
} from '../../../src/formats/windows/key-credential-link.ts';
import {
  type DirectoryReader,
  describeSyncStatus,
  type ExpectedKey,
  forecastSync,
  type SyncStatus,
  syncStatus,
  waitForSync,
} from '../../../src/registration/sync-status.ts';
import { errorOfCode } from '../../error-of-code.ts';
import { asyncRefusal } from '../../refusal.ts';

const { blobs } = JSON.parse(readFileSync('test/vectors/keycredential.json', 'utf8')) as {
  blobs: readonly { readonly name: string; readonly blobHex: string }[];
};
const credential = (name: string): KeyCredential =>
  parseKeyCredentialLink(fromHex(blobs.find((blob) => blob.name === name)?.blobHex ?? ''));
const ours = credential('Parse_UserKey2');
const others = blobs.map(({ name }) => credential(name)).filter(({ keyId }) => keyId.join() !== ours.keyId.join());

const START = new Date('2026-01-01T12:00:00Z');
const MINUTE = 60_000;
const at = (minutes: number) => new Date(START.getTime() + minutes * MINUTE);
const key: ExpectedKey = {
  user: 'ada@contoso.test',
  keyId: ours.keyId,
  deviceId: ours.deviceId ?? '',
  registered: START,
};

const readerOf = (
  read: (user: string) => KeyCredential[],
  place: DirectoryReader['place'] = 'active-directory',
): DirectoryReader => ({ place, read: async (user) => read(user) });
const holding = (...credentials: readonly KeyCredential[]) => readerOf(() => [...credentials]);
const failing = (code: ErrorCode) =>
  readerOf(() => {
    throw errorOfCode(code, 'LDAP: no');
  });

describe('forecastSync', () => {
  const minutes = (registered: Date, schedule?: Parameters<typeof forecastSync>[1]) => {
    const { earliest, estimate, overdueAfter, obstacles } = forecastSync(registered, schedule);
    const times = [earliest, estimate, overdueAfter].map((time) => (time.getTime() - START.getTime()) / MINUTE);
    return [...times, obstacles];
  };

  it('expects the key after the documented 30 minutes if nothing is known', () => {
    expect(minutes(START)).toEqual([30, 30, 60, []]);
  });

  it('knows the next cycle, and those after it', () => {
    const schedule = { intervalMs: 60 * MINUTE, nextCycle: at(10), obstacles: ['off'] };
    expect(minutes(START, schedule)).toEqual([10, 60, 120, ['off']]);
    expect(minutes(at(10), schedule)).toEqual([10, 70, 130, ['off']]);
    expect(minutes(at(11), schedule)).toEqual([70, 71, 131, ['off']]);
    expect(minutes(at(131), schedule)).toEqual([190, 191, 251, ['off']]);
    expect(minutes(START, { intervalMs: MINUTE, nextCycle: at(90) })).toEqual([90, 90, 91, []]);
  });

  it.each([0, -1, Number.NaN])('refuses an interval of %d', (intervalMs) => {
    expect(() => forecastSync(START, { intervalMs })).toThrow(RangeError);
  });
});

describe('syncStatus', () => {
  const status = (reader: DirectoryReader | undefined, minutes: number, registered = key) =>
    syncStatus(registered, { ...(reader && { reader }), now: () => at(minutes) });

  it('is registered while nobody looks, even if it is late', async () => {
    for (const minutes of [0, 30, 100_000]) {
      expect(await status(undefined, minutes)).toEqual({ ...forecastSync(START), state: 'registered' });
    }
  });

  it('is pending, then overdue, while the directory does not have the key', async () => {
    const place = 'active-directory';
    expect(await status(holding(), 0)).toEqual({ ...forecastSync(START), state: 'pending', place });
    expect(await status(holding(...others), 59.9)).toEqual({ ...forecastSync(START), state: 'pending', place });
    expect(await status(holding(...others), 60)).toEqual({ ...forecastSync(START), state: 'overdue', place });
  });

  it('is synced if the directory has our key and device, even early or late', async () => {
    for (const minutes of [0, 45, 100_000]) {
      const found = await status(holding(...others, ours), minutes);
      expect(found).toEqual({ state: 'synced', place: 'active-directory', seen: at(minutes) });
    }
  });

  it('reports where the key was seen, and for which user', async () => {
    const users: string[] = [];
    const reader = readerOf((user) => {
      users.push(user);
      return [ours];
    }, 'entra');
    expect(await status(reader, 1)).toEqual({ state: 'synced', place: 'entra', seen: at(1) });
    expect(users).toEqual(['ada@contoso.test']);
  });

  it('accepts device ids in either case', async () => {
    const found = await status(holding(ours), 1, { ...key, deviceId: key.deviceId.toUpperCase() });
    expect(found.state).toBe('synced');
  });

  const otherMaterial = others[0]?.keyMaterial ?? new Uint8Array();
  const { deviceId: _, ...withoutDevice } = ours;
  it.each<[string, KeyCredential]>([
    ['our KeyID with other key material', { ...ours, keyMaterial: otherMaterial }],
    ['our key material with another KeyID', { ...ours, keyId: new Uint8Array(32) }],
    ['a KeyID that is cut off', { ...ours, keyId: ours.keyId.subarray(0, 31) }],
    ['our key for another use', { ...ours, usage: KEY_CREDENTIAL_USAGE.FIDO }],
  ])('never mistakes %s for our key', async (__, foreign) => {
    const found = await status(holding(foreign), 1);
    expect(found).toEqual({ ...forecastSync(START), state: 'pending', place: 'active-directory' });
  });

  it('does not count our key with another device, and says so', async () => {
    const deviceId = '11111111-2222-3333-4444-555555555555';
    expect(await status(holding({ ...ours, deviceId }), 1)).toMatchObject({ state: 'pending', otherDevice: deviceId });
    expect(await status(holding(withoutDevice), 99)).toMatchObject({
      state: 'overdue',
      otherDevice: '00000000-0000-0000-0000-000000000000',
    });
    expect((await status(holding({ ...ours, deviceId }, ours), 1)).state).toBe('synced');
  });

  it('stays registered if the directory cannot be reached, and throws lasting errors', async () => {
    const found = await status(failing('service-unreachable'), 99);
    expect(found).toMatchObject({ state: 'registered', problem: { code: 'service-unreachable' } });
    expect(await asyncRefusal(() => status(failing('service-refused'), 1))).toBe('service-refused: LDAP: no');
    const broken = readerOf(() => {
      throw new TypeError('a bug');
    });
    await expect(status(broken, 1)).rejects.toThrow('a bug');
  });

  it('refuses an invalid key', async () => {
    await expect(syncStatus({ ...key, keyId: new Uint8Array(31) })).rejects.toThrow(RangeError);
    await expect(syncStatus({ ...key, deviceId: 'pc7' })).rejects.toThrow(TypeError);
  });
});

describe('waitForSync', () => {
  /** A clock that only `sleep` moves, and a directory that has the key from minute `from` on. */
  function world(from: number, failUntil = 0) {
    let clock = 0;
    const seen: [minute: number, state: SyncStatus['state']][] = [];
    const reader = readerOf(() => {
      if (clock < failUntil) throw errorOfCode('service-timeout', 'LDAP: late');
      return clock < from ? others : [...others, ours];
    });
    const wait = (pollMinutes: number, signal?: AbortSignal) =>
      waitForSync(key, {
        reader,
        pollMs: pollMinutes * MINUTE,
        now: () => at(clock),
        sleep: async (ms) => {
          clock += ms / MINUTE;
        },
        onProgress: ({ state }) => seen.push([clock, state]),
        signal,
      });
    return { seen, wait };
  }

  it('looks at its interval until the key is there', async () => {
    const { seen, wait } = world(25);
    expect(await wait(10)).toEqual({ state: 'synced', place: 'active-directory', seen: at(30) });
    expect(seen).toEqual([
      [0, 'pending'],
      [10, 'pending'],
      [20, 'pending'],
      [30, 'synced'],
    ]);
  });

  it('ends as soon as the key is late', async () => {
    const { seen, wait } = world(1000);
    expect((await wait(25)).state).toBe('overdue');
    expect(seen.map(([minute]) => minute)).toEqual([0, 25, 50, 60]);
  });

  it('continues while the directory cannot be reached, and reports it', async () => {
    const { seen, wait } = world(5, 15);
    expect((await wait(10)).state).toBe('synced');
    expect(seen.map(([, state]) => state)).toEqual(['registered', 'registered', 'synced']);
  });

  it('throws the error that kept it from looking once the key is late', async () => {
    const { seen, wait } = world(5, 1000);
    expect(await asyncRefusal(() => wait(30))).toBe('service-timeout: LDAP: late');
    expect(seen.map(([minute]) => minute)).toEqual([0, 30, 60]);
  });

  it('ends with its signal before a look and in a pause, and throws its reason', async () => {
    const early = world(25);
    await expect(early.wait(10, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
    expect(early.seen).toEqual([]);

    const aborter = new AbortController();
    const onProgress = () => aborter.abort(new Error('enough'));
    const waiting = waitForSync(key, { reader: holding(), now: () => at(0), onProgress, signal: aborter.signal });
    await expect(waiting).rejects.toThrow('enough');
  });

  it('does not wait for the real clock if the key is already there', async () => {
    expect((await waitForSync({ ...key, registered: new Date() }, { reader: holding(ours) })).state).toBe('synced');
  });

  it.each([0, -5, Number.NaN])('refuses to look every %d ms', async (pollMs) => {
    await expect(waitForSync(key, { reader: holding(), pollMs })).rejects.toThrow(RangeError);
  });
});

describe('describeSyncStatus', () => {
  const sentence = async (reader: DirectoryReader | undefined, minutes: number, obstacles: readonly string[] = []) =>
    describeSyncStatus(
      await syncStatus(key, {
        ...(reader && { reader }),
        schedule: { intervalMs: 30 * MINUTE, obstacles },
        now: () => at(minutes),
      }),
    );

  it('says what a reader of Entra ID has not found there', async () => {
    const entra = readerOf(() => [], 'entra');
    expect(await sentence(entra, 0, ['it is off'])).toBe(
      'Entra ID does not have the key for this device yet, so sign-in with the PIN may fail.',
    );
    expect(await sentence(entra, 61)).toBe(
      'Entra ID still does not have the key for this device, so sign-in with the PIN may fail.',
    );
  });

  it.each(['entra', 'active-directory'] as const)('names the device that the key in %s belongs to', async (place) => {
    const deviceId = '11111111-2222-3333-4444-555555555555';
    const elsewhere = readerOf(() => [{ ...ours, deviceId }], place);
    for (const minutes of [0, 61]) {
      expect(await sentence(elsewhere, minutes)).toMatch(
        /[a-z0-9ZC]\. The directory has the key, but for another device: 11111111-2222-3333-4444-555555555555\.$/,
      );
    }
  });

  it('tells the user what the PIN can be used for', async () => {
    const later =
      'The PIN works for sign-in at the service now. If the service synchronizes with Active Directory, the PIN works on premises from about 2026-01-01 12:30';
    expect(await sentence(undefined, 0)).toBe(`${later}:00 UTC.`);
    expect(await sentence(holding(), 0, ['it is off'])).toBe(`${later}:00 UTC (it is off).`);
    expect(await sentence(holding(), 60)).toBe(
      'The PIN works for sign-in at the service, but the key should have been on premises since 2026-01-01 12:30:00 UTC.',
    );
    expect(await sentence(holding(ours), 0)).toBe('The PIN works for sign-in at the service and on premises.');
    expect(
      await sentence(
        readerOf(() => [ours], 'entra'),
        0,
      ),
    ).toContain('has not been checked');
  });
});
