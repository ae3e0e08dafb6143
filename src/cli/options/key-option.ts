import type { Option } from 'commander';
import type { PolicyInForce } from '../../policy/index.ts';
import type { KeyChoice } from '../../provisioning/find-key.ts';
import type { Context } from '../command.ts';
import type { Arguments } from './arguments.ts';
import { policyFileOptions, readPolicy } from './policy-option.ts';
import { GUID } from './service-option.ts';
import { storeOption } from './store-option.ts';
import { type NamedTpm, readNamedTpm, tpmOptions } from './tpm-option.ts';
import { valueOption } from './value-option.ts';

/** The options of every command on a key of a store. */
export function keyOptions(): Option[] {
  return [
    storeOption(),
    valueOption('--user <name>', 'user of the key (default: the only key)'),
    valueOption('--device-id <guid>', 'device of the key'),
    keyIdOption(),
    ...tpmOptions(),
    ...policyFileOptions(),
  ];
}

/** The option `--key`. */
export function keyIdOption(): Option {
  return valueOption('--key <id>', 'key with this id, as keyprov status shows it');
}

/** Which key is meant, which TPM may hold it, and the policy in force. */
export interface KeyArguments {
  readonly choice: KeyChoice;
  readonly tpm: NamedTpm;
  readonly inForce: PolicyInForce;
}

/** Reads {@link keyOptions}; problems are noted in `given`. */
export async function readKeyArguments(given: Arguments, context: Context): Promise<KeyArguments> {
  const deviceId = given.text('device-id');
  if (deviceId !== undefined && !GUID.test(deviceId)) given.problems.push('--device-id is not a GUID');
  return {
    choice: { id: readKeyId(given), user: given.text('user'), deviceId },
    tpm: readNamedTpm(given, context),
    inForce: await readPolicy(given, context),
  };
}

/** The value of `--key`. */
export function readKeyId(given: Arguments): string | undefined {
  const id = given.text('key');
  if (id !== undefined && !/^[a-z0-9._-]+$/.test(id)) given.problems.push('--key is not the id of a key');
  return id;
}
