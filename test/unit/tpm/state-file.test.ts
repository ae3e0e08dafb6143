import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { concat, fromHex, toHex, utf8 } from '../../../src/bytes.ts';
import { KeyprovError } from '../../../src/errors.ts';
import { temporaryName } from '../../../src/storage/atomic-file.ts';
import { decodeStateFile, encodeStateFile, StateFile } from '../../../src/tpm/state-file.ts';
import { exportSwtpmState, importSwtpmState } from '../../../src/tpm/swtpm-state.ts';

const STATE = Uint8Array.from({ length: 1299 }, (_, index) => index % 251);
const OTHER = Uint8Array.from({ length: 1400 }, (_, index) => index % 241);
const free = () => true;

let parent: string;
let directory: string;
let path: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'keyprov-state-'));
  directory = join(parent, 'a', 'b');
  path = join(directory, 'tpm2.state');
});

afterEach(() => rmSync(parent, { recursive: true }));

const locked = { timeout: 0 };

async function failure(work: () => unknown): Promise<KeyprovError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof KeyprovError) return error;
    throw error;
  }
  return expect.fail('nothing was thrown');
}

/** Opens the directory, which must fail, and checks that nothing in it was changed. */
async function refusal(): Promise<KeyprovError> {
  const look = () => readdirSync(directory).filter((name) => name !== '.lock');
  const before = look();
  const error = await failure(() => StateFile.open(directory, free));
  expect(look()).toEqual(before);
  return error;
}

function withState(file: Uint8Array): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(path, file);
}

describe('the form of the state file', () => {
  it('is magic, version, length, SHA-256 and the state', async () => {
    const digest = createHash('sha256').update(STATE).digest();
    expect(encodeStateFile(STATE)).toEqual(concat(utf8('KPTPM2ST'), fromHex('0000000100000513'), digest, STATE));
  });

  it('gives back the state', async () => {
    expect(decodeStateFile(encodeStateFile(STATE), path)).toEqual(STATE);
    expect(decodeStateFile(encodeStateFile(new Uint8Array(0)), path)).toEqual(new Uint8Array(0));
  });

  it('is refused when it is cut off anywhere, or longer', async () => {
    const file = encodeStateFile(STATE);
    for (let length = 0; length < file.length; length++) {
      expect((await failure(() => decodeStateFile(file.subarray(0, length), path))).code).toBe('state-invalid');
    }
    expect((await failure(() => decodeStateFile(concat(file, Uint8Array.of(0)), path))).code).toBe('state-invalid');
  });

  it('is refused when any byte is another one', async () => {
    const file = encodeStateFile(STATE);
    for (let at = 0; at < file.length; at++) {
      const damaged = file.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      expect((await failure(() => decodeStateFile(damaged, path))).code, `byte ${at}`).toBe('state-invalid');
    }
  });

  it.each<[string, (file: Uint8Array) => Uint8Array, string]>([
    ['cut off', (file) => file.subarray(0, 47), 'is cut off (47 bytes)'],
    ['foreign', (file) => file.fill(0x41, 0, 8), 'is not a state file of keyprov'],
    ['of a newer version', (file) => file.fill(2, 11, 12), 'has format version 2; this keyprov reads version 1'],
    ['shortened', (file) => file.subarray(0, 1000), 'announces 1299 bytes of state but has 952'],
    ['damaged', (file) => file.fill(0xff, 1000, 1001), 'is damaged (its SHA-256 does not match)'],
  ])('is refused with reason and remedy when it is %s', async (_, change, reason) => {
    const error = await failure(() => decodeStateFile(change(encodeStateFile(STATE)), '/x/tpm2.state'));
    expect(error.message).toBe(`/x/tpm2.state ${reason}`);
    expect(error.remedy).toMatch(/^(restore a copy of it, or make a new TPM|use the version of keyprov)/);
  });
});

