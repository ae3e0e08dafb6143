import { KeyprovError } from '../errors.ts';

/**
 * Loads the package ldapts. It is not a dependency: only connections to a directory need it.
 * @throws KeyprovError `library-missing` if it is not installed.
 */
export async function loadLdapts(): Promise<typeof import('ldapts')> {
  try {
    return await import('ldapts');
  } catch (cause) {
    throw new KeyprovError('library-missing', 'the package ldapts cannot be loaded', {
      cause,
      remedy: 'run npm install ldapts@8',
    });
  }
}
