import { KeyprovError } from '../errors.ts';

/**
 * The package ldapts. It is no dependency: only who connects to a directory needs it.
 * @throws KeyprovError `library-missing` without it.
 */
export async function loadLdapts(): Promise<typeof import('ldapts')> {
  try {
    return await import('ldapts');
  } catch (cause) {
    throw new KeyprovError('library-missing', 'the package ldapts cannot be loaded', {
      cause,
      remedy: 'npm install ldapts@8',
    });
  }
}
