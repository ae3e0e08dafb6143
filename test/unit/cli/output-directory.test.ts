import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ExportedFiles, openOutputDirectory, saveWithSecret } from '../../../src/cli/output-directory.ts';
import { encodeKeyRecord } from '../../../src/keys/key-record.ts';
import { openKeyStore } from '../../../src/keys/key-store.ts';
import { readWrappingSecret } from '../../../src/keys/wrapping-secret.ts';
import { createFile } from '../../../src/storage/atomic-file.ts';
import { withStoreLock } from '../../../src/storage/hold-lock.ts';
import { keyRecord } from '../../key-record.ts';
import { asyncRefusal } from '../../refusal.ts';

const OLD: ExportedFiles = { 'attestation.json': 'a1', 'key.pem': 'k1', 'public.pem': 'p1', 'request.json': 'r1' };
const NEW: ExportedFiles = { 'request.json': 'r2', 'key.pem': 'k2', 'public.pem': 'p2' };
const oldKey = keyRecord('old', { exports: ['key.pem'] });
const newKey = keyRecord('new', { exports: ['key.pem'] });
const never = new AbortController().signal;
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyprov-out-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** The lock of the store stays. */
const names = () =>
  readdirSync(directory)
    .filter((name) => !name.startsWith('.'))
    .sort();
const contents = () => names().map((name) => [name, readFileSync(join(directory, name), 'utf8')]);
const exported = (files: ExportedFiles, ...keys: string[]) => [...Object.keys(files), ...keys].sort();

async function earlierCall(): Promise<void> {
  await (await openOutputDirectory(directory, false)).write(oldKey, OLD, never);
}

