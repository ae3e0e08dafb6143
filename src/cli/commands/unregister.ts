import { type Command, Option } from 'commander';
import { isKeyprovError, KeyprovError } from '../../errors.ts';
import { type KeyStore, openKeyStore } from '../../keys/key-store.ts';
import { listRegistrations, type RegisteredKey } from '../../provisioning/registration-record.ts';
import { type UnregisterOptions, unregisterKey } from '../../provisioning/unregister.ts';
import { deleteHelloMethod, type HelloMethod, listHelloMethods } from '../../registration/graph.ts';
import { isDots } from '../../registration/service-url.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { exists } from '../file-io.ts';
import { keyJson } from '../key-report.ts';
import type { Arguments } from '../options/arguments.ts';
import { keyChoiceOptions, readKeyChoice } from '../options/key-option.ts';
import {
  graphOptions,
  readServiceArguments,
  type ServiceArguments,
  serviceOptions,
} from '../options/service-option.ts';
import { openExistingStore, storePath } from '../options/store-option.ts';
import { valueOption } from '../options/value-option.ts';
import { readYes, yesOption } from '../options/yes-option.ts';
import { withService } from '../service-connection.ts';
import { checkWithService, findRegisteredKey, NOT_REGISTERED } from '../stored-key.ts';
import type { Outcome } from '../terminal/report.ts';

/** `keyprov unregister`. */
export const unregisterCommand: CliCommand = {
  examples: [
    'keyprov unregister --service https://enterpriseregistration.windows.net --tenant contoso.com',
    'keyprov unregister --service https://adfs.contoso.com --user ada@contoso.com --yes',
    'keyprov unregister --service https://enterpriseregistration.windows.net --user ada@contoso.com --list',
  ],
  define,
  run: runUnregister,
};

function define(command: Command): void {
  command.description('remove a key from the service, then from the store');
  for (const option of [...keyChoiceOptions(), ...serviceOptions(), ...graphOptions(), yesOption()]) {
    command.addOption(option);
  }
  command
    .addOption(new Option('--list', "list the user's keys at the service, if the store is lost"))
    .addOption(valueOption('--registration <id>', 'remove the key with this id (see --list) from the service'));
}

async function runUnregister(given: Arguments, context: Context): Promise<Outcome> {
  const { report, prompter, signal } = context;
  const isList = given.has('list');
  const isSure = isList || readYes(given, context);
  const choice = readKeyChoice(given);
  const service = await readServiceArguments(given);
  if (isList) given.refuse(['registration'], 'cannot be used with --list');
  if (isList || given.isThere('registration')) return await unregisterLost(service, isSure, given, context);
  given.checkGiven();
  report.speakPlainly();
  const find = async () => {
    const store = await openExistingStore(given, context);
    return { store, found: await findRegisteredKey(store, { ...choice, deviceId: service.deviceId }, context) };
  };
  const { store, found } = await find().catch((error: unknown) => {
    throw isKeyprovError(error, 'key-not-found') && !error.message.endsWith(NOT_REGISTERED)
      ? new KeyprovError(error.code, error.message, { cause: error, ...LOST })
      : error;
  });
  checkWithService(given, found);
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

const LOST = {
  remedy: "pass the key's store with --store; if the store is lost, list the user's keys at the service with --list",
};

/** Lists the user's keys at the service, or removes one that is in no store. */
async function unregisterLost(
  service: ServiceArguments,
  isSure: boolean,
  given: Arguments,
  context: Context,
): Promise<Outcome> {
  const { report, prompter, signal, environment } = context;
  const [user, id] = [given.required('user'), given.text('registration')];
  if (given.isThere('user') && isDots(user)) given.problems.push('--user is not the name of a user');
  given.refuse(['key', 'device-id'], 'cannot be used with --list or --registration');
  given.check();
  report.speakPlainly();
  const path = storePath(given, environment);
  const kept =
    id !== undefined && (await exists(path)) ? await listRegistrations(await openKeyStore(path), { user }) : [];
  if (kept.some(({ registration }) => registration.kid === id)) {
    throw new KeyprovError('key-exists', `the key ${id} is in ${path}`, {
      remedy: 'unregister it without --registration',
    });
  }
  return await withService(service, { user, prompter, signal }, async ({ graph }) => {
    const keys = await listHelloMethods(user, graph);
    if (id === undefined) {
      return {
        exitCode: EXIT.done,
        lines: keys.length === 0 ? [`the service has no key for ${user}`] : keys.map(lineOf),
        json: { user, keys },
      };
    }
    const key = keys.find((one) => one.id === id);
    const isGone = `the service has no key ${id} for ${user}`;
    if (key === undefined) throw new KeyprovError('key-not-found', isGone, { remedy: 'list the keys with --list' });
    const question = `This removes the key ${lineOf(key)} of ${user} from the service permanently.`;
    if (!isSure && !(await prompter.confirm(question, signal))) return NOT_DONE;
    const outcome = await deleteHelloMethod(user, id, graph);
    return {
      exitCode: EXIT.done,
      lines: [
        outcome === 'deleted' ? `removed the key ${id} of ${user} from the service` : `${isGone}; nothing was done`,
      ],
      json: { user, ...key, outcome },
    };
  });
}

const lineOf = ({ id, createdDateTime, displayName }: HelloMethod): string => `${id} ${createdDateTime} ${displayName}`;

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
