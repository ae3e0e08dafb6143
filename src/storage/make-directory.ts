import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorCode } from './file-error.ts';

/**
 * Makes a directory and its missing parents with mode 0700. Node's own `recursive` never returns if a file system
 * answers ENOENT although the parent exists, as /proc does (seen with Node.js 20.20).
 * @throws the error of Node.
 */
export function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (isDirectory(path)) return;
    const parent = dirname(path);
    if (errorCode(error) !== 'ENOENT' || parent === path || isDirectory(parent)) throw error;
    makeDirectory(parent);
    makeDirectory(path);
  }
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
