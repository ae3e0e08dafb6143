import { KeyprovError } from '../../errors.ts';
import { errorCode } from '../../storage/file-error.ts';

/**
 * Loads a package that only the identity service needs.
 * @throws KeyprovError `library-missing` if it is not installed.
 */
export async function loadPackage<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    if (errorCode(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new KeyprovError('library-missing', `the identity service needs the package ${name}`, {
      cause,
      remedy: 'run npm install node-sqlite3-wasm jose',
    });
  }
}
