// Builds dist/ from src/ and native/. tsc makes the declarations file by file; rolldown bundles the code into as few files as
// subpaths and lazy loading allow.
// Does nothing if dist/ was built from the same sources.
// The new dist/ replaces the old one in one step, which hardly disturbs processes that use the old one.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { joinChunks } from './join-chunks.mjs';
import './need-packages.mjs';

const { rolldown } = await import('rolldown');

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const next = join(root, `.dist-${process.pid}`);

/** A digest of the names and contents of everything the build reads. */
function fingerprint() {
  const files = [
    'scripts/build.mjs',
    'scripts/join-chunks.mjs',
    'tsconfig.json',
    'tsconfig.build.json',
    'package.json',
    'package-lock.json',
  ];
  for (const folder of ['src', 'native']) {
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) files.push(join(entry.parentPath, entry.name).slice(root.length + 1));
    }
  }
  const hash = createHash('sha256');
  for (const file of files.sort())
    hash
      .update(`${file}\0`)
      .update(readFileSync(join(root, file)))
      .update('\0');
  return hash.digest('hex');
}

function builtFrom() {
  try {
    return readFileSync(join(dist, '.sources'), 'utf8');
  } catch {
    return undefined; // no build yet, or one that was interrupted
  }
}

/** The modules in each of some files of dist/, by file name. */
function modulesBehind(targets) {
  return Object.fromEntries(
    targets
      .filter((target) => target !== undefined)
      .map((target) => target.replace(/^(?:\.\/)?dist\/|\.js$/g, ''))
      .map((name) => [name, `./${name.replace(/^web\//, 'src/')}.ts`]),
  );
}

// Packages are not bundled, except for the one that every command needs and the helpers for `using`.
const INPUT = {
  ...{ cwd: root, platform: 'node', external: /^(?!\0?@oxc-project|commander$)[^./\0]/ },
  transform: { target: 'node20.19' },
  experimental: { chunkOptimization: false }, // it moves code into entry files that other files then load
};
/** The licenses of the packages in a bundled file; they require a copy of their text. */
const licensesIn = ({ moduleIds }) => {
  const packages = moduleIds.flatMap((id) => /^.*\/node_modules\/(?:@[^/]*\/)?[^/]*\//.exec(id) ?? []);
  return [...new Set(packages)].map((path) => `/*!\n${readFileSync(join(path, 'LICENSE'), 'utf8')}*/`).join('\n');
};
const OUTPUT = { dir: next, format: 'esm', entryFileNames: '[name].js', comments: { jsdoc: false } };
/** The ending of a chunk's name, because two chunks may be named after modules of the same name. */
const HASH = /-[\w-]{8}\.js$/;

/** Subpaths share one copy of common code, so that a class is the same in all of them. */
async function bundle(input) {
  const first = await rolldown({ ...INPUT, input });
  const { output: chunks } = await first.generate(OUTPUT);
  await first.close();
  const modulesOf = new Map(chunks.map(({ fileName, moduleIds }) => [fileName, moduleIds]));
  /** The files that a program loads when it starts; none for subpaths. */
  const [program, ...others] = chunks.filter(({ isEntry }) => isEntry).map(({ fileName }) => fileName);
  const atStart = new Set(others.length === 0 ? [program] : []);
  const importsOf = new Map(chunks.map(({ fileName, imports }) => [fileName, imports]));
  for (const name of atStart) for (const imported of importsOf.get(name) ?? []) atStart.add(imported);
  /** The files that are already loaded when a chunk is loaded lazily. */
  const loadedBefore = (name) => {
    const importers = chunks.filter(({ dynamicImports }) => dynamicImports.includes(name));
    if (importers.length === 1) return importers.map(({ fileName }) => fileName);
    return atStart.has(program) && !atStart.has(name) ? [program] : [];
  };
  const packages = new Set(chunks.flatMap(({ imports }) => imports).filter((name) => !modulesOf.has(name)));
  const files = joinChunks([
    ...chunks.map(({ fileName, code, imports, isEntry, isDynamicEntry, moduleIds }) => ({
      ...{ name: fileName, size: code.length, imports: [...imports, ...loadedBefore(fileName)] },
      loads: isEntry ? 5 : isDynamicEntry ? 1 : 0, // programs load a few subpaths, and few lazy parts
      stays: isEntry || isDynamicEntry || moduleIds.some((id) => id.startsWith(join(root, 'native/'))),
    })),
    // Packages take long to load, so they are loaded on first use, as is native code.
    ...[...packages].map((name) => {
      const size = name.startsWith('node:') ? 20_000 : 1_000_000;
      return { name, size, imports: [], loads: 0, stays: true };
    }),
  ]);
  const fileOf = new Map(
    files
      .filter((names) => names.length > 1)
      .flatMap((names) => names.flatMap((name) => modulesOf.get(name).map((module) => [module, names[0]]))),
  );
  const second = await rolldown({ ...INPUT, input, preserveEntrySignatures: 'allow-extension' });
  const { output: written } = await second.write({
    ...OUTPUT,
    banner: licensesIn,
    chunkFileNames: ({ name }) => `chunks/${name.replace(HASH, '')}-[hash].js`,
    codeSplitting: {
      includeDependenciesRecursively: false,
      groups: [{ debugName: 'joined', name: (module) => fileOf.get(module) }],
    },
  });
  await second.close();
  for (const { fileName, exports } of chunks.filter(({ isEntry }) => isEntry)) {
    const now = written.find((file) => file.fileName === fileName).exports;
    if (now.sort().join() !== exports.sort().join()) throw new Error(`${fileName} exports ${now}, not ${exports}`);
  }
}

/**
 * Builds the subpaths for browsers and edge runtimes a second time, without Node and with the packages that replace its
 * functions. Code that only issues certificates is loaded lazily here too.
 */
async function bundleForWeb(targets) {
  const web = {
    name: 'web',
    resolveId: (source) => (source.endsWith('/primitives.ts') ? join(root, 'src', 'primitives-web.ts') : null),
  };
  const external = /^(?:pkijs|asn1js)$/;
  const build = await rolldown({
    ...INPUT,
    platform: 'browser',
    external,
    plugins: [web],
    input: modulesBehind(targets),
  });
  const { output } = await build.write({
    ...{ ...OUTPUT, banner: licensesIn, chunkFileNames: 'web/chunks/[name]-[hash].js' },
  });
  await build.close();
  const others = output.flatMap(({ imports }) => imports.filter((name) => !name.startsWith('web/')));
  if (others.length > 0) throw new Error(`the modules for the web import ${others}`);
}

const sources = fingerprint();
if (builtFrom() === sources) {
  console.log('build: dist/ is up to date');
} else {
  try {
    mkdirSync(next); // first, because the compiler's error for a read-only folder is long
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', next], {
      stdio: 'inherit',
    });
    if (status !== 0) throw new Error('the compiler found errors; dist/ is unchanged');
    const { exports, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    await bundle(modulesBehind(Object.values(exports).map((target) => target.default)));
    await bundle(modulesBehind(Object.values(bin)));
    await bundleForWeb(Object.values(exports).flatMap(({ browser = [] }) => browser));
    writeFileSync(join(next, '.sources'), sources);
    rmSync(dist, { recursive: true, force: true });
    renameSync(next, dist);
    console.log('build: dist/ is new');
  } catch (error) {
    console.error(`build: ${error.message}`);
    process.exitCode = 1;
  } finally {
    rmSync(next, { recursive: true, force: true });
  }
}
