// Builds dist/ from src/ and native/. Does nothing when dist/ was built from just these sources.
// The new dist/ replaces the old one in one step, so whoever runs the old one meanwhile is not disturbed for long.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const next = join(root, `.dist-${process.pid}`);

/** A digest of the names and contents of everything the build reads. */
function fingerprint() {
  const files = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];
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
