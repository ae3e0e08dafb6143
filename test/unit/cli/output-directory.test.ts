import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type OutputFiles, openOutputDirectory } from '../../../src/cli/output-directory.ts';
import { readWrappingSecret } from '../../../src/keys/wrapping-secret.ts';

const NEW: OutputFiles = { 'request.json': 'r2', 'key.pem': 'k2', 'public.pem': 'p2', 'record.json': 'j2' };
const never = new AbortController().signal;
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyprov-out-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** The files and what is in them. */
const files = () =>
  Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), 'utf8')]));

function earlierRun(): Record<string, string> {
  const old = {
    'attestation.json': 'a1',
    'key.pem': 'k1',
    'public.pem': 'p1',
    'record.json': 'j1',
    'request.json': 'r1',
  };
  for (const [name, content] of Object.entries(old)) writeFileSync(join(directory, name), content);
  return old;
}

describe('the output directory', () => {
  it('holds all files of a run, for the owner only', async () => {
    const out = await openOutputDirectory(directory, false);
    await out.write(NEW, never);
    expect(files()).toEqual(NEW);
    expect(statSync(join(directory, 'key.pem')).mode & 0o777).toBe(0o600);
  });

  it('is refused with files of an earlier run, whichever', async () => {
    writeFileSync(join(directory, 'public.pem'), 'p1');
    await expect(openOutputDirectory(directory, false)).rejects.toMatchObject({ code: 'key-exists' });
    expect(files()).toEqual({ 'public.pem': 'p1' });
  });

  it('holds nothing of the earlier run once it was replaced', async () => {
    earlierRun();
    const out = await openOutputDirectory(directory, true);
    await out.write(NEW, never);
    expect(files()).toEqual(NEW);
  });

  it.each([
    ['a new run', () => ({})],
    ['one that replaces another', earlierRun],
  ])('is as it was when the writing of %s ends half-way', async (_, before) => {
    const old = before();
    const out = await openOutputDirectory(directory, true);
    const abort = new AbortController();
    const interrupting: OutputFiles = {
      ...NEW,
      get 'key.pem'() {
        abort.abort(new Error('Ctrl-C'));
        return 'k2';
      },
    };
    await expect(out.write(interrupting, abort.signal)).rejects.toThrow('Ctrl-C');
    expect(files()).toEqual(old);
  });

  it('does not overwrite what another program has put there in the meantime', async () => {
    const out = await openOutputDirectory(directory, false);
    const racing: OutputFiles = {
      ...NEW,
      get 'public.pem'() {
        writeFileSync(join(directory, 'public.pem'), 'theirs');
        return 'p2';
      },
    };
    await expect(out.write(racing, never)).rejects.toMatchObject({ code: 'key-exists' });
    expect(files()).toEqual({ 'public.pem': 'theirs' });
  });

  it('loses the wrapping secret that a failed run has made, not that of an earlier one', async () => {
    const failed = await openOutputDirectory(directory, false);
    await readWrappingSecret(failed.store);
    await failed.discard();
    expect(readdirSync(directory)).toEqual([]);
    await readWrappingSecret(failed.store);
    await (await openOutputDirectory(directory, false)).discard();
    expect(readdirSync(directory)).toEqual(['wrapping.secret']);
  });

  it('goes, with the directories that were made for it, after a failed run', async () => {
    await (await openOutputDirectory(join(directory, 'a', 'b'), false)).discard();
    expect(readdirSync(directory)).toEqual([]);
    const kept = await openOutputDirectory(join(directory, 'a', 'b'), false);
    writeFileSync(join(directory, 'a', 'other'), '');
    await kept.discard();
    expect(readdirSync(join(directory, 'a'))).toEqual(['other']);
  });
});
