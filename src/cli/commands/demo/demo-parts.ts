import { isKeyprovError, KeyprovError } from '../../../errors.ts';
import type { SignalOptions } from '../../../signal.ts';
import { errorCode } from '../../../storage/file-error.ts';
import { locateLibtpms } from '../../../tpm/transports/libtpms.ts';
import { MissingPartsError } from '../../terminal/missing-parts-error.ts';

/** The packages that the demo needs in addition to those of keyprov. */
const PACKAGES = ['node-sqlite3-wasm', 'jose', 'ldapts@8'];

/**
 * Checks that everything is installed that the demo needs.
 * @throws KeyprovError the problem with the only part that is missing or unusable; MissingPartsError if there are more.
 */
export async function checkDemoParts({ signal }: SignalOptions): Promise<void> {
  // The kit for tests is loaded for the demo only.
  const { checkSlapd } = await import('../../../testing/directory/slapd.ts');
  const checks = await Promise.allSettled([checkPackages(), locateLibtpms(), checkSlapd({ signal })]);
  const problems = checks.flatMap((check): unknown[] => (check.status === 'rejected' ? [check.reason] : []));
  const ours = problems.filter((problem) => isKeyprovError(problem));
  const [first, ...more] = problems;
  if (first === undefined) return;
  if (more.length === 0 || ours.length < problems.length) throw problems.find((one) => !isKeyprovError(one)) ?? first;
  throw new MissingPartsError('the demo needs parts that are not installed', ours);
}

async function checkPackages(): Promise<void> {
  const missing = PACKAGES.filter((name) => !isInstalled(name.split('@', 1).join()));
  if (missing.length === 0) return;
  const names = missing.join(' ');
  throw new KeyprovError('library-missing', `these npm packages are missing: ${names}`, {
    remedy: `run npm install ${names}`,
  });
}

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch (error) {
    if (errorCode(error) !== 'ERR_MODULE_NOT_FOUND') throw error;
    return false;
  }
}
