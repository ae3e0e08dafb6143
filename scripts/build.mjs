// Builds dist/ from src/ and native/: declarations by tsc, file by file, and the code by esbuild, in as few files as the
// subpaths and what is loaded lazily allow. Node needs some 0.3 ms for each file it loads, and there are hundreds.
// Does nothing when dist/ was built from just these sources.
// The new dist/ replaces the old one in one step, so whoever runs the old one meanwhile is not disturbed for long.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const next = join(root, `.dist-${process.pid}`);

/** A digest of the names and contents of everything the build reads. */
function fingerprint() {
  const files = ['scripts/build.mjs', 'tsconfig.json', 'tsconfig.build.json', 'package.json', 'package-lock.json'];
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

/** Subpaths of which whoever imports one needs much of the others: the bundler sees them as one, which makes fewer files. */
const TOGETHER = {
  run: /^\.(?:\/(?:provisioning|keys|registration|windows))?$/,
  formats: /^\.\/(?:tpm|attestation|formats)\b/,
};

/** What users can import or run: its source, and the bundle that it is a part of. */
function entryPoints() {
  const { exports, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const built = [...Object.entries(exports), ...Object.values(bin).map((path) => ['bin', { default: path }])];
  return built
    .filter(([, target]) => target.default !== undefined)
    .map(([subpath, target]) => ({
      source: target.default.replace(/^(?:\.\/)?dist\//, '').replace(/\.js$/, '.ts'),
      together: Object.keys(TOGETHER).find((name) => TOGETHER[name].test(subpath)),
    }));
}

/** `together:run` is a module with all that the subpaths of that bundle export. */
const togetherPlugin = (entries) => ({
  name: 'together',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^together:/ }, ({ path }) => ({
      path: path.slice('together:'.length),
      namespace: 'together',
    }));
    onLoad({ filter: /./, namespace: 'together' }, ({ path }) => ({
      contents: entries
        .filter(({ together }) => together === path)
        .map(({ source }) => `export * from './${source}';\n`)
        .join(''),
      resolveDir: root,
    }));
  },
});

/** Code that several subpaths share is in one file for all, so that a class is the same wherever it comes from. */
async function bundle() {
  const entries = entryPoints();
  const options = {
    absWorkingDir: root,
    outdir: next,
    outbase: root,
    bundle: true,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    keepNames: true, // of errors, which print theirs
    logLevel: 'warning',
  };
  const bundles = Object.keys(TOGETHER).map((name) => ({ in: `together:${name}`, out: `chunks/${name}` }));
  const alone = entries.filter(({ together }) => together === undefined);
  await build({
    ...options,
    entryPoints: [...bundles, ...alone.map(({ source }) => ({ in: source, out: source.replace(/\.ts$/, '') }))],
    plugins: [togetherPlugin(entries)],
  });
  // The subpaths of a bundle name what they export of it.
  const { metafile } = await build({
    ...options,
    entryPoints: entries.map(({ source }) => source),
    write: false,
    metafile: true,
  });
  for (const { source, together } of entries.filter((entry) => entry.together !== undefined)) {
    const { exports } = Object.values(metafile.outputs).find(({ entryPoint }) => entryPoint === source);
    const path = join(next, source.replace(/\.ts$/, '.js'));
    const from = relative(dirname(path), join(next, 'chunks', `${together}.js`));
    writeFileSync(path, `export { ${exports.sort().join(', ')} } from "${from}";\n`);
  }
}

const sources = fingerprint();
if (builtFrom() === sources) {
  console.log('build: dist/ is up to date');
} else {
  try {
    mkdirSync(next); // before the compiler, which has many words for a folder it can't write to
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', next], {
      stdio: 'inherit',
    });
    if (status !== 0) throw new Error('the compiler found errors, dist/ is as it was');
    await bundle();
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
