import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

/** A TypeScript file bundled into a script for a child process or worker. */
export interface Bundle extends Disposable {
  readonly path: string;
}

/** Bundles `source`, a path in the repository. Packages are not bundled; the script is in the repository and finds them. */
export async function bundle(source: string): Promise<Bundle> {
  const root = process.cwd();
  const cache = join(root, 'node_modules', '.cache');
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, 'keyprov-test-'));
  const path = join(directory, 'script.mjs');
  await build({
    absWorkingDir: root,
    entryPoints: [source],
    outfile: path,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
  });
  return { path, [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
}
