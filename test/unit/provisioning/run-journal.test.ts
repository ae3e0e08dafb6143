import { createHash } from 'node:crypto';
import promises, { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type KeyStore, openKeyStore } from '../../../src/keys/key-store.ts';
import type { RegistrationRecord } from '../../../src/provisioning/registration-record.ts';
import { claimRun, listRuns, type RunJournal, type RunState } from '../../../src/provisioning/run-journal.ts';
import { withStoreLock } from '../../../src/storage/hold-lock.ts';
import { keyRecord } from '../../key-record.ts';
import { patchBuiltin } from '../../patch-builtin.ts';
import { asyncRefusal } from '../../refusal.ts';

const begin = {
  user: 'alice@contoso.test',
  deviceId: '47f577e3-d2d0-4a0a-8aca-e0501098bde4',
  service: 'https://service.test/EnrollmentServer/key/',
  now: new Date('2026-01-02T03:04:05.678Z'),
};

/** An action that runs once after a directory is read. The names come in an unusual order. */
let afterReading: (() => Promise<void>) | undefined;
const { readdir: read } = promises;
patchBuiltin(promises, {
  readdir: async (...given: unknown[]): Promise<never> => {
    const names: string[] = (await Reflect.apply(read, promises, given)).sort().reverse();
    const then = afterReading;
    afterReading = undefined;
    await then?.();
    return names as never;
  },
});

let store: KeyStore;
beforeEach(async () => {
  store = await openKeyStore(await mkdtemp(join(tmpdir(), 'keyprov-runs-')));
});
afterEach(() => rm(store.directory, { recursive: true }));

const claim = async (change: Partial<typeof begin> = {}) => await claimRun(store, { ...begin, ...change });
/** All files but the lock of the store, which stays. */
const files = async () => (await readdir(store.directory)).filter((name) => name !== '.keyprov.lock').sort();
/** As if the process that wrote the journal had been killed: its file is there, and its lock is free. */
async function killed(journal: RunJournal): Promise<void> {
  const text = await readFile(journal.path, 'utf8');
  await journal.remove();
  await writeFile(journal.path, text);
}

const registration: RegistrationRecord = {
  user: begin.user,
  deviceId: begin.deviceId,
  kid: '0ce67455-8ea1-4523-be5f-bfd09190fad6',
  keyId: new Uint8Array(32).fill(7),
  attestationLevel: 'certified',
  aikStatus: 'uncertified',
  domain: 'contoso.test',
  tenant: '',
  service: begin.service,
  registered: new Date('2026-01-02T03:05:00.000Z'),
  pctx: 'eyJEZXZpY2VJRCI6=not base64',
};
const key = keyRecord('ngc-1');
const PROGRESS: readonly RunState['progress'][] = [
  { step: 'begun' },
  { step: 'made', key },
  { step: 'sending', key },
  { step: 'registered', key, registration },
  { step: 'unwanted', user: 'bob@contoso.test', kid: registration.kid },
  { step: 'unwanted', user: 'bob@contoso.test', kid: registration.kid, keyId: registration.keyId },
];

