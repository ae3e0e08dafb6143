import type { Option } from 'commander';
import { isKeyprovError, sayError } from '../../errors.ts';
import { parseTpmAddress } from '../../tpm/address.ts';
import type { HierarchyAuth } from '../../tpm/hierarchy-auth.ts';
import type { Context } from '../command.ts';
import { hierarchyPasswords } from '../terminal/hierarchy-passwords.ts';
import type { Arguments } from './arguments.ts';
import { repeatableOption, valueOption } from './value-option.ts';

/** The environment variable that says where the TPM is, unless `--tpm` does. */
export const TPM_VARIABLE = 'KEYPROV_TPM';

/** A TPM as the user names it. */
export interface NamedTpm {
  /** Its address, or `none`. */
  readonly address: string;
  /** Who gives the passwords of its hierarchies. */
  readonly hierarchyAuth?: HierarchyAuth;
}

/** The option `--tpm`. */
export function tpmOption(): Option {
  return valueOption('--tpm <address>', `where the TPM is (default: $${TPM_VARIABLE}, or auto)`);
}

/** The same, and the option for the passwords that its hierarchies may have. */
export function tpmOptions(): Option[] {
  return [tpmOption(), repeatableOption('--tpm-auth <name=file>', 'password of owner, endorsement or srk')];
}

/**
 * The TPM at the address of `--tpm`, else of the environment, else `auto`, the machine's own, with what gives its passwords.
 * `none`: there shall be none.
 */
export function readNamedTpm(given: Arguments, context: Context): NamedTpm {
  const hierarchyAuth = hierarchyPasswords(given, context);
  const { environment } = context;
  const option = given.text('tpm');
  const address = option ?? (environment[TPM_VARIABLE] || 'auto');
  if (address === 'none') return { address };
  try {
    parseTpmAddress(address);
  } catch (error) {
    if (!isKeyprovError(error, 'address-invalid')) throw error;
    given.problems.push(`${option === undefined ? TPM_VARIABLE : '--tpm'}: ${sayError(error)}, none`);
  }
  return { address, hierarchyAuth };
}

/** Whether the user named a TPM, and not `none`. */
export function isTpmNamed(given: Arguments, { environment }: Context): boolean {
  const text = given.text('tpm') ?? environment[TPM_VARIABLE];
  return text !== undefined && text !== '' && text !== 'none';
}
