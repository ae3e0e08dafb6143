// Builds dist/ from src/ and native/: declarations by tsc, file by file, and the code by esbuild, in as few files as the
// subpaths and what is loaded lazily allow. Node needs some 0.3 ms for each file it loads, and there are hundreds.
// Does nothing when dist/ was built from just these sources.
// The new dist/ replaces the old one in one step, so whoever runs the old one meanwhile is not disturbed for long.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
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

/** What users can import or run, as its source. */
function entryPoints() {
  const { exports, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const built = [...Object.values(exports).flatMap((target) => target.default ?? []), ...Object.values(bin)];
  return built.map((path) => path.replace(/^(?:\.\/)?dist\//, '').replace(/\.js$/, '.ts'));
}

/** Code that several subpaths share is in one file for all, so that a class is the same wherever it comes from. */
async function bundle() {
  await build({
    absWorkingDir: root,
    entryPoints: entryPoints(),
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
  });
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
