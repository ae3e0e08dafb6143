import type { Command } from 'commander';
import { sayError, withCleanup } from '../../errors.ts';
import type { RegisteredKey } from '../../provisioning/registration-record.ts';
import {
  DEFAULT_SYNC_SCHEDULE,
  parseAdSyncScheduler,
  type SyncSchedule,
  scheduleOf,
} from '../../registration/ad-sync-scheduler.ts';
import { graphReader } from '../../registration/graph.ts';
import {
  type DirectoryReader,
  describeSyncStatus,
  type SyncStatus,
  syncStatus,
  waitForSync,
} from '../../registration/sync-status.ts';
import type { SignalOptions } from '../../signal.ts';
import type { CliCommand, Context } from '../command.ts';
import { EXIT, exitCodeOf } from '../exit-codes.ts';
import { connectingLdapReader } from '../ldap-directory.ts';
import type { Arguments } from '../options/arguments.ts';
import { keyChoiceOptions, readKeyChoice } from '../options/key-option.ts';
import { certificatesOf, fileOf, urlOf } from '../options/service-option.ts';
import { openExistingStore } from '../options/store-option.ts';
import { valueOption } from '../options/value-option.ts';
import { openFetch, withUsableFiles } from '../service-connection.ts';
import { findRegisteredKey } from '../stored-key.ts';
import { commandToken } from '../terminal/command-output.ts';
import { readPassword } from '../terminal/pin-file.ts';
import { errorToJson, type Outcome, type Report } from '../terminal/report.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

/** `keyprov sync-status`. */
export const syncStatusCommand: CliCommand = {
  examples: [
    'keyprov sync-status --graph-token-command get-token --wait',
    'keyprov sync-status --ldap ldaps://dc1.contoso.com --ldap-base DC=contoso,DC=com \\\n    --ldap-bind-dn reader@contoso.com --ldap-password-file password',
  ],
  define,
  run: runSyncStatus,
};

function define(command: Command): void {
  command.description('show whether a registered key has reached the directory that on-premises sign-in uses');
  for (const option of keyChoiceOptions()) command.addOption(option);
  command
    .addOption(valueOption('--ldap <url>', 'on premises: ldaps://…, or ldap://… with StartTLS'))
    .addOption(valueOption('--ldap-base <dn>', 'DN that contains the users'))
    .addOption(valueOption('--ldap-bind-dn <dn>', 'account to read with: a DN, or user@domain'))
    .addOption(valueOption('--ldap-password-file <file>', 'file with its password, - for stdin'))
    .addOption(valueOption('--ldap-ca <file>', 'additional root certificates for LDAP, PEM'))
    .addOption(valueOption('--graph-token-command <cmd>', 'look in Entra ID; the command prints a token'))
    .addOption(valueOption('--graph-url <url>', 'Graph (default: https://graph.microsoft.com/)'))
    .addOption(valueOption('--service-ca <file>', 'additional root certificates for Graph, PEM'))
    .addOption(valueOption('--proxy <url>', 'proxy for Graph'))
    .addOption(valueOption('--scheduler <file>', 'output of Get-ADSyncScheduler'))
    .addOption(valueOption('--sync-minutes <number>', 'minutes between cycles (default: 30)'))
    .option('--wait', 'look again until the key is there or late')
    .addOption(valueOption('--poll-seconds <number>', 'seconds between tries (default: 60)'));
}

/** The directory to look in. */
type Place =
  | { readonly kind: 'nowhere' }
  | { readonly kind: 'graph'; readonly command: string; readonly url: URL | undefined }
  | { readonly kind: 'ldap'; readonly url: URL; readonly base: string; readonly bindDn: string; readonly file: string };

async function runSyncStatus(given: Arguments, context: Context): Promise<Outcome> {
  const { report, signal } = context;
  const choice = readKeyChoice(given);
  const place = readPlace(given);
  const schedule = await readSchedule(given, report);
  const roots = { ldap: await certificatesOf(given, 'ldap-ca'), graph: await certificatesOf(given, 'service-ca') };
  const proxy = given.text('proxy');
  const wait = given.has('wait');
  const pollMs = (given.count('poll-seconds') ?? 60) * SECOND_MS;
  if (!wait) given.refuse(['poll-seconds'], 'works only with --wait');
  if (wait && place.kind === 'nowhere') given.problems.push('--wait needs --ldap or --graph-token-command');
  given.check();
  report.speakPlainly();
  const found = await findRegisteredKey(await openExistingStore(given, context), choice, context);
  const look = async (reader: DirectoryReader | undefined): Promise<SyncStatus> => {
    const key = found.registration;
    if (!wait || reader === undefined) return await syncStatus(key, { schedule, signal, ...(reader && { reader }) });
    const onProgress = (status: SyncStatus) => report.progress.note(`sync: ${wordsFor(status)}`);
    return await waitForSync(key, { reader, schedule, pollMs, onProgress, signal });
  };
  const status = await withReader(place, { roots, proxy, report, signal }, look);
  return outcomeOf(found, status);
}

