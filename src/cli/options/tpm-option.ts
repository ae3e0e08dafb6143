import type { Option } from 'commander';
import { isKeyprovError, sayError } from '../../errors.ts';
import { parseTpmAddress } from '../../tpm/address.ts';
import type { HierarchyAuth } from '../../tpm/hierarchy-auth.ts';
import type { Context } from '../command.ts';
import { hierarchyPasswords } from '../terminal/hierarchy-passwords.ts';
import type { Arguments } from './arguments.ts';
import { repeatableOption, valueOption } from './value-option.ts';

/** The environment variable with the address of the TPM, if `--tpm` is absent. */
export const TPM_VARIABLE = 'KEYPROV_TPM';

/** The addresses that need nothing more. */
const ADDRESSES = ['auto', 'libtpms', 'device', 'tbs', 'none'];

/** A TPM as the user names it. */
export interface NamedTpm {
  /** The address, or `none`. */
  readonly address: string;
  /** Supplies the passwords of its hierarchies. */
  readonly hierarchyAuth?: HierarchyAuth;
  /** Called if it is not open after two seconds. */
  readonly onWait?: () => void;
}

/** The option `--tpm`. */
export function tpmOption(otherwise = 'auto'): Option {
  return valueOption('--tpm <address>', `TPM address (default: $${TPM_VARIABLE}, or ${otherwise})`, ADDRESSES);
}

/** The option `--tpm`, and the option for the passwords that the command may need. */
export function tpmOptions(passwords = 'owner, endorsement or srk', otherwise = 'auto'): Option[] {
  return [tpmOption(otherwise), repeatableOption('--tpm-auth <name=file>', `TPM password: ${passwords}`)];
}

/**
 * The TPM at the address of `--tpm`, else of the environment, else `auto`, the machine's own; and the source of its
 * passwords. With `none` no TPM is used.
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
    given.problems.push(`${option === undefined ? TPM_VARIABLE : '--tpm'}: ${sayError(error)}`);
  }
  const waiting = `tpm: waiting for the TPM at ${address}, which another program may be using`;
  return { address, hierarchyAuth, onWait: () => context.report.progress.note(waiting) };
}

/** Whether the user named a TPM, and not `none`. */
export function isTpmNamed(given: Arguments, { environment }: Context): boolean {
  const text = given.text('tpm') ?? environment[TPM_VARIABLE];
  return text !== undefined && text !== '' && text !== 'none';
}
