/** Loads the bindings of shared libraries in the order of the arguments, and then starts a TPM in this process. */
import { openTpm } from '../../../src/tpm/open-tpm.ts';

const MODULES: Readonly<Record<string, () => Promise<unknown>>> = {
  libtpms: () => import('../../../native/libtpms.ts'),
  'libtpms-library': () => import('../../../native/libtpms-library.ts'),
  tctildr: () => import('../../../native/tctildr.ts'),
  tbs: () => import('../../../native/tbs.ts'),
};

for (const name of process.argv.slice(2)) await MODULES[name]?.();
const tpm = await openTpm('libtpms');
await tpm.close();
console.log('started');
