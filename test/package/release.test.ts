import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { temporaryDirectory } from '../temporary-directory.ts';

const ROOT = join(import.meta.dirname, '../..');
const directory = temporaryDirectory();
afterAll(() => directory[Symbol.dispose]());

/** Runs the script with a Git that knows no tag and no change, and an npm that cannot reach a registry. */
const release = (...args: readonly string[]) => releaseWith('#!/bin/sh\n', ...args);

function releaseWith(git: string, ...args: readonly string[]) {
  using programs = temporaryDirectory();
  writeFileSync(join(programs.path, 'git'), git, { mode: 0o755 });
  const PATH = `${programs.path}:${process.env.PATH}`;
  const env = { ...process.env, PATH, npm_config_offline: 'true' };
  return spawnSync(join(ROOT, 'scripts/release.sh'), args, { encoding: 'utf8', env });
}

it('makes the package, and lists what it needs, without publishing', () => {
  const { status, stderr } = release(directory.path);
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  expect(stderr).toContain('(dry-run)');
  expect(stderr).toMatch(/ dist\/src\/index\.js$/m);
  expect(stderr).not.toMatch(/ (?:src|test)\/\S+\.ts$/m);
  const { version, dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  expect(readdirSync(directory.path)).toEqual([`keyprov-${version}.cdx.json`, `keyprov-${version}.tgz`]);
  const { bomFormat, components } = JSON.parse(
    readFileSync(join(directory.path, `keyprov-${version}.cdx.json`), 'utf8'),
  );
  expect(bomFormat).toBe('CycloneDX');
  const listed: readonly string[] = components.map(({ purl }: { purl: string }) => decodeURIComponent(purl));
  expect(listed).toEqual(
    expect.arrayContaining(Object.entries(dependencies).map(([name, at]) => `pkg:npm/${name}@${at}`)),
  );
  expect(listed.filter((purl) => purl.startsWith('pkg:npm/vitest'))).toEqual([]);
});

it('publishes nothing if something is left to do', () => {
  const { status, stdout, stderr } = release('--publish', directory.path);
  expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
  expect(stdout).toMatch(/^Before you can publish this version:\n {2}- tag this commit as v\d/);
});

it('knows a tag only by its whole name, and takes a Git that fails for changes', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const other = releaseWith(`#!/bin/sh\necho v${version}-rc.1`, '--publish', directory.path);
  expect({ status: other.status, stdout: other.stdout }).toEqual({
    status: 1,
    stdout: expect.stringContaining(`tag this commit as v${version}`),
  });
  const none = releaseWith('#!/bin/sh\nexit 128', '--publish', directory.path);
  expect({ status: none.status, stdout: none.stdout }).toEqual({
    status: 1,
    stdout: expect.stringContaining('commit or remove the changes in this checkout'),
  });
});

it.each([[['--dry-run']], [['out', '--publish']]])('refuses arguments that it does not know: %j', (args) => {
  const { status, stderr } = release(...args);
  expect({ status, stderr }).toEqual({ status: 2, stderr: 'usage: scripts/release.sh [--publish] [DIRECTORY]\n' });
});
