import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** First part of Debian's library directories, by `process.arch`. */
const MULTIARCH: Readonly<Record<string, string>> = {
  x64: 'x86_64-linux-gnu',
  arm64: 'aarch64-linux-gnu',
  arm: 'arm-linux-gnueabihf',
  ia32: 'i386-linux-gnu',
  riscv64: 'riscv64-linux-gnu',
  loong64: 'loongarch64-linux-gnu',
  ppc64: 'powerpc64le-linux-gnu',
  s390x: 's390x-linux-gnu',
};

/** Where a library was found, and which paths were tried. */
export interface FoundLibrary {
  readonly path: string | undefined;
  readonly tried: readonly string[];
}

/**
 * Looks for a shared library in the directories that distributions use. Returns a path with a slash, because for a bare
 * name the loader returns any library of that name that the process has already loaded.
 * Looks in no directory on Windows: these paths would be on the current drive, where others may have placed a file.
 * @param chosen a path that the user specified; then nothing else is tried.
 */
export function findLibrary(name: string, chosen: string | undefined): FoundLibrary {
  if (chosen === undefined && process.platform === 'win32') return { path: undefined, tried: [] };
  const multiarch = MULTIARCH[process.arch];
  const directories = ['/usr/lib64', '/usr/lib', '/usr/local/lib', '/lib', '/opt/homebrew/lib'];
  if (multiarch !== undefined) directories.unshift(join('/usr/lib', multiarch), join('/usr/local/lib', multiarch));
  const tried = chosen === undefined ? directories.map((directory) => join(directory, name)) : [chosen];
  return { path: tried.find((path) => existsSync(path)), tried };
}