describe('the output directory', () => {
  it('is a store with one key, and its exports beside it, for the owner only', async () => {
    const out = await openOutputDirectory(directory, false);
    await out.write(newKey, NEW, never);
    expect(names()).toEqual(exported(NEW, 'key-new.json'));
    expect(await (await openKeyStore(directory)).list()).toEqual({ records: [newKey], damaged: [] });
    expect(statSync(join(directory, 'key.pem')).mode & 0o777).toBe(0o600);
  });

  it('is refused with files of an earlier call, whichever', async () => {
    writeFileSync(join(directory, 'public.pem'), 'p1');
    await expect(openOutputDirectory(directory, false)).rejects.toMatchObject({
      code: 'key-exists',
      remedy: expect.stringContaining('--force'),
    });
    expect(contents()).toEqual([['public.pem', 'p1']]);
  });

  it('contains nothing of the replaced call', async () => {
    await earlierCall();
    const out = await openOutputDirectory(directory, true);
    expect(out.earlier).toEqual([oldKey]);
    await out.write(newKey, NEW, never);
    expect(names()).toEqual(exported(NEW, 'key-new.json'));
  });

  it('never replaces keys that no earlier call put there', async () => {
    await (await openKeyStore(directory)).save(keyRecord('other', { exports: undefined }));
    const before = contents();
    await expect(openOutputDirectory(directory, true)).rejects.toMatchObject({ code: 'key-exists' });
    expect(contents()).toEqual(before);
  });

  it.each([
    ['a new key', async () => {}],
    ['one that replaces another', earlierCall],
  ])('is as it was when the writing of %s ends half-way', async (_, before) => {
    await before();
    const old = contents();
    const out = await openOutputDirectory(directory, true);
    const abort = new AbortController();
    const interrupting: ExportedFiles = {
      ...NEW,
      get 'key.pem'() {
        abort.abort(new Error('Ctrl-C'));
        return 'k2';
      },
    };
    await expect(out.write(newKey, interrupting, abort.signal)).rejects.toThrow('Ctrl-C');
    expect(contents()).toEqual(old);
  });

  it('does not overwrite what another program has written meanwhile', async () => {
    const out = await openOutputDirectory(directory, false);
    const racing: ExportedFiles = {
      ...NEW,
      get 'public.pem'() {
        writeFileSync(join(directory, 'public.pem'), 'theirs');
        return 'p2';
      },
    };
    await expect(out.write(newKey, racing, never)).rejects.toMatchObject({ code: 'key-exists' });
    expect(contents()).toEqual([['public.pem', 'theirs']]);
  });

  it("is for one call at a time, and does not replace the other call's files", async () => {
    const out = await openOutputDirectory(directory, false);
    const second = openOutputDirectory(directory, false);
    await out.write(newKey, NEW, never);
    await expect(second).rejects.toMatchObject({ code: 'key-exists' });
    expect(names()).toEqual(exported(NEW, 'key-new.json'));
    const leftOver = readdirSync(directory).filter((name) => name.startsWith('.'));
    expect(leftOver).toEqual(['.keyprov.lock']);
  });

  it('has one of the two keys at every moment in which a process that replaces one may be killed', async () => {
    await earlierCall();
    const out = await openOutputDirectory(directory, true);
    const seen = new Set<string>();
    const look = async (): Promise<void> => {
      const { records, damaged } = await (await openKeyStore(directory)).list();
      seen.add([...records.map(({ id }) => id), ...damaged.map(({ code }) => code)].join(' and '));
    };
    const watched = (name: 'save' | 'delete') => {
      const work = out.store[name].bind(out.store);
      return async (...given: never[]) => {
        await look();
        await Reflect.apply(work, undefined, given);
        await look();
      };
    };
    Object.assign(out.store, { save: watched('save'), delete: watched('delete') });
    await out.write(newKey, NEW, never);
    await look();
    expect([...seen]).toEqual(['old', 'new and old', 'new']);
  });

  it('does not lose the wrapping secret of a key that another call has put there', async () => {
    const failed = await openOutputDirectory(directory, false);
    await readWrappingSecret(failed.store);
    await failed.store.save(keyRecord('other'));
    await failed.discard();
    expect(names()).toEqual(['key-other.json', 'wrapping.secret']);
  });

  it('does not lose the wrapping secret of a key that is just being saved', async () => {
    const failed = await openOutputDirectory(directory, false);
    await readWrappingSecret(failed.store);
    let discarded = Promise.resolve();
    await withStoreLock(directory, async () => {
      discarded = failed.discard();
      await delay(50);
      await createFile(directory, 'key-other.json', encodeKeyRecord(keyRecord('other')));
    });
    await discarded;
    expect(names()).toEqual(['key-other.json', 'wrapping.secret']);
  });

  it('is told to a key that is saved too late, which is not kept', async () => {
    const store = await openKeyStore(directory);
    const software = keyRecord('late', { backend: 'software', hasPin: false });
    expect(await asyncRefusal(() => saveWithSecret(store, software, {}))).toMatch(
      /^store-busy: .*; run this command ag/,
    );
    expect(names()).toEqual([]);
    await readWrappingSecret(store);
    await saveWithSecret(store, software, {});
    await saveWithSecret(store, keyRecord('in-tpm'), {});
    expect(names()).toEqual(['key-in-tpm.json', 'key-late.json', 'wrapping.secret']);
  });

  it('loses the wrapping secret of a failed run, but not an earlier one', async () => {
    const failed = await openOutputDirectory(directory, false);
    await readWrappingSecret(failed.store);
    await failed.discard();
    expect(names()).toEqual([]);
    await readWrappingSecret(failed.store);
    await (await openOutputDirectory(directory, false)).discard();
    expect(names()).toEqual(['wrapping.secret']);
  });

  it('leaves no directory behind if it is refused', async () => {
    const abort = AbortSignal.abort(new Error('Ctrl-C'));
    await expect(openOutputDirectory(join(directory, 'a', 'b'), false, { signal: abort })).rejects.toThrow('Ctrl-C');
    expect(names()).toEqual([]);
  });

  it('goes, with the directories that were made for it, after a failed run', async () => {
    await (await openOutputDirectory(join(directory, 'a', 'b'), false)).discard();
    expect(names()).toEqual([]);
    const kept = await openOutputDirectory(join(directory, 'a', 'b'), false);
    writeFileSync(join(directory, 'a', 'other'), '');
    await kept.discard();
    expect(readdirSync(join(directory, 'a'))).toEqual(['other']);
  });
});
