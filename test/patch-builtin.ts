import { syncBuiltinESMExports } from 'node:module';
import { afterAll } from 'vitest';

/**
 * Puts functions in the place of those of a module of Node.js (its default export), for all that import it, until the tests
 * of the file are over. `vi.mock` does it for modules that are loaded later, and the files of test/unit share what is loaded.
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
