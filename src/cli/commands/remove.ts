import type { Command } from 'commander';
import { KeyprovError } from '../../errors.ts';
import type { KeyStore } from '../../keys/key-store.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { keyJson } from '../key-report.ts';
import type { Arguments } from '../options/arguments.ts';
import { keyChoiceOptions, readKeyChoice } from '../options/key-option.ts';
import { openExistingStore } from '../options/store-option.ts';
import { readYes, yesOption } from '../options/yes-option.ts';
import { findMeantKey } from '../stored-key.ts';
import type { Outcome } from '../terminal/report.ts';
import { notDone } from './unregister.ts';

/** `keyprov remove`. */
export const removeCommand: CliCommand = {
  name: 'remove',
  examples: ['keyprov remove --user ada@contoso.com', 'keyprov remove --store key --yes'],
  define,
  run: runRemove,
};

function define(command: Command): void {
  command.description('remove a key that is not registered from the store, permanently; its TPM keeps nothing of it');
  for (const option of [...keyChoiceOptions(), yesOption()]) command.addOption(option);
}

async function runRemove(given: Arguments, context: Context): Promise<Outcome> {
  const { prompter, signal } = context;
  const isSure = readYes(given, context);
  const choice = readKeyChoice(given);
  given.check();
  const store = await openExistingStore(given, context);
  const found = await findMeantKey(store, choice, context);
  const { id, user, algorithm, backend } = found.record;
  if (found.registration !== undefined) {
    throw new KeyprovError('key-exists', `the key ${id} is registered at ${found.registration.service}`, {
      remedy: 'keyprov unregister removes it there, and from the store; or name another key with --key',
    });
  }
  const whose = user === undefined ? '' : ` of ${user}`;
  if (choice.id === undefined) await refuseDamaged(store);
  const question = `This removes the key ${id}${whose} (${algorithm}, ${backend}) from ${store.directory} permanently.`;
  if (!isSure && !(await prompter.confirm(question, 'yes', signal))) return notDone('the key is unchanged');
  await store.delete(id, { signal });
  return {
    exitCode: EXIT.done,
    lines: [`the key ${id}${whose} is removed from ${store.directory}`],
    json: keyJson(found),
  };
}

/** A record that cannot be read may be that of the key that is meant, and what is removed does not come back. */
async function refuseDamaged(store: KeyStore): Promise<void> {
  const [cause] = (await store.list()).damaged;
  if (cause === undefined) return;
  throw new KeyprovError('store-invalid', `${cause.message}; it may be the key that is meant`, {
    cause,
    remedy: 'name the key to remove with --key',
  });
}
