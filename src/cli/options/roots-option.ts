import { isKeyprovError, KeyprovError } from '../../errors.ts';
import { loadTpmRoots, type TpmRoots } from '../../registration/tpm-roots.ts';
import type { Context } from '../command.ts';

/** Reads the authorities in the file or directory of an option, and warns if a part of it cannot be used. */
export async function readRoots(path: string, option: string, { report, signal }: Context): Promise<TpmRoots> {
  const found = await loadTpmRoots(path, { signal }).catch((error: unknown) => {
    if (!isKeyprovError(error, 'certificate-invalid')) throw error;
    const remedy = error.remedy ?? 'give a file with CA certificates in PEM or DER, or a directory of such files';
    throw new KeyprovError('certificate-invalid', `${option}: ${error.message}`, { cause: error, remedy });
  });
  if (found.roots.length === 0) {
    throw new KeyprovError('certificate-invalid', `${option}: ${path} has no root (a self-signed certificate)`);
  }
  const [first, ...others] = found.problems;
  if (first !== undefined) {
    const more = others.length === 0 ? '' : `, and ${others.length} more`;
    report.warn(`${option}: ${first.file} is not used: ${first.detail}${more}`);
  }
  return found;
}
