import { join } from 'node:path';
import type { Command } from 'commander';
import { isKeyprovError, KeyprovError } from '../../errors.ts';
import { EXPORTS } from '../../keys/key-record.ts';
import type { KeyStore } from '../../keys/key-store.ts';
import { type FoundKey, type KeyChoice, mayBeKeyId } from '../../provisioning/find-key.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { exists } from '../file-io.ts';
import { keyJson } from '../key-report.ts';
import type { Arguments } from '../options/arguments.ts';
import { keyChoiceOptions, readKeyChoice } from '../options/key-option.ts';
import { openExistingStore } from '../options/store-option.ts';
import { readYes, yesOption } from '../options/yes-option.ts';
import { findMeantKey } from '../stored-key.ts';
import type { Outcome } from '../terminal/report.ts';
import { NOT_DONE } from './unregister.ts';

/** `keyprov remove`. */
export const removeCommand: CliCommand = {
  examples: ['keyprov remove --user ada@contoso.com', 'keyprov remove --store key --yes'],
  define,
  run: runRemove,
};

function define(command: Command): void {
  command.description('remove an unregistered key permanently; the TPM keeps nothing of it');
  for (const option of [...keyChoiceOptions(), yesOption()]) command.addOption(option);
  command.option('--force', 'also remove a registered key; the service still has it');
}

async function runRemove(given: Arguments, context: Context): Promise<Outcome> {
  const { report, prompter, signal } = context;
  const isSure = readYes(given, context);
  const choice = readKeyChoice(given);
  const isForced = given.has('force');
  given.checkGiven();
  const store = await openExistingStore(given, context);
  const { id, what, details, json, damage, stays } = await findRemovable(store, choice, isForced, context);
  given.check();
  if (stays !== undefined) report.warn(stays);
  if (damage !== undefined)
    report.warn('the record does not show whether the key is registered; if it is, it stays registered');
  const question = `This removes ${what} (${details}) from ${store.directory} permanently.`;
  if (!isSure && !(await prompter.confirm(question, signal))) return NOT_DONE;
  await store.delete(id, { signal });
  for (const name of damage === undefined ? [] : EXPORTS) {
    const path = join(store.directory, name);
    if (await exists(path))
      report.warn(`${path} was kept: the record does not show whether this file belongs to the key`);
  }
  return { exitCode: EXIT.done, lines: [`removed ${what} from ${store.directory}`], json };
}

/** A key that may be removed, in words and for programs. */
interface Removable {
  readonly id: string;
  readonly what: string;
  readonly details: string;
  readonly json: object;
  /** Why its record cannot be read. */
  readonly damage?: KeyprovError;
  /** What stays at the service. */
  readonly stays?: string;
}

async function findRemovable(
  store: KeyStore,
  choice: KeyChoice,
  isForced: boolean,
  context: Pick<Context, 'report'>,
): Promise<Removable> {
  let found: FoundKey;
  try {
    found = await findMeantKey(store, choice, context);
  } catch (error) {
    const { id, user, deviceId } = choice;
    // Only an id names one record for certain, even if it cannot be read.
    const isNamed = id !== undefined && !mayBeKeyId(id) && user === undefined && deviceId === undefined;
    if (!isNamed || !(isKeyprovError(error, 'store-invalid') || isKeyprovError(error, 'not-private'))) throw error;
    const { message } = error;
    return { id, what: `the damaged record of the key ${id}`, details: message, json: { id, message }, damage: error };
  }
  const { id, user, algorithm, backend } = found.record;
  const { registration } = found;
  if (registration !== undefined && !isForced) {
    throw new KeyprovError('key-exists', `the key ${id} is registered at ${registration.service}`, {
      remedy:
        'to remove it from the service and the store, run keyprov unregister; if your own program registered it, or the ' +
        'service is gone, run keyprov remove --force, which removes it from the store only; to remove another key, pass --key',
    });
  }
  if (choice.id === undefined) await refuseDamaged(store);
  const whose = user === undefined ? '' : ` of ${user}`;
  return {
    ...{ id, what: `the key ${id}${whose}`, details: `${algorithm}, ${backend}`, json: keyJson(found) },
    ...(registration !== undefined && {
      stays: `${registration.service} still has the key, as ${registration.kid}; remove it there too`,
    }),
  };
}

/** A record that cannot be read may be that of the key that is meant, and what is removed does not come back. */
async function refuseDamaged(store: KeyStore): Promise<void> {
  const [cause] = (await store.list()).damaged;
  if (cause === undefined) return;
  throw new KeyprovError('store-invalid', `${cause.message}; it may belong to the key that you mean`, {
    cause,
    remedy: 'select the key to remove with --key',
  });
}