describe('StateFile', () => {
  it('makes the directory and its files for their owner alone', async () => {
    const file = await StateFile.open(directory, free);
    expect(file.state).toBeUndefined();
    expect(existsSync(path)).toBe(false);
    await file.save(STATE);
    file.close();
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, '.lock')).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory).sort()).toEqual(['.lock', 'tpm2.state']);
  });

  it.each([
    ['save', async (file: StateFile, state: Uint8Array) => file.save(state)],
    ['saveSync', async (file: StateFile, state: Uint8Array) => file.saveSync(state)],
  ])('loads what %s has saved', async (_, save) => {
    for (const state of [STATE, OTHER]) {
      const file = await StateFile.open(directory, free);
      await save(file, state);
      expect(file.state).toEqual(state);
      file.close();
      const again = await StateFile.open(directory, free);
      expect(again.state).toEqual(state);
      again.close();
      expect(toHex(readFileSync(path))).toBe(toHex(encodeStateFile(state)));
    }
  });

  it('writes only a state that differs', async () => {
    const file = await StateFile.open(directory, free);
    await file.save(STATE);
    utimesSync(path, 1, 1);
    await file.save(STATE.slice());
    file.saveSync(STATE.slice());
    expect(statSync(path).mtimeMs).toBe(1000);
    await file.save(OTHER);
    expect(statSync(path).mtimeMs).not.toBe(1000);
    file.close();
  });

  it('keeps a copy, so that later changes of the memory are seen as such', async () => {
    const file = await StateFile.open(directory, free);
    const state = STATE.slice();
    await file.save(state);
    state.fill(7);
    await file.save(state);
    expect(decodeStateFile(readFileSync(path), path)).toEqual(state);
    file.close();
  });

  it('replaces the remains of an interrupted save', async () => {
    withState(encodeStateFile(STATE));
    writeFileSync(join(directory, temporaryName()), encodeStateFile(OTHER).subarray(0, 500));
    const file = await StateFile.open(directory, free);
    expect(file.state).toEqual(STATE);
    await file.sweep();
    await file.save(OTHER);
    file.close();
    expect(readdirSync(directory).sort()).toEqual(['.lock', 'tpm2.state']);
    expect(decodeStateFile(readFileSync(path), path)).toEqual(OTHER);
  });

  it.each([
    ['empty', new Uint8Array(0)],
    ['cut off', encodeStateFile(STATE).subarray(0, 700)],
    ['foreign', STATE],
    ['too large', new Uint8Array(48 + 128 * 1024 + 1)],
  ])('refuses a file that is %s, and leaves it', async (_, bytes) => {
    withState(bytes);
    expect((await refusal()).code).toBe('state-invalid');
    expect(toHex(readFileSync(path))).toBe(toHex(bytes));
  });

  it.each([
    ['a directory', () => mkdirSync(path, { recursive: true })],
    ['a link to itself', () => link('tpm2.state')],
    ['a link that leads nowhere', () => link('missing')],
  ])('never mistakes %s for a missing file', async (_, make) => {
    make();
    const error = await refusal();
    expect(error.code).toBe('not-private');
    expect(error.message).toMatch(/is (not a regular file|a symbolic link)$/);
  });

  function link(target: string): void {
    mkdirSync(directory, { recursive: true });
    symlinkSync(target, path);
  }

  it('says why the directory cannot be used', async () => {
    writeFileSync(join(parent, 'a'), '');
    const error = await failure(() => StateFile.open(directory, free));
    expect(error.code).toBe('state-io');
    expect(error.message).toMatch(/ is not a directory$/);
    expect(error.remedy).toBe('check the path');
  });

  it('refuses a directory that is locked, and does not read it', async () => {
    withState(STATE);
    const error = await failure(() => StateFile.open(directory, () => false, locked));
    expect(error.code).toBe('state-in-use');
    expect(error.message).toContain(directory);
  });

  it('says why the lock failed', async () => {
    const cause = new Error('flock failed: ENOLCK');
    const error = await failure(() =>
      StateFile.open(directory, () => {
        throw cause;
      }),
    );
    expect(error).toMatchObject({ code: 'state-io', cause });
  });

  it.each([
    ['save', async (file: StateFile) => file.save(OTHER)],
    ['saveSync', async (file: StateFile) => file.saveSync(OTHER)],
  ])('reports a failed %s and keeps the old state', async (_, save) => {
    withState(encodeStateFile(STATE));
    const file = await StateFile.open(directory, free);
    renameSync(path, `${path}.kept`);
    mkdirSync(path); // a file cannot replace a directory
    await expect(save(file)).rejects.toMatchObject({ name: 'KeyprovError', code: 'state-io' });
    expect(file.state).toEqual(STATE);
    file.close();
    rmdirSync(path);
    renameSync(`${path}.kept`, path);
    expect(readdirSync(directory).sort()).toEqual(['.lock', 'tpm2.state']);
    expect(decodeStateFile(readFileSync(path), path)).toEqual(STATE);
  });

  it('saves nothing after close, which may be repeated', async () => {
    const file = await StateFile.open(directory, free);
    file.close();
    file.close();
    await expect(file.save(STATE)).rejects.toThrow(TypeError);
    expect(() => file.saveSync(STATE)).toThrow(TypeError);
    expect(existsSync(path)).toBe(false);
  });
});

describe('the state file of swtpm', () => {
  it('is the state behind 16 bytes', () => {
    expect(toHex(exportSwtpmState(fromHex('aabbcc')))).toBe('0201000a000000000013000100000003aabbcc');
    expect(importSwtpmState(exportSwtpmState(STATE))).toEqual(STATE);
  });

  it.each<[string, (file: Uint8Array) => Uint8Array]>([
    ['empty', () => new Uint8Array(0)],
    ['cut off', (file) => file.subarray(0, 1000)],
    ['too long', (file) => concat(file, Uint8Array.of(0))],
    ['encrypted', (file) => file.fill(1, 5, 6)],
    ['of a newer version', (file) => file.fill(3, 0, 2)],
    ['a state file of keyprov', () => encodeStateFile(STATE)],
  ])('is refused when it is %s', async (_, change) => {
    const error = await failure(() => importSwtpmState(change(exportSwtpmState(STATE))));
    expect(error.code).toBe('state-invalid');
    expect(error.remedy).toMatch(/tpm2-00\.permall/);
  });
});