function readPlace(given: Arguments): Place {
  const [ldap, command] = [given.text('ldap'), given.text('graph-token-command')];
  if (ldap !== undefined && command !== undefined) {
    given.problems.push('--ldap and --graph-token-command cannot be used together');
  }
  if (command === undefined) {
    const why = ldap === undefined ? 'works only with --graph-token-command' : 'cannot be used with --ldap';
    given.refuse(['graph-url', 'service-ca', 'proxy'], why);
  }
  if (ldap === undefined) {
    const why = command === undefined ? 'works only with --ldap' : 'cannot be used with --graph-token-command';
    given.refuse(['ldap-base', 'ldap-bind-dn', 'ldap-password-file', 'ldap-ca'], why);
    return command === undefined ? { kind: 'nowhere' } : { kind: 'graph', command, url: urlOf(given, 'graph-url') };
  }
  const isUrl = URL.canParse(ldap) && /^ldaps?:$/.test(new URL(ldap).protocol);
  if (!isUrl) given.problems.push('--ldap is not an ldap or ldaps URL');
  return {
    kind: 'ldap',
    url: new URL(isUrl ? ldap : 'ldap://localhost'),
    base: given.required('ldap-base'),
    bindDn: given.required('ldap-bind-dn'),
    file: given.required('ldap-password-file'),
  };
}

async function readSchedule(given: Arguments, report: Report): Promise<SyncSchedule> {
  const [text, minutes] = [await fileOf(given, 'scheduler'), given.count('sync-minutes')];
  if (text !== undefined && minutes !== undefined)
    given.problems.push('--scheduler and --sync-minutes cannot be used together');
  if (minutes !== undefined) return { intervalMs: minutes * MINUTE_MS };
  if (text === undefined) return DEFAULT_SYNC_SCHEDULE;
  const { fields, ...settings } = parseAdSyncScheduler(text, { now: new Date() });
  if (Object.keys(settings).length === 0) {
    given.problems.push(
      '--scheduler has none of the settings that Get-ADSyncScheduler prints, such as SyncCycleEnabled',
    );
  }
  const next = fields.get('NextSyncCycleStartTimeInUTC') ?? '';
  if (next !== '' && settings.NextSyncCycleStartTimeInUTC === undefined) {
    report.warn(
      `--scheduler: the time of the next cycle cannot be read: ${next}; only the interval is used; ` +
        'to use the time, write it as YYYY-MM-DDThh:mm:ssZ',
    );
  }
  return scheduleOf({ ...settings, fields });
}

interface ReaderContext extends SignalOptions {
  readonly roots: { readonly ldap: string | undefined; readonly graph: string | undefined };
  readonly proxy: string | undefined;
  readonly report: Report;
  readonly signal: AbortSignal;
}

async function withReader(
  place: Place,
  { roots, proxy, report, signal }: ReaderContext,
  look: (reader: DirectoryReader | undefined) => Promise<SyncStatus>,
): Promise<SyncStatus> {
  if (place.kind === 'nowhere') return await look(undefined);
  if (place.kind === 'graph') {
    const fetch = openFetch({ ca: roots.graph, proxy, device: undefined });
    const token = () => commandToken(place.command, { option: '--graph-token-command', signal });
    const graphUrl = place.url === undefined ? {} : { graphUrl: place.url };
    return await withCleanup(
      () => look(graphReader({ token, fetch, ...graphUrl })),
      () => fetch.close(),
    );
  }
  const password = await readPassword(place.file, '--ldap-password-file', report, signal);
  const { url, base, bindDn: dn } = place;
  const reader = withUsableFiles('--ldap-ca', () => connectingLdapReader({ url, base, dn, password, ca: roots.ldap }));
  return await look(reader);
}

function wordsFor(status: SyncStatus): string {
  if (status.state === 'registered' && status.problem)
    return `the directory could not be read: ${sayError(status.problem)}`;
  return { registered: 'not checked', pending: 'not there yet', overdue: 'late', synced: 'there' }[status.state];
}

const EXITS = { registered: EXIT.pending, pending: EXIT.pending, overdue: EXIT.overdue, synced: EXIT.done } as const;

function outcomeOf({ registration }: RegisteredKey, status: SyncStatus): Outcome {
  const { user, deviceId, kid } = registration;
  const lines = [`${status.state.padEnd(12)} ${wordsFor(status)}`, describeSyncStatus(status)];
  const { problem, ...rest } = { problem: undefined, ...status };
  const error = problem ? errorToJson(problem) : { code: status.state, message: describeSyncStatus(status) };
  return {
    exitCode: problem === undefined ? EXITS[status.state] : exitCodeOf(problem),
    lines,
    json: { ...(status.state !== 'synced' && { error }), user, deviceId, kid, ...rest },
  };
}
