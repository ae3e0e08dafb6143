import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A shared library that was compiled for a test. */
export interface CompiledLibrary {
  readonly library: string;
  remove(): void;
}

/** Compiles `test/native/NAME.c` to a shared library in a directory of its own. */
export function compileLibrary(name: string): CompiledLibrary {
  const directory = mkdtempSync(join(tmpdir(), `keyprov-${name}-`));
  const library = join(directory, `${name}.so`);
  const source = join(import.meta.dirname, `../../native/${name}.c`);
  const flags = ['-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'];
  const { status, stderr } = spawnSync('cc', [...flags, '-o', library, source, '-lpthread'], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cc: ${stderr}`);
  return { library, remove: () => rmSync(directory, { recursive: true }) };
}
