import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { libtpmsMissing } from '../integration/support/libtpms.ts';

const run = promisify(execFile);

/** Makes one program for Node of `program.mjs` in `folder`, in `out` there, with koffi outside or inside. */
type Bundler = (folder: string, koffi: 'external' | 'bundled') => Promise<unknown>;

// scripts/bundlers.sh has installed them there.
const installed = process.env.KEYPROV_BUNDLERS;
const tool = (name: string, folder: string, ...args: readonly string[]) =>
  run(join(installed ?? '', 'node_modules/.bin', name), args, { cwd: folder, timeout: 280_000, killSignal: 'SIGKILL' });

const BUNDLERS: Readonly<Record<string, Bundler>> = {
  esbuild: (folder, koffi) =>
    build({
      ...{ entryPoints: [join(folder, 'program.mjs')], outfile: join(folder, 'out/program.mjs'), logLevel: 'silent' },
      ...{ bundle: true, platform: 'node', format: 'esm', external: koffi === 'external' ? ['koffi'] : [] },
    }),
  async rollup(folder, koffi) {
    const plugins = ['node-resolve', 'commonjs', 'json'].flatMap((name) => ['-p', `@rollup/plugin-${name}`]);
    const external = koffi === 'external' ? ['-e', 'koffi'] : [];
    await tool('rollup', folder, 'program.mjs', '-d', 'out', '--entryFileNames', '[name].mjs', ...plugins, ...external);
  },
  async webpack(folder, koffi) {
    const config = {
      ...{ mode: 'production', target: 'node20', entry: './program.mjs', experiments: { outputModule: true } },
      output: { path: join(folder, 'out'), filename: 'program.mjs', module: true },
      externals: koffi === 'external' ? { koffi: 'module koffi' } : {},
    };
    await writeFile(join(folder, 'webpack.config.mjs'), `export default ${JSON.stringify(config)};`);
    await tool('webpack', folder);
  },
  async vite(folder, koffi) {
    const config = {
      ssr: { noExternal: true, external: koffi === 'external' ? ['koffi'] : [] },
      build: { rollupOptions: { output: { entryFileNames: '[name].mjs' } } },
    };
    await writeFile(join(folder, 'vite.config.mjs'), `export default ${JSON.stringify(config)};`);
    await tool('vite', folder, 'build', '--ssr', 'program.mjs', '--outDir', 'out');
  },
};
const present = Object.entries(BUNDLERS).filter(([name]) => name === 'esbuild' || installed !== undefined);

let parent: string;
beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'keyprov-bundlers-'));
});
afterAll(() => rm(parent, { recursive: true, force: true }));

/** A user's project with keyprov installed, and its bundled program in an otherwise empty folder. */
async function made(name: string, koffi: 'external' | 'bundled'): Promise<string> {
  const folder = join(parent, `${name}-${koffi}`);
  await mkdir(join(folder, 'node_modules'), { recursive: true });
  await copyFile('test/bundle/program.mjs', join(folder, 'program.mjs'));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await symlink(resolve('.'), join(folder, 'node_modules/keyprov'));
  if (installed !== undefined) {
    await symlink(join(installed, 'node_modules/@rollup'), join(folder, 'node_modules/@rollup')); // its plugins
  }
  await BUNDLERS[name]?.(folder, koffi);
  await rm(join(folder, 'node_modules'), { recursive: true });
  if (koffi === 'external') {
    await mkdir(join(folder, 'out/node_modules'));
    await symlink(resolve('node_modules/koffi'), join(folder, 'out/node_modules/koffi'));
  }
  return join(folder, 'out/program.mjs');
}

const missing = await libtpmsMissing();

describe.each(present.map(([name]) => name))('a program that %s makes', (name) => {
  it.skipIf(missing)('opens a TPM inside the process and makes a key, with koffi beside it', async () => {
    const { stdout } = await run(process.execPath, [await made(name, 'external')]);
    expect(stdout).toBe('verified true\n');
  });

  it('says what to do about koffi if koffi is inside', async () => {
    const ended = await run(process.execPath, [await made(name, 'bundled')]).catch(
      (error: { stdout: string }) => error,
    );
    expect(JSON.parse(ended.stdout)).toMatchObject({
      code: 'library-missing',
      message: expect.stringContaining('koffi'),
      remedy: expect.stringContaining('mark koffi as external'),
    });
  });
});
