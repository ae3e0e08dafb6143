import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';

/** Builds `dist/` before tests that run what users run; a moment's work when it is up to date. */
export function setup(): void {
  const { status } = spawnSync(process.execPath, ['scripts/build.mjs'], { stdio: 'inherit' });
  // No build rather than an old one: what needs it fails, and all other tests still run.
  if (status !== 0) rmSync('dist', { recursive: true, force: true });
}
