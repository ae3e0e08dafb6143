import { syncBuiltinESMExports } from 'node:module';
import { afterAll } from 'vitest';

/**
 * Replaces functions of a Node.js module (its default export) for all importers until the file's tests are over. `vi.mock`
 * affects only modules that are loaded later, and the files of test/unit share loaded modules.
 */
export function patchBuiltin<T extends object>(module: T, functions: Partial<T>): void {
  const kept = { ...module };
  Object.assign(module, functions);
  syncBuiltinESMExports();
  afterAll(() => {
    for (const name of Object.keys(functions)) Object.assign(module, { [name]: Reflect.get(kept, name) });
    syncBuiltinESMExports();
  });
}
