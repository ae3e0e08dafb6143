import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { libtpmsMissing } from '../integration/support/libtpms.ts';
import { readPublicSurface } from './public-surface.ts';

const missing = await libtpmsMissing();
const run = promisify(execFile);
const root = process.cwd();

interface Manifest {
  readonly files: readonly string[];
  readonly scripts: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
  readonly bin: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

let folder: string;
let installed: string;
let manifest: Manifest;
let subpaths: string[];

/**
 * Packs the package as npm would publish it and installs it in an empty project with only its declared dependencies. These
 * come from the checkout: it uses no network and runs none of their scripts.
 */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyprov-package-'));
  installed = join(folder, 'node_modules', 'keyprov');
  await mkdir(installed, { recursive: true });
  await run('npm', [
    'pack',
    '--silent',
    '--ignore-scripts',
    '--cache',
    join(folder, 'cache'),
    '--pack-destination',
    folder,
  ]);
  const tarball = (await readdir(folder)).find((name) => name.endsWith('.tgz'));
  await run('tar', ['-xzf', join(folder, tarball ?? ''), '--strip-components=1', '-C', installed]);
  manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'));
  subpaths = Object.keys(manifest.exports).filter((path) => path !== './package.json');
  await install([...Object.keys(manifest.dependencies), '@types/node']);
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
});

/** Installs packages of the checkout. */
async function install(names: readonly string[]): Promise<void> {
  for (const name of names) {
    const link = join(folder, 'node_modules', name);
    await mkdir(dirname(link), { recursive: true });
    await symlink(join(root, 'node_modules', name), link);
  }
}

afterAll(() => rm(folder, { recursive: true, force: true }));

/** The specifier with which users import a subpath in `exports`. */
const specifier = (subpath: string) => `keyprov${subpath.slice(1)}`;

