// Bundles and runs a long test from test/reliability/: `node scripts/reliability.mjs fault-sweep --seed 7`. These tests take
// minutes to hours, so they are not part of the test suite. docs/reliability.md has the results.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import './need-packages.mjs';

const { build } = await import('esbuild');

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [name, ...args] = process.argv.slice(2);
const directory = join(root, 'node_modules', '.cache', `reliability-${process.pid}`);
mkdirSync(directory, { recursive: true });
try {
  const outfile = join(directory, `${name}.mjs`);
  await build({
    absWorkingDir: root,
    entryPoints: [join('test', 'reliability', `${name}.ts`)],
    outfile,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    ignoreAnnotations: true, // keeps imports with side effects
    logLevel: 'error',
  });
  process.exitCode = spawnSync(process.execPath, ['--expose-gc', outfile, ...args], { stdio: 'inherit' }).status ?? 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
