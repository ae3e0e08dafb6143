import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../temporary-directory.ts';
import { environment, keyprov, MAIN } from './support/keyprov.ts';

const UNCHANGED = { letter: 'sign me', result: 'old' };

/** Runs `keyprov` as on a disk on which nothing can be written any more. */
function onFullDisk(args: readonly string[]) {
  const shell = 'ulimit -f 0; exec "$@"';
  const { status, stderr } = spawnSync('/bin/sh', ['-c', shell, 'sh', process.execPath, MAIN, ...args], {
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
