import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../temporary-directory.ts';
import { environment, keyprov, MAIN } from './support/keyprov.ts';

const UNCHANGED = { letter: 'sign me', result: 'old' };

/** Runs `keyprov` as on a disk on which no file can have more than `blocks` of 512 bytes. */
function onFullDisk(args: readonly string[], blocks = 0) {
  const shell = 'ulimit -f "$0"; exec "$@"';
  const { status, stderr } = spawnSync('/bin/sh', ['-c', shell, `${blocks}`, process.execPath, MAIN, ...args], {
    encoding: 'utf8',
    env: environment(),
    input: '',
  });
  return { status, stderr };
}

describe('a result that the disk does not take', () => {
  it.each([
    ['request', ['--format', 'spki']],
    ['sign', ['--in', 'letter']],
  ])('of %s leaves the directory as it was', (command, options) => {
    using directory = temporaryDirectory();
    const { path } = directory;
    const store = join(path, 'store');
    const made = keyprov([
      'create',
      '--tpm',
      'none',
      '--hardware',
      'discouraged',
      '--algorithm',
      'p-256',
      '--out',
      store,
    ]);
    expect(made.status).toBe(0);
    const results = join(path, 'results');
    mkdirSync(results);
    for (const [name, content] of Object.entries(UNCHANGED)) writeFileSync(join(results, name), content);
    const given = options.map((option) => (option === 'letter' ? join(results, option) : option));
    for (const out of ['result', 'new']) {
      const { status, stderr } = onFullDisk([command, '--store', store, ...given, '--out', join(results, out)]);
      expect([status, stderr]).toEqual([7, expect.stringContaining('exceeds the largest allowed file size')]);
      const found = readdirSync(results).map((name) => [name, readFileSync(join(results, name), 'utf8')]);
      expect(Object.fromEntries(found)).toEqual(UNCHANGED);
    }
  });
});

describe('a key that the disk does not take', () => {
  const create = ['create', '--tpm', 'none', '--hardware', 'discouraged', '--algorithm', 'p-256', '--out'];

  it.each([
    ['no room', 0, []],
    ['room for small files', 1, []],
    ['room for small files and a PIN', 1, ['--pin-file', 'pin']],
    ['room for all but the record and a PIN', 4, ['--pin-file', 'pin']],
  ])('leaves nothing behind: %s', (_, blocks, options) => {
    using directory = temporaryDirectory();
    const pin = join(directory.path, 'pin');
    writeFileSync(pin, '246813', { mode: 0o600 });
    const [made, empty] = [join(directory.path, 'made'), join(directory.path, 'empty')];
    mkdirSync(empty, { mode: 0o700 });
    for (const out of [made, empty]) {
      const given = options.map((option) => (option === 'pin' ? pin : option));
      const { status, stderr } = onFullDisk([...create, out, ...given], blocks);
      expect([status, stderr]).toEqual([
        7,
        expect.stringContaining(`the key store at ${out} exceeds the largest allowed file size`),
      ]);
    }
    expect(readdirSync(directory.path).sort()).toEqual(['empty', 'pin']);
    expect(readdirSync(empty)).toEqual([]);
  });

  it('leaves the key that --force would have replaced', () => {
    using directory = temporaryDirectory();
    const out = join(directory.path, 'out');
    expect(keyprov([...create, out]).status).toBe(0);
    const before = readdirSync(out).sort();
    expect(onFullDisk([...create, out, '--force']).status).toBe(7);
    expect(readdirSync(out).sort()).toEqual(before);
  });
});
