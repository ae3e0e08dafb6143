import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';

/** Builds `dist/` before tests that run the built package. Takes no time if `dist/` is up to date. */
export function setup(): void {
  const { status } = spawnSync(process.execPath, ['scripts/build.mjs'], { stdio: 'inherit' });
  // Without a build, the tests that need it fail, and all others still run. An old build would hide errors.
  if (status !== 0) rmSync('dist', { recursive: true, force: true });
}
