import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';

/** The repository's own folder, where vitest runs. */
const root = process.cwd();

/** Paths of all files with this extension below these folders, relative to the repository, with `/`. */
export function filesIn(folders: readonly string[], ending: string): string[] {
  return folders
    .flatMap((folder) =>
      readdirSync(posix.join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
        posix.join(folder, name),
      ),
    )
    .filter((path) => path.endsWith(ending))
    .sort();
}

/** The text of a file in the repository. */
export function textOf(path: string): string {
  return readFileSync(posix.join(root, path), 'utf8');
}

/** The text without its comments. */
export function codeOf(path: string): string {
  return textOf(path)
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|\s)\/\/.*$/gm, '$1');
}

/** One `import` or `export … from`. `target` is a path in the repository, or the name of a package. */
export interface Import {
  readonly target: string;
  readonly typeOnly: boolean;
  readonly dynamic: boolean;
}

/** The imports of the file at `path`, static and with `import()`. */
export function importsOf(path: string): Import[] {
  const code = codeOf(path);
  const resolve = (target: string) => (target.startsWith('.') ? posix.join(posix.dirname(path), target) : target);
  const fixed = code.matchAll(/^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm);
  const dynamic = code.matchAll(/\bimport\(\s*'([^']+)'/g);
  return [
    ...[...fixed].map(([, type, target = '']) => ({
      target: resolve(target),
      typeOnly: type !== undefined,
      dynamic: false,
    })),
    ...[...dynamic].map(([, target = '']) => ({ target: resolve(target), typeOnly: false, dynamic: true })),
  ];
}
