import { getEventListeners } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../../src/bytes.ts';
import type { KeyRecord } from '../../../src/keys/key-record.ts';
import { type KeyStore, openKeyStore } from '../../../src/keys/key-store.ts';
import { readLastBackend } from '../../../src/keys/last-backend.ts';
import { openPinTryLog } from '../../../src/keys/pin-try-log.ts';
import { readWrappingSecret } from '../../../src/keys/wrapping-secret.ts';
import { temporaryName } from '../../../src/storage/atomic-file.ts';
import type { StoreLockOptions } from '../../../src/storage/hold-lock.ts';
import { encodeRecord } from '../../../src/storage/record-file.ts';
import { keyRecord } from '../../key-record.ts';
import { asyncRefusal } from '../../refusal.ts';

let root: string;
let directory: string;
let store: KeyStore;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'keyprov-store-'));
  directory = join(root, 'keys');
  store = await openKeyStore(directory);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const path = (id: string) => join(directory, `key-${id}.json`);
const mode = async (of: string) => ((await stat(of)).mode & 0o777).toString(8);

describe('openKeyStore', () => {
  it('makes the directory for its owner only', async () => {
    expect(await mode(directory)).toBe('700');
  });

  it('refuses a directory that others may write in', async () => {
    await chmod(directory, 0o770);
    expect(await asyncRefusal(() => openKeyStore(directory))).toBe(
      `not-private: ${directory} is writable by other users (mode 0770); choose another directory, or, if only keyprov uses this one, chmod go-w ${directory}`,
    );
  });

  it('refuses a file in place of the directory', async () => {
    await writeFile(join(root, 'file'), '');
    expect(await asyncRefusal(() => openKeyStore(join(root, 'file')))).toMatch(/^store-io: .*file is not a directory/);
  });

  it('removes temporary files of dead processes, but no recent ones', async () => {
    const [old, young] = [temporaryName(), temporaryName()];
    await writeFile(join(directory, old), '{"half":');
    await writeFile(join(directory, young), '{"half":');
    await utimes(join(directory, old), 1, 1);
    await openKeyStore(directory);
    expect(await readdir(directory)).toEqual([young]);
  });
});

