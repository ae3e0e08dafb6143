import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { writeResult } from '../../../src/cli/file-io.ts';
import { asyncRefusal } from '../../refusal.ts';

const never = new AbortController().signal;
let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'keyprov-result-'));
  path = join(directory, 'result');
});
afterEach(() => rmSync(directory, { recursive: true }));

it('writes a new file with the mode that the user wants for new files', async () => {
  const umask = process.umask();
  await writeResult(path, 'signature', never);
  expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o777]).toEqual(['signature', 0o666 & ~umask]);
});

it('replaces a file and keeps its mode, also through a link', async () => {
  writeFileSync(path, 'old');
  chmodSync(path, 0o640);
  symlinkSync('result', join(directory, 'link'));
  await writeResult(join(directory, 'link'), 'new', never);
  expect([readFileSync(path, 'utf8'), statSync(path).mode & 0o777]).toEqual(['new', 0o640]);
  expect(readdirSync(directory).sort()).toEqual(['link', 'result']);
});

it('writes directly to what is not a regular file', async () => {
  await writeResult('/dev/null', 'gone', never);
  expect(statSync('/dev/null').isFile()).toBe(false);
  expect(await asyncRefusal(() => writeResult('/dev/full', 'more', never))).toMatch(
    /^store-io: \/dev\/full is on a full disk/,
  );
});