describe('a run', () => {
  it('begins with its own journal, which is on the disk', async () => {
    const { journal, resumed } = await claim();
    expect(resumed).toBe(false);
    const { user, deviceId, service } = begin;
    expect(journal.state).toEqual({
      ...{ id: journal.state.id, user, deviceId, service, started: '2026-01-02T03:04:05.678Z' },
      progress: { step: 'begun' },
    });
    expect(journal.state.id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(await listRuns(store)).toEqual([{ state: journal.state, active: true, path: journal.path }]);
  });

  it.each(PROGRESS)('continues at the step $step after its process was killed', async (progress) => {
    const { journal } = await claim();
    await journal.write({ progress });
    await killed(journal);
    expect(await listRuns(store)).toEqual([{ state: journal.state, active: false, path: journal.path }]);
    const again = await claim();
    expect(again.resumed).toBe(true);
    expect(again.journal.state).toEqual(journal.state);
  });

  it('is the only one of its user and device, in any case', async () => {
    const { journal } = await claim();
    const said = `run-active: process ${process.pid} is provisioning a key for ALICE@contoso.test; wait until that run ends, or end its process`;
    expect(await asyncRefusal(() => claim({ user: 'ALICE@contoso.test' }))).toBe(said);
    expect((await claim({ user: 'bob@contoso.test' })).resumed).toBe(false);
    expect((await claim({ deviceId: '00000000-0000-0000-0000-000000000001' })).resumed).toBe(false);
    await journal.release();
    expect((await claim({ user: 'ALICE@contoso.test' })).journal.state.id).toBe(journal.state.id);
  });

  it('is the only one, even if nothing tells who has it', async () => {
    const { journal } = await claim();
    await writeFile(journal.path.replace('.json', '.lock'), '');
    expect(await asyncRefusal(() => claim())).toMatch('run-active: another process is provisioning a key for alice');
  });

  it('leaves only its journal for a later start', async () => {
    const { journal } = await claim();
    await journal.release();
    expect(await files()).toEqual([basename(journal.path)]);
  });

  it('keeps its state if the new one cannot be written', async () => {
    const { journal } = await claim();
    const { state } = journal;
    await rm(store.directory, { recursive: true });
    expect(await asyncRefusal(() => journal.write({ progress: { step: 'made', key } }))).toMatch(/^store-io: /);
    expect(journal.state).toBe(state);
    await mkdir(store.directory); // for afterEach
  });

  it('leaves nothing once it is removed', async () => {
    const { journal } = await claim();
    await journal.remove();
    expect(await listRuns(store)).toEqual([]);
    expect(await files()).toEqual([]);
    expect((await claim()).resumed).toBe(false);
  });

  it('is not a key of the store', async () => {
    await claim();
    expect(await store.list()).toEqual({ records: [], damaged: [] });
  });
});

describe('the runs of a store', () => {
  it('are listed by the names of their files; other files are not read', async () => {
    for (const name of 'abcdef') await claim({ user: `${name}@contoso.test` });
    const paths = (await files()).filter((name) => name.endsWith('.json')).map((name) => join(store.directory, name));
    const [first = ''] = paths.map((path) => basename(path));
    for (const name of [`my-${first}`, `${first}.old`, 'run-0.json', 'notes']) {
      await writeFile(join(store.directory, name), 'nonsense');
    }
    expect((await listRuns(store)).map(({ path }) => path)).toEqual(paths);
    expect(paths).toHaveLength(6);
  });

  it('are none, at once, if there is no journal', async () => {
    await writeFile(join(store.directory, 'notes'), 'nonsense');
    expect(await withStoreLock(store.directory, () => listRuns(store))).toEqual([]);
  });

  it('do not include one that ends meanwhile', async () => {
    const { journal } = await claim();
    afterReading = () => journal.remove();
    expect(await listRuns(store)).toEqual([]);
    expect(afterReading).toBeUndefined();
  });
});

describe('a journal of an earlier version', () => {
  /** The text of a journal with that version and something changed in the record. */
  const asVersion = (version: number, text: string, change: (record: Record<string, object>) => void): string => {
    const file = JSON.parse(text);
    change(file.record);
    const sha256 = createHash('sha256').update(JSON.stringify(file.record)).digest('hex');
    return `${JSON.stringify({ ...file, version, sha256 }, undefined, 2)}\n`;
  };

  it('1 continues, and then has the present form', async () => {
    const name = 'run-b6571866d5ecfe6e.json';
    const text = await readFile(`test/vectors/old-store/${name}`, 'utf8');
    // In its key records a policy that is empty meant none.
    const withoutPolicy = asVersion(1, text, ({ progress }) => {
      if (progress !== undefined && 'key' in progress) Object.assign(progress.key ?? {}, { policy: {} });
    });
    for (const [written, policy] of [
      [text, expect.objectContaining({ hardware: 'discouraged' })],
      [withoutPolicy, undefined],
    ] as const) {
      await writeFile(join(store.directory, name), written);
      const { journal, resumed } = await claim({ user: 'bob@contoso.test' });
      expect([resumed, basename(journal.path)]).toEqual([true, name]);
      const { progress } = journal.state;
      expect(progress).toMatchObject({ step: 'sending' });
      expect(progress.step === 'sending' && progress.key.policy).toEqual(policy);
      expect(JSON.parse(await readFile(journal.path, 'utf8')).version).toBe(3);
      await journal.release();
    }
  });

  // Its records listed the TPM's contents before the run.
  it('2 continues, and then has the present form', async () => {
    const { journal } = await claim();
    await journal.write({ progress: { step: 'made', key } });
    await killed(journal);
    const text = await readFile(journal.path, 'utf8');
    await writeFile(
      journal.path,
      asVersion(2, text, (record) => Object.assign(record, { before: ['0x80000000'] })),
    );
    expect((await claim()).journal.state).toEqual(journal.state);
    expect(await readFile(journal.path, 'utf8')).toBe(text);
  });
});

describe('a journal that is damaged', () => {
  it('blocks its run: once it is removed, another one begins', async () => {
    const { journal } = await claim();
    await killed(journal);
    await writeFile(journal.path, 'nonsense');
    expect(await asyncRefusal(() => claim())).toMatch(/^journal-invalid: /);
    expect(await files()).toEqual([basename(journal.path)]);
    await rm(journal.path);
    expect((await claim()).resumed).toBe(false);
  });

  it.each([
    ['cut off', (text: string) => text.slice(0, -20)],
    ['changed', (text: string) => text.replace('alice', 'malice')],
    ['of a newer version', (text: string) => text.replace('"version": 3', '"version": 4')],
  ])('%s, is an error that names the file', async (_, change) => {
    const { journal } = await claim();
    await killed(journal);
    await writeFile(journal.path, change(await readFile(journal.path, 'utf8')));
    for (const use of [() => claim(), () => listRuns(store)]) {
      expect(await asyncRefusal(use)).toMatch(`journal-invalid: the run journal ${journal.path} `);
    }
  });
});
