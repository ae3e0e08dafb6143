// Bundles a benchmark of bench/ and runs it, pinned to one CPU where `taskset` can: `node scripts/bench.mjs sessions`.
// Without a name all of them, except `inspect`, whose million inputs take a minute and more.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const all = readdirSync(join(root, 'bench')).filter(
  (name) => name.endsWith('.ts') && !['measure.ts', 'inspect.ts'].includes(name),
);
const wanted = process.argv.slice(2);
const names = wanted.length > 0 ? wanted.map((name) => `${name}.ts`) : all;
const directory = join(root, 'node_modules', '.cache', `bench-${process.pid}`);
mkdirSync(directory, { recursive: true });
try {
  for (const name of names) {
    const outfile = join(directory, name.replace(/\.ts$/, '.mjs'));
    await build({
      absWorkingDir: root,
      entryPoints: [join('bench', name)],
      outfile,
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'error',
    });
    // The event loop is measured on all CPUs: there the TPM works in another thread.
    const pinned = name !== 'event-loop.ts' && spawnSync('taskset', ['-c', '0', 'true']).status === 0;
    const command = pinned ? ['taskset', '-c', '0', process.execPath] : [process.execPath];
    console.log(`\n# ${name}${pinned ? ' (pinned to one CPU)' : ''}`);
    const { status } = spawnSync(command[0], [...command.slice(1), '--expose-gc', outfile], { stdio: 'inherit' });
    if (status !== 0) process.exitCode = 1;
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