/** A promise that is fulfilled by `open`. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = () => {};
  const opened = new Promise<void>((fulfil) => {
    open = fulfil;
  });
  return { opened, open };
}

describe('the key store', () => {
  it('saves a record for its owner only, loads and lists it, and deletes it', async () => {
    await store.save(keyRecord('b'));
    await store.save(keyRecord('a'));
    expect(await mode(path('b'))).toBe('600');
    expect(await store.load('b')).toEqual(keyRecord('b'));
    expect(await store.list()).toEqual({ records: [keyRecord('a'), keyRecord('b')], damaged: [] });
    await store.delete('a');
    expect((await store.list()).records.map(({ id }) => id)).toEqual(['b']);
    const names = (await readdir(directory)).filter((name) => !name.startsWith('.lock-'));
    expect(names).toEqual(['.keyprov.lock', 'key-b.json', expect.stringMatching(/^last-[0-9a-f]{16}\.json$/)]);
  });

  it('deletes the files next to a record first, so that deleting again completes an interrupted deletion', async () => {
    await store.save(keyRecord('a', { exports: ['key.pem'] }));
    for (const name of ['attestation.json', 'key.pem', 'public.pem']) await writeFile(join(directory, name), '');
    await mkdir(join(directory, 'request.json'));
    expect(await asyncRefusal(() => store.delete('a'))).toMatch(/^store-io: /);
    expect((await store.load('a')).id).toBe('a');
    await rm(join(directory, 'request.json'), { recursive: true });
    await store.delete('a');
    expect((await readdir(directory)).filter((name) => !/^\.|^last-/.test(name))).toEqual([]);
  });

  it('keeps a key with a PIN try in progress, and deletes it afterwards', async () => {
    const record = keyRecord('a');
    await store.save(record);
    const log = await openPinTryLog(directory);
    const [started, ended] = [gate(), gate()];
    const trying = log.attempt(record.publicKey, async () => {
      started.open();
      await ended.opened;
      return true;
    });
    await started.opened;
    expect(await asyncRefusal(() => store.delete('a', { timeout: 0 }))).toMatch(/^store-busy: /);
    expect((await store.load('a')).id).toBe('a');
    ended.open();
    await trying;
    await store.delete('a');
    expect(await readdir(directory)).not.toContain('pin-attempts');
  });

  it('keeps the first of two records with the same id', async () => {
    await store.save(keyRecord('a'));
    const again = await asyncRefusal(() => store.save(keyRecord('a', { name: 'another' })));
    expect(again).toMatch(/^key-exists: the key store at .* already has a key a; delete it first/);
    expect((await store.load('a')).name).toBe('key a');
  });

  it('says which key it has not got', async () => {
    expect(await asyncRefusal(() => store.load('a'))).toMatch(/^key-not-found: .* has no key a;/);
    expect(await asyncRefusal(() => store.delete('a'))).toMatch(/^key-not-found: /);
    expect(await asyncRefusal(() => store.update('a', (record) => record))).toMatch(/^key-not-found: /);
  });

  it('keeps a record if the function that changes it returns none', async () => {
    await store.save(keyRecord('a'));
    await expect(store.update('a', () => Object(undefined).record)).rejects.toThrow(
      new TypeError('the result of change must be an object with id'),
    );
    expect((await store.load('a')).name).toBe('key a');
  });

  it('refuses ids that lead out of the directory, in every call', async () => {
    await store.save(keyRecord('a'));
    for (const id of ['../keys/key-a', '../a', 'a/../a', '']) {
      await expect(store.load(id)).rejects.toThrow(RangeError);
      await expect(store.delete(id)).rejects.toThrow(RangeError);
      await expect(store.update(id, (record) => record)).rejects.toThrow(RangeError);
      await expect(store.save(keyRecord(id))).rejects.toThrow(RangeError);
    }
  });

  it('refuses an id that is no text, and nothing instead of a key', async () => {
    for (const id of [undefined, null, 5] as unknown as string[]) {
      const problem = new TypeError('the key id must be a string');
      await expect(store.load(id)).rejects.toThrow(problem);
      await expect(store.delete(id)).rejects.toThrow(problem);
      await expect(store.update(id, (record) => record)).rejects.toThrow(problem);
      await expect(store.save({ ...keyRecord('a'), id })).rejects.toThrow(problem);
      const record = id as unknown as KeyRecord;
      await expect(store.save(record)).rejects.toThrow('the key to save must be an object');
      await expect(store.save({ record })).rejects.toThrow('the key to save must be an object');
    }
    expect(await readdir(directory)).toEqual([]);
  });

  it('updates a record, and leaves it as it was when the change fails or would rename it', async () => {
    await store.save(keyRecord('a'));
    const changed = await store.update('a', (record) => ({ ...record, annotations: { counter: 1 } }));
    expect(changed.annotations).toEqual({ counter: 1 });
    const fail = () => Promise.reject(new Error('no'));
    await expect(store.update('a', fail)).rejects.toThrow('no');
    await expect(store.update('a', (record) => ({ ...record, id: 'b' }))).rejects.toThrow(RangeError);
    expect(await store.load('a')).toEqual(changed);
    expect(await mode(path('a'))).toBe('600');
    expect((await readdir(directory)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('writes no record that it could not read again', async () => {
    const said = await asyncRefusal(() => store.save(keyRecord('a', { created: 'now' })));
    expect(said).toMatch(/^store-invalid: the key record of a, not written yet, is damaged/);
    expect(await readdir(directory)).toEqual([]);
  });

  it('lists the sound records beside damaged ones, and names the files of those', async () => {
    await store.save(keyRecord('a'));
    await store.save(keyRecord('b'));
    await writeFile(path('b'), (await readFile(path('b'), 'utf8')).slice(0, 100));
    const { records, damaged } = await store.list();
    expect(records).toEqual([keyRecord('a')]);
    expect(damaged.map(({ code, message }) => [code, message.includes(path('b'))])).toEqual([['store-invalid', true]]);
    expect(await asyncRefusal(() => store.load('b'))).toMatch(/^store-invalid: /);
    await store.delete('b');
    expect((await store.list()).damaged).toEqual([]);
  });

  it('refuses a record under the name of another one', async () => {
    await store.save(keyRecord('a'));
    await writeFile(path('b'), await readFile(path('a'), 'utf8'));
    expect(await asyncRefusal(() => store.load('b'))).toBe(
      `store-invalid: the key record ${path('b')} belongs to the key a; rename the file to its original name`,
    );
  });

  it('refuses a record of a newer version and leaves its file alone', async () => {
    await store.save(keyRecord('a'));
    const newer = (await readFile(path('a'), 'utf8')).replace('"version": 2', '"version": 3');
    await writeFile(path('a'), newer);
    expect(await asyncRefusal(() => store.load('a'))).toMatch(
      /^store-invalid: .* has version 3; this keyprov reads versions up to 2/,
    );
    expect(await asyncRefusal(() => store.update('a', (record) => record))).toMatch(/^store-invalid: /);
    expect(await asyncRefusal(() => store.save(keyRecord('a')))).toMatch(/^key-exists: /);
    expect(await readFile(path('a'), 'utf8')).toBe(newer);
  });

  it('reports what the file system refuses', async () => {
    await mkdir(path('a'));
    expect(await asyncRefusal(() => store.load('a'))).toMatch(/^not-private: .*not a regular file/);
    await rm(directory, { recursive: true });
    expect(await asyncRefusal(() => store.list())).toMatch(/^store-io: .* does not exist/);
    expect(await asyncRefusal(() => store.save(keyRecord('a')))).toMatch(/^store-io: .* does not exist/);
  });

  it('loses no update of callers in one process, with one store or two', async () => {
    await store.save(keyRecord('a'));
    const second = await openKeyStore(directory);
    const add = (to: KeyStore) =>
      to.update('a', async (record) => ({
        ...record,
        annotations: { counter: Number(record.annotations.counter) + 1 },
      }));
    await Promise.all(Array.from({ length: 40 }, (_, turn) => add(turn % 2 === 0 ? store : second)));
    expect((await store.load('a')).annotations).toEqual({ counter: 40 });
  });

  it.each([
    ['stays noted when an older software key is removed', -60_000, 'now', 'tpm'],
    ['stays noted when the note is copied from a backup of wrong times', -60_000, 'copied', 'tpm'],
    ['stays noted when the note is of an earlier version', -60_000, 'old', 'tpm'],
    ['is no longer the last one after a newer software key', 60_000, 'now', 'software'],
    ['is no longer the last one even if the note of an earlier version is older', 60_000, 'old', 'software'],
  ])('a TPM key that was removed %s', async (_, age, note, noted) => {
    const user = 'ada@contoso.test';
    const { pinDerivation: _derivation, parent: _parent, tpm: _tpm, ...rest } = keyRecord('software');
    const created = new Date(Date.now() + age).toISOString();
    await store.save({ ...rest, backend: 'software', assurance: 'software', created });
    await store.save(keyRecord('tpm'));
    await store.delete('tpm');
    const path = join(directory, (await readdir(directory)).find((name) => name.startsWith('last-')) ?? '');
    if (note === 'old') {
      const format = { format: 'keyprov-last-key', version: 1, toJson: (record: object) => record };
      const rest = { what: '', code: 'store-invalid', remedy: '', fromJson: () => ({}) } as const;
      await writeFile(path, encodeRecord({ ...format, ...rest }, { user, backend: 'tpm' }));
    }
    if (note === 'copied') await utimes(path, 0, 0);
    await store.delete('software');
    expect(await readLastBackend(directory, user)).toBe(noted);
  });

  describe('while another caller in this process has the lock', () => {
    let finish: () => void;
    let first: Promise<unknown>;
    beforeEach(async () => {
      await store.save(keyRecord('a'));
      await new Promise<void>((begun) => {
        first = store.update('a', async (record) => {
          begun();
          await new Promise<void>((resolve) => {
            finish = resolve;
          });
          return record;
        });
      });
    });
    afterEach(async () => {
      finish();
      await first;
    });

    const CALLS = [
      ['save', (options: StoreLockOptions) => store.save(keyRecord('b'), options)],
      ['update', (options: StoreLockOptions) => store.update('a', (record) => record, options)],
      ['delete', (options: StoreLockOptions) => store.delete('a', options)],
    ] as const;

    it.each(CALLS)('ends the wait of %s when its signal aborts', async (_, call) => {
      const reason = new Error('enough');
      const ended = new AbortController();
      const waiting = call({ signal: ended.signal });
      ended.abort(reason);
      await expect(waiting).rejects.toBe(reason);
      await expect(call({ signal: ended.signal })).rejects.toBe(reason);
    });

    it.each(CALLS)('ends the wait of %s after its time-out', async (_, call) => {
      for (const timeout of [0, 30]) {
        expect(await asyncRefusal(() => call({ timeout }))).toContain(
          `store-busy: ${directory} is locked by another call in this process`,
        );
      }
    });

    it('causes no warning of Node.js if many calls share a signal', async () => {
      const warnings: Error[] = [];
      const onWarning = (warning: Error): unknown => warnings.push(warning);
      process.on('warning', onWarning);
      const { signal } = new AbortController();
      const waiting = Array.from({ length: 20 }, () => store.update('a', (record) => record, { signal }));
      await delay(5);
      finish();
      await Promise.all(waiting);
      process.off('warning', onWarning);
      expect(warnings).toEqual([]);
      expect(getEventListeners(signal, 'abort')).toEqual([]);
    });

    it('ends all waiting calls that share a signal', async () => {
      const ended = new AbortController();
      const { signal } = ended;
      const waiting = Array.from({ length: 20 }, () => store.update('a', (record) => record, { signal }));
      const reason = new Error('enough');
      ended.abort(reason);
      for (const { status, ...result } of await Promise.allSettled(waiting))
        expect([status, result]).toEqual(['rejected', { reason }]);
      expect(getEventListeners(signal, 'abort')).toEqual([]);
    });

    it('lets others wait in line for longer than their time-out', async () => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
      try {
        const change = (record: KeyRecord): KeyRecord => {
          vi.advanceTimersByTime(150);
          return record;
        };
        const waiting = Array.from({ length: 20 }, () => store.update('a', change, { timeout: 200 }));
        finish();
        expect((await Promise.all(waiting)).map(({ id }) => id)).toEqual(Array(20).fill('a'));
      } finally {
        vi.useRealTimers();
      }
    });
  });

  it('lets one of many callers save the same id', async () => {
    const second = await openKeyStore(directory);
    const saved = await Promise.all(
      Array.from({ length: 10 }, (_, turn) =>
        asyncRefusal(() => (turn % 2 === 0 ? store : second).save(keyRecord('a', { name: `${turn}` }))),
      ),
    );
    expect(saved.filter((said) => said === 'nothing thrown').length).toBe(1);
    expect(saved.filter((said) => said.startsWith('key-exists: ')).length).toBe(9);
  });
});

describe('readWrappingSecret', () => {
  it('makes 32 random bytes once, for the owner only', async () => {
    const other = await openKeyStore(join(root, 'other'));
    const secrets = await Promise.all(Array.from({ length: 8 }, () => readWrappingSecret(store)));
    expect(new Set(secrets.map(toHex)).size).toBe(1);
    expect(secrets[0]?.length).toBe(32);
    expect(await mode(join(directory, 'wrapping.secret'))).toBe('600');
    expect(toHex(await readWrappingSecret(other))).not.toBe(toHex(secrets[0] ?? new Uint8Array()));
  });

  it('is given out as a copy that can be wiped', async () => {
    (await readWrappingSecret(store)).fill(0);
    expect(toHex(await readWrappingSecret(store))).not.toBe('00'.repeat(32));
  });

  it('refuses a file of another size, and makes no new one in its place', async () => {
    await writeFile(join(directory, 'wrapping.secret'), 'short', { mode: 0o600 });
    expect(await asyncRefusal(() => readWrappingSecret(store))).toMatch(/^store-invalid: .* has 5 bytes, not 32/);
    await rm(join(directory, 'wrapping.secret'));
    await symlink('nowhere', join(directory, 'wrapping.secret'));
    expect(await asyncRefusal(() => readWrappingSecret(store))).toMatch(/^not-private: .* is a symbolic link/);
  });
});