describe('the package', () => {
  it('runs no script when it is installed', () => {
    const onInstall = /^(pre|post)?(install|prepare)$/;
    expect(Object.keys(manifest.scripts).filter((name) => onInstall.test(name))).toEqual([]);
  });

  it('is built before npm packs or publishes it', () => {
    expect(manifest.scripts.prepack).toBe('node scripts/build.mjs');
  });

  it('contains what users need and nothing else', async () => {
    const names = (await readdir(installed)).sort();
    const texts = ['CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'README.md', 'SECURITY.md'];
    expect(names).toEqual([...texts, 'dist', 'docs', 'examples', 'man', 'package.json', 'web']);
    expect((await readdir(join(installed, 'dist'))).sort()).toEqual(['chunks', 'native', 'src', 'web']);
    const others = (await readdir(join(installed, 'dist'), { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map(({ name }) => name)
      .filter((name) => !/\.(d\.ts|js)$/.test(name));
    expect(others).toEqual([]);
  });

  it('can be imported by each of its names', async () => {
    const script = `
      const names = {};
      for (const name of ${JSON.stringify(subpaths.map(specifier))}) names[name] = Object.keys(await import(name));
      console.log(JSON.stringify(names));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: folder });
    const names: Record<string, string[]> = JSON.parse(stdout);
    expect(Object.keys(names)).toEqual([
      'keyprov',
      ...['provisioning', 'keys', 'tpm', 'tpm/public-areas', 'tpm/transports'].map((n) => `keyprov/${n}`),
      ...['attestation', 'attestation/endorsement'].map((n) => `keyprov/${n}`),
      ...['windows', 'x509', 'webauthn', 'tcg', 'services'].map((n) => `keyprov/formats/${n}`),
      ...['policy', 'registration', 'windows', 'webcrypto', 'inspect', 'testing'].map((n) => `keyprov/${n}`),
    ]);
    for (const [name, exported] of Object.entries(names)) {
      expect(exported.length, `exports of ${name}`).toBeGreaterThan(0);
      expect(exported).not.toContain('default');
    }
    expect(names['keyprov/policy']).toEqual(
      expect.arrayContaining(['KEY_ALGORITHMS', 'PolicyError', 'definePolicy', 'mergePolicy', 'checkPin']),
    );
  });

  it('has names that can be imported one by one in a strict project that checks our declarations too', async () => {
    const imports = [...readPublicSurface().subpaths].map(([subpath, names], index) => {
      const renamed = names.map(({ name }) => `${name} as ${name}${index}`); // two subpaths may share a name
      return `import type { ${renamed.join(', ')} } from '${subpath}';`;
    });
    await writeFile(join(folder, 'consumer.ts'), imports.join('\n'));
    const options = {
      compilerOptions: {
        target: 'es2022',
        module: 'nodenext',
        strict: true,
        skipLibCheck: false,
        noEmit: true,
        types: ['node'],
      },
      files: ['consumer.ts'],
    };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(options));
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { stdout } = await run(process.execPath, [tsc, '-p', folder]).catch((error: { stdout: string }) => error);
    expect(stdout).toBe('');
  });

  it('has a command line that runs', async () => {
    const main = join(installed, manifest.bin.keyprov ?? '');
    const { stdout } = await run(process.execPath, [main, '--help']);
    expect(stdout).toContain('provision');
    expect(await readFile(main, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
  });

  it('has a command and a manual page that npm links if it is installed with -g', async () => {
    const prefix = join(folder, 'global');
    const modules = join(prefix, 'lib', 'node_modules');
    await mkdir(modules, { recursive: true });
    await cp(installed, join(modules, 'keyprov'), { recursive: true });
    // The step of `npm install -g` that links them; the steps before it need a registry.
    const where = ['--prefix', prefix, '--cache', join(folder, 'cache')];
    await run('npm', ['rebuild', '-g', '--ignore-scripts', ...where, 'keyprov'], { cwd: folder });
    const page = join(prefix, 'share', 'man', 'man1', 'keyprov.1');
    expect(await realpath(page)).toBe(await realpath(join(modules, 'keyprov', 'man', 'keyprov.1')));
    const { stdout } = await run(join(prefix, 'bin', 'keyprov'), ['--help']);
    expect(stdout).toContain('provision');
  });

  it('names everything at once that its demo lacks', async () => {
    const main = join(installed, manifest.bin.keyprov ?? '');
    const [library, programs] = [join(folder, 'libtpms.so.0'), join(folder, 'programs')];
    await mkdir(programs);
    await writeFile(join(programs, 'slapd'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    const env = { ...process.env, KEYPROV_LIBTPMS: library, PATH: programs };
    const call = [main, 'provision', '--demo', '--out', join(folder, 'demo')];
    const npm = 'run npm install node-sqlite3-wasm jose ldapts@8';
    const libtpms = 'install it (Debian: apt-get install libtpms0), or set KEYPROV_LIBTPMS to the path of the library';
    const slapd = 'install it (Debian: systemctl mask slapd, to keep its service from starting; apt-get install slapd)';
    const problems = [
      `these npm packages are missing: node-sqlite3-wasm jose ldapts@8; ${npm}`,
      `libtpms: libtpms was not found (tried ${library}); ${libtpms}`,
      `slapd ended with exit code 1; ${slapd}`,
    ];
    const message = 'the demo needs parts that are not installed';
    await expect(run(process.execPath, call, { env })).rejects.toMatchObject({
      code: 4,
      stdout: '',
      stderr: [message, ...problems].map((line) => `keyprov: ${line}\n`).join(''),
    });
    const { code, stdout } = await run(process.execPath, [...call, '--json'], { env }).catch((error) => error);
    expect({ code, json: JSON.parse(stdout) }).toEqual({
      code: 4,
      json: {
        ok: false,
        error: { code: 'library-missing', message, remedy: [npm, libtpms, slapd].join('; '), problems },
        warnings: [],
      },
    });
    expect(await readdir(folder)).not.toContain('demo');
  });

  // The last test: those before it need the project without these packages.
  it('passes on this platform the checks that scripts run on others', async () => {
    await install(Object.keys(manifest.peerDependencies));
    await cp(join(root, 'test', 'platforms', 'smoke.mjs'), join(folder, 'smoke.mjs'));
    const tpm = missing === undefined ? `libtpms:${join(folder, 'tpm')}` : 'none';
    const smoke = run(process.execPath, ['smoke.mjs', tpm], { cwd: folder });
    const { stdout } = await smoke.catch((error: { stdout: string }) => error);
    expect(stdout.match(/^FAILED .*/gm) ?? []).toEqual([]);
    expect(stdout).toMatch(/\n\d{2} passed, 0 failed, 1 skipped\n$/);
  });
});
