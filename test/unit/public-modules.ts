import { readFileSync } from 'node:fs';

/** The names of each subpath, from its source. */
export async function publicModules(): Promise<readonly object[]> {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
    readonly exports: Readonly<Record<string, string | { readonly types: string }>>;
  };
  return await Promise.all(
    Object.values(exports).flatMap((target) =>
      typeof target === 'string' ? [] : [import(target.types.replace('./dist', '../..').replace('.d.ts', '.ts'))],
    ),
  );
}
