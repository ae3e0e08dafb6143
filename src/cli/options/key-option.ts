import { Option } from 'commander';
import { isRecordId } from '../../keys/key-record.ts';
import type { PolicyInForce } from '../../policy/index.ts';
import { type KeyChoice, mayBeKeyId } from '../../provisioning/find-key.ts';
import type { Context } from '../command.ts';
import type { Arguments } from './arguments.ts';
import { policyFileOptions, readPolicy } from './policy-option.ts';
import { readDeviceId } from './service-option.ts';
import { storeOption } from './store-option.ts';
import { type NamedTpm, readNamedTpm, tpmOptions } from './tpm-option.ts';
import { valueOption } from './value-option.ts';

/** The options of every command on a key of a store; `otherwise` and `tpm` say which keys and TPM it uses without them. */
export function keyOptions(otherwise?: string, tpm?: string): Option[] {
  return [...keyChoiceOptions(otherwise), ...tpmOptions(undefined, tpm), ...policyFileOptions()];
}

/** The options that select a key of a store; `otherwise` is the selection without them. */
export function keyChoiceOptions(otherwise = 'the only key'): Option[] {
  return [
    storeOption(),
    valueOption('--user <name>', `user of the key (default: ${otherwise})`),
    valueOption('--device-id <guid>', 'device of the key'),
    keyIdOption(),
  ];
}

/** The options for the PIN of a key; `help` says what is in the file. */
export function pinOptions(help: string): Option[] {
  return [
    valueOption('--pin-file <file>', help),
    new Option('--force', 'try the PIN even if a wrong one would lock the TPM'),
  ];
}

/** The option `--key`. */
export function keyIdOption(): Option {
  return valueOption('--key <id>', 'key with this id or Key ID (see keyprov status)');
}

/** Which key is meant, which TPM may hold it, and the policy in force. */
export interface KeyArguments {
  readonly choice: KeyChoice;
  readonly tpm: NamedTpm;
  readonly inForce: PolicyInForce;
}

/** Reads {@link keyOptions}; problems are noted in `given`. */
export async function readKeyArguments(given: Arguments, context: Context): Promise<KeyArguments> {
  return {
    choice: readKeyChoice(given),
    tpm: readNamedTpm(given, context),
    inForce: await readPolicy(given, context),
  };
}

/** Reads {@link keyChoiceOptions}. */
export function readKeyChoice(given: Arguments): KeyChoice {
  return { id: readKeyId(given), user: given.text('user'), deviceId: readDeviceId(given) };
}

/** The value of `--key`. */
export function readKeyId(given: Arguments): string | undefined {
  const id = given.text('key');
  if (id !== undefined && !mayBeKeyId(id) && !isRecordId(id)) {
    given.problems.push('--key is neither the id nor the Key ID of a key; keyprov status shows both');
  }
  return id;
}
