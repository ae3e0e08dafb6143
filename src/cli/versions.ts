import { release } from 'node:os';
import { isKeyprovError } from '../errors.ts';
import { locateLibtpms } from '../tpm/transports/libtpms.ts';
import { loadNative } from '../tpm/transports/load-native.ts';
import { checkSwtpm } from './commands/doctor.ts';

/** The versions that matter for a bug report, for `keyprov --version --json`; null if something is not installed. */
export async function readVersions(keyprov: string): Promise<object> {
  const { node, openssl } = process.versions;
  const native = () => loadNative('libc', () => import('../../native/libc.ts'));
  return {
    ...{ keyprov, node, openssl, platform: `${process.platform} ${process.arch} ${release()}` },
    koffi: await found(async () => (await native()).koffiVersion),
    libtpms: await found(async () => (await locateLibtpms()).version),
    swtpm: await found(async () => (await checkSwtpm()).detail),
  };
}

async function found(read: () => Promise<string>): Promise<string | null> {
  try {
    return await read();
  } catch (error) {
    if (!isKeyprovError(error)) throw error;
    return error.code === 'library-missing' ? null : `unusable: ${error.message}`;
  }
}
