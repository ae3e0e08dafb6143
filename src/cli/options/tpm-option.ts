import type { Option } from 'commander';
import { isKeyprovError } from '../../errors.ts';
import { parseTpmAddress, type TpmAddress } from '../../tpm/address.ts';
import { type Arguments, valueOption } from './arguments.ts';

/** The environment variable that says where the TPM is, unless `--tpm` does. */
export const TPM_VARIABLE = 'KEYPROV_TPM';

/** The option `--tpm`. */
export function tpmOption(): Option {
  return valueOption(
    '--tpm <address>',
    'auto, libtpms[:DIR], swtpm:HOST:PORT, swtpm:unix:PATH, mssim:HOST:PORT, device[:PATH], tbs, tcti:CONF or none ' +
      `(default: $${TPM_VARIABLE}, or auto: the TPM of this machine)`,
  );
}

/** Where the TPM is: by `--tpm`, else by the environment, else the machine's own. `none`: there shall be none. */
export function readTpmAddress(given: Arguments): TpmAddress | 'none' {
  const option = given.text('tpm');
  const text = option ?? (process.env[TPM_VARIABLE] || 'auto');
  if (text === 'none') return text;
  try {
    return parseTpmAddress(text);
  } catch (error) {
    if (!isKeyprovError(error, 'address-invalid')) throw error;
    given.problems.push(`${option === undefined ? TPM_VARIABLE : '--tpm'}: ${error.message}, none`);
    return 'none';
  }
}
