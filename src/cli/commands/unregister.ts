import type { Command } from 'commander';
import type { KeyStore } from '../../keys/key-store.ts';
import type { RegisteredKey } from '../../provisioning/registration-record.ts';
import { type UnregisterOptions, unregisterKey } from '../../provisioning/unregister.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { keyJson } from '../key-report.ts';
import type { Arguments } from '../options/arguments.ts';
import { keyChoiceOptions, readKeyChoice } from '../options/key-option.ts';
import { graphOptions, readServiceArguments, serviceOptions } from '../options/service-option.ts';
import { openExistingStore } from '../options/store-option.ts';
import { readYes, yesOption } from '../options/yes-option.ts';
import { withService } from '../service-connection.ts';
import { findRegisteredKey } from '../stored-key.ts';
import type { Outcome } from '../terminal/report.ts';

/** `keyprov unregister`. */
export const unregisterCommand: CliCommand = {
  examples: [
    'keyprov unregister --service https://enterpriseregistration.windows.net --tenant contoso.com',
    'keyprov unregister --service https://adfs.contoso.com --user ada@contoso.com --yes',
  ],
  define,
  run: runUnregister,
};

function define(command: Command): void {
  command.description('remove a key from the service, then from the store');
  for (const option of [...keyChoiceOptions(), ...serviceOptions(), ...graphOptions(), yesOption()]) {
    command.addOption(option);
  }
}

async function runUnregister(given: Arguments, context: Context): Promise<Outcome> {
  const { report, prompter, signal } = context;
  const isSure = readYes(given, context);
  const choice = readKeyChoice(given);
  const service = await readServiceArguments(given);
  given.checkGiven();
  report.speakPlainly();
  const store = await openExistingStore(given, context);
  const found = await findRegisteredKey(store, { ...choice, deviceId: service.deviceId }, context);
  given.check();
  const { registration } = found;
  const question = `This removes the key of ${registration.user} on ${registration.deviceId} permanently.`;
  if (!isSure && !(await prompter.confirm(question, signal))) return NOT_DONE;
  const outcome = await withService(service, { user: registration.user, prompter, signal }, ({ registrar }) =>
    takeBack(found, store, registrar, context),
  );
  const from = outcome === 'deleted' ? `the service and from ${store.directory}` : `${store.directory} only`;
  return {
    exitCode: EXIT.done,
    lines: [`removed the key of ${registration.user} from ${from}`],
    json: { ...keyJson(found), outcome },
  };
}

/** Unregisters a key and removes it from the store. Warns if the service does not know it. */
export async function takeBack(
  { record, registration: { user, kid, service } }: RegisteredKey,
  store: KeyStore,
  registrar: UnregisterOptions['registrar'],
  { report, signal }: Pick<Context, 'report' | 'signal'>,
): Promise<'deleted' | 'absent'> {
  report.progress.begin('unregister', `${kid} at ${service}`);
  const outcome = await unregisterKey(store, record.id, { registrar, signal });
  report.progress.end(outcome === 'deleted' ? 'the service has removed it' : 'the service does not have it');
  if (outcome === 'absent') {
    report.warn(`the service has no key ${kid} for ${user}; if you expected one, look for it there`);
  }
  return outcome;
}

const message = 'nothing was done: the key is unchanged';
/** The outcome if the user says no. */
export const NOT_DONE: Outcome = {
  exitCode: EXIT.unexpected,
  lines: [message],
  json: { error: { code: 'not-confirmed', message } },
};
