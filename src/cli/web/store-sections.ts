import type { KeyRecord } from '../../keys/key-record.ts';
import type { KeyStore } from '../../keys/key-store.ts';
import type { PolicyInForce } from '../../policy/index.ts';
import { sayTime } from '../../printable.ts';
import { policyProblem } from '../../provisioning/fits-policy.ts';
import { pinMustChangeOf, pinRulesFor, readPinState } from '../../provisioning/pin-state.ts';
import { type RegistrationRecord, readRegistration } from '../../provisioning/registration-record.ts';
import { listRuns } from '../../provisioning/run-journal.ts';
import { describeSyncStatus, forecastSync } from '../../registration/sync-status.ts';
import { describePinChange, keyRows, type ReportRow } from '../key-report.ts';
import { describePinTries, readPinTries } from '../lockout-report.ts';
import { type DashboardEntry, type DashboardSection, type OpenStore, problemEntry } from './dashboard-section.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** The contents of a store. Reading them needs no TPM, so the page does it again and again. */
export async function storeSections(
  openStore: OpenStore,
  inForce: PolicyInForce,
  now: Date,
): Promise<readonly DashboardSection[]> {
  const keys: DashboardEntry[] = [];
  const runs: DashboardEntry[] = [];
  const errors: DashboardEntry[] = [];
  let where = 'The key store cannot be used: see Errors.';
  await orEntry('store', errors, async () => {
    const store = await openStore();
    where = store === undefined ? 'There is no key store yet.' : `There is no key in ${store.directory}.`;
    if (store === undefined) return;
    await orEntry('journal', errors, async () => {
      runs.push(...(await listRuns(store)).map(runEntry));
    });
    const { records, damaged } = await store.list();
    errors.push(...damaged.map((error) => problemEntry('key record', error)));
    for (const record of records) {
      await orEntry(record.id, errors, async () => {
        keys.push(await keyEntry(store, record, inForce, now));
        errors.push(...keyErrors(record, inForce));
      });
    }
  });
  return [
    { id: 'keys', title: 'Keys', empty: where, entries: keys },
    { id: 'runs', title: 'Unfinished runs', empty: 'None.', entries: runs },
    { id: 'errors', title: 'Errors', empty: 'None.', entries: errors },
  ];
}

/** Does `work`; an error of this library becomes an entry. */
async function orEntry(name: string, errors: DashboardEntry[], work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    errors.push(problemEntry(name, error));
  }
}

async function keyEntry(
  store: KeyStore,
  record: KeyRecord,
  inForce: PolicyInForce,
  now: Date,
): Promise<DashboardEntry> {
  const registration = readRegistration(record);
  const reasons = pinMustChangeOf(record, pinRulesFor(record, inForce), now.getTime());
  const isMisfit = policyProblem(record, inForce.policy, { wantsPin: false }) !== undefined;
  const rows = [
    ...keyRows({ record, registration }),
    ['backend', record.backend] as const,
    ['assurance', record.assurance] as const,
    ...(await pinRows(store, record, now)),
    ...(registration === undefined ? [] : syncRows(registration, now)),
  ];
  return {
    status: reasons.length > 0 || isMisfit ? 'problem' : 'ok',
    ...{ name: record.name, detail: reasons.length > 0 ? `the PIN ${describePinChange(reasons)}` : '' },
    ...(reasons.length > 0 && { remedy: 'keyprov change-pin' }),
    rows,
  };
}

async function pinRows(store: KeyStore, record: KeyRecord, now: Date): Promise<ReportRow[]> {
  if (!record.hasPin) return [];
  const setAt = readPinState(record)?.setAt;
  const age: ReportRow = ['PIN age', setAt === undefined ? 'not known' : ageOf(setAt, now)];
  const tries = await readPinTries(store, record);
  return tries === undefined ? [age] : [age, ['PIN tries', describePinTries(tries)]];
}

function ageOf(setAt: string, now: Date): string {
  const days = Math.floor((now.getTime() - Date.parse(setAt)) / DAY_MS);
  return `${days} ${days === 1 ? 'day' : 'days'}, set ${sayTime(setAt)}`;
}

function syncRows({ registered }: RegistrationRecord, now: Date): ReportRow[] {
  const forecast = forecastSync(registered);
  const minutes = Math.ceil((forecast.estimate.getTime() - now.getTime()) / MINUTE_MS);
  return [
    ['sync', describeSyncStatus({ ...forecast, state: 'registered' })],
    [
      'time left',
      minutes > 0 ? `about ${minutes} min` : 'none; keyprov sync-status shows whether the directory has the key',
    ],
  ];
}

/** Why policy allows no such key, and what failed when the key was made. */
function keyErrors(record: KeyRecord, { policy }: PolicyInForce): DashboardEntry[] {
  const misfit = policyProblem(record, policy, { wantsPin: false });
  const failed = record.attempts.filter(({ outcome }) => outcome === 'failed');
  return [
    ...(misfit === undefined ? [] : [problemEntry(record.name, misfit)]),
    ...failed.map(
      ({ backend, code, reason }): DashboardEntry => ({
        ...{
          status: 'info',
          name: record.name,
          detail: `when the key was made, the backend ${backend} failed: ${reason}`,
        },
        rows: [
          ['code', code ?? 'none'],
          ['time', sayTime(record.created)],
        ],
      }),
    ),
  ];
}

function runEntry({ state, active }: Awaited<ReturnType<typeof listRuns>>[number]): DashboardEntry {
  const { user, deviceId, started, service, progress } = state;
  return {
    status: active ? 'info' : 'problem',
    name: `${user} on ${deviceId}`,
    detail: active ? 'a process is working on it' : 'it was interrupted',
    ...(!active && { remedy: 'run keyprov provision again to continue' }),
    rows: [
      ['step', progress.step],
      ['started', sayTime(started)],
      ['service', service],
    ],
  };
}
