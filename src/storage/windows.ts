import { win32 } from 'node:path';
import { KeyprovError } from '../errors.ts';

/**
 * Returns the path of a Windows program. Windows would look for a bare name in the working directory first, where others
 * may have put something.
 */
export function windowsProgram(name: string): string {
  return win32.join(process.env.SystemRoot || 'C:\\Windows', 'System32', name);
}

const OTHER_TPM = 'use tbs, or a simulator on another machine: swtpm:HOST:PORT or mssim:HOST:PORT';

/** Refuses a feature that Windows does not have. @throws KeyprovError `library-missing` on Windows */
export function refuseOnWindows(what: string, remedy: string = OTHER_TPM): void {
  if (process.platform !== 'win32') return;
  throw new KeyprovError('library-missing', `${what} is not available on Windows`, { remedy });
}
