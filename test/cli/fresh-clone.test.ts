import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryDirectory } from '../temporary-directory.ts';

/** Programs that install the packages, are told where the packages are, or need none. */
const NEED_NONE = ['count-tests.mjs', 'join-chunks.mjs', 'mutation.mjs', 'web-platform-tests.mjs'];

it('says in one line that the npm packages are missing, whatever is run in a fresh clone', () => {
  using clone = temporaryDirectory();
  cpSync('package.json', join(clone.path, 'package.json'));
  cpSync('scripts', join(clone.path, 'scripts'), {
    recursive: true,
    filter: (path) => !path.includes('node_modules'),
  });
  const programs = readdirSync('scripts').filter((name) => name.endsWith('.mjs') && !NEED_NONE.includes(name));
  const calls = [
    ...[...programs, 'reference/build.mjs'].map((name) => [process.execPath, `scripts/${name}`]),
    ['scripts/shape.sh'],
    ...['types', 'lint', 'test', 'unused', 'docs', 'bench'].map((name) => ['npm', 'run', '--silent', name]),
  ];
  const told = calls.map(([program = '', ...args]) => {
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: clone.path, encoding: 'utf8' });
    return [args.at(-1) ?? program, status, stdout + stderr];
  });
  const line = 'the npm packages are not installed: run npm ci, or scripts/setup.sh --build\n';
  expect(told).toEqual(told.map(([name]) => [name, 1, line]));
});
