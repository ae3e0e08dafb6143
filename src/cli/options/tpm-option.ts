import type { Option } from 'commander';
import { isKeyprovError, sayError } from '../../errors.ts';
import { parseTpmAddress } from '../../tpm/address.ts';
import type { Context } from '../command.ts';
import type { Arguments } from './arguments.ts';
import { valueOption } from './value-option.ts';

/** The environment variable that says where the TPM is, unless `--tpm` does. */
export const TPM_VARIABLE = 'KEYPROV_TPM';

/** The option `--tpm`. */
export function tpmOption(): Option {
  return valueOption('--tpm <address>', `where the TPM is (default: $${TPM_VARIABLE}, or auto)`);
}

/**
 * The address of the TPM: of `--tpm`, else of the environment, else `auto`, the machine's own. `none`: there shall be
 * none.
 */
export function readTpmAddress(given: Arguments, { environment }: Context): string {
  const option = given.text('tpm');
  const text = option ?? (environment[TPM_VARIABLE] || 'auto');
  if (text === 'none') return text;
  try {
    parseTpmAddress(text);
  } catch (error) {
    if (!isKeyprovError(error, 'address-invalid')) throw error;
    given.problems.push(`${option === undefined ? TPM_VARIABLE : '--tpm'}: ${sayError(error)}, none`);
  }
  return text;
}

/** Whether the user named a TPM, and not `none`. */
export function isTpmNamed(given: Arguments, { environment }: Context): boolean {
  const text = given.text('tpm') ?? environment[TPM_VARIABLE];
  return text !== undefined && text !== '' && text !== 'none';
}
