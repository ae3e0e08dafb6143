import { KeyprovError } from '../errors.ts';
import { errorCode } from '../storage/file-error.ts';

/** What to install for each package that is not a dependency: the identity service needs two. */
const INSTALL = {
  jose: 'node-sqlite3-wasm jose',
  ldapts: 'ldapts@8',
  'node-sqlite3-wasm': 'node-sqlite3-wasm jose',
} as const;

/**
 * Loads a package that is not a dependency, because few programs need it.
 * @throws KeyprovError `library-missing` if it is not installed; the error of a package that is broken.
 */
export async function loadPackage<T>(name: keyof typeof INSTALL, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    if (errorCode(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new KeyprovError('library-missing', `the package ${name} cannot be loaded`, {
      cause,
      remedy: `run npm install ${INSTALL[name]}`,
    });
  }
}

/** Loads ldapts, for a connection to a directory. @throws as {@link loadPackage}. */
export const loadLdapts = (): Promise<typeof import('ldapts')> => loadPackage('ldapts', () => import('ldapts'));
