// Bundles bench/ and runs it, pinned to one CPU if `taskset` is available: `npm run bench -- --help`. Separate processes load
// keyprov from dist/, which is built first. The argument `inspect` runs another program, which feeds a million changed files
// to `inspect`.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import './need-packages.mjs';

const { build } = await import('esbuild');

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [first, ...rest] = process.argv.slice(2);
const isInspect = first === 'inspect';
const main = isInspect ? 'inspect' : 'main';
const directory = join(root, 'node_modules', '.cache', `bench-${process.pid}`);

/** Loads subpaths from dist/, as users do. */
const shipped = {
  name: 'shipped',
  setup({ onResolve }) {
    onResolve({ filter: /\/src\/.*\/index\.ts$/ }, ({ path, resolveDir, kind }) => {
      if (kind === 'entry-point') return undefined;
      const file = relative(root, join(resolveDir, path)).replace(/\.ts$/, '.js');
      return { path: pathToFileURL(join(root, 'dist', file)).href, external: true };
    });
  },
};
const common = {
  ...{ absWorkingDir: root, outdir: directory, bundle: true, packages: 'external', platform: 'node', format: 'esm' },
  ...{ target: 'node20', logLevel: 'error', outExtension: { '.js': '.mjs' } },
};
mkdirSync(directory, { recursive: true });
try {
  await build({ ...common, entryPoints: [join('bench', `${main}.ts`)] });
  if (!isInspect) {
    if (spawnSync(process.execPath, [join(root, 'scripts', 'build.mjs')], { stdio: 'inherit' }).status !== 0)
      process.exit(1);
    await build({ ...common, entryPoints: [join('bench', 'children', 'event-loop.ts')], plugins: [shipped] });
    await build({ ...common, entryPoints: [join('bench', 'children', 'job.ts')], plugins: [shipped] });
    await build({ ...common, entryPoints: [join('bench', 'children', 'verify.ts')] });
  }
  const pinned = spawnSync('taskset', ['-c', '0', 'true']).status === 0;
  const node = [process.execPath, '--expose-gc', join(directory, `${main}.mjs`)];
  const [command, ...args] = [...(pinned ? ['taskset', '-c', '0'] : []), ...node];
  const given = isInspect ? rest : process.argv.slice(2);
  process.exitCode = spawnSync(command, [...args, ...given], { stdio: 'inherit', cwd: root }).status ?? 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
