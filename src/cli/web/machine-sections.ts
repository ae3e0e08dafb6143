import { isKeyprovError, withCleanup } from '../../errors.ts';
import { explainPolicy, isSet } from '../../policy/explain-policy.ts';
import { describePinRules, type PolicyInForce } from '../../policy/index.ts';
import { isWindowsSettingName } from '../../policy/windows-settings.ts';
import type { RunOwner } from '../../provisioning/run-journal.ts';
import { formatWindowsCode } from '../../provisioning/windows/windows-errors.ts';
import { parseTpmAddress } from '../../tpm/address.ts';
import { readLockout } from '../../tpm/capabilities.ts';
import { openTpm } from '../../tpm/open-tpm.ts';
import type { Environment } from '../command.ts';
import { checkAll } from '../commands/doctor.ts';
import { describeLockout, endLockout } from '../lockout-report.ts';
import { checkRunPrerequisites } from '../prerequisite-facts.ts';
import { type DashboardEntry, type DashboardSection, type OpenStore, problemEntry } from './dashboard-section.ts';

/** The inputs of {@link machineSections}. */
export interface MachineSources {
  /** Address of the TPM, or `none`. */
  readonly address: string;
  /** The value of `--tpm`. */
  readonly tpmOption: string | undefined;
  readonly inForce: PolicyInForce;
  readonly environment: Environment;
  /** Text of `dsregcmd /status`; undefined to run it if there is one. */
  readonly dsregcmd: string | undefined;
  readonly openStore: OpenStore;
  /** For whom the prerequisites are checked; undefined if that is unknown. */
  readonly owner: RunOwner | undefined;
  readonly signal: AbortSignal;
}

const TIME_LIMIT_MS = 3_000;

/** The sections that open TPMs and start programs: read only when the user asks. */
export async function machineSections(sources: MachineSources): Promise<readonly DashboardSection[]> {
  const { tpmOption, environment } = sources;
  const checks = await checkAll(environment, tpmOption);
  const found = checks.map(({ name, status, detail, remedy }): DashboardEntry => ({ status, name, detail, remedy }));
  return [
    {
      ...{ id: 'prerequisites', title: 'Prerequisites' },
      empty: 'Not checked: name the user with --user and the device with --device-id, or pass --dsregcmd.',
      entries: await prerequisiteEntries(sources),
    },
    { id: 'machine', title: 'TPMs and libraries', empty: '', entries: [...found, ...(await lockoutEntry(sources))] },
  ];
}

/** Whether the TPM takes PINs. Reading it counts no try; a TPM that is not there yet is not made for it. */
async function lockoutEntry({ address, signal }: MachineSources): Promise<DashboardEntry[]> {
  if (address === 'none') return [];
  const parsed = parseTpmAddress(address);
  if (parsed.kind === 'libtpms' && parsed.directory === undefined) return [];
  const name = "the TPM's PIN tries";
  const limit = AbortSignal.any([signal, AbortSignal.timeout(TIME_LIMIT_MS)]);
  try {
    const tpm = await openTpm(address, { create: false, signal: limit, lifetime: limit });
    const lockout = await withCleanup(
      () => readLockout(tpm, { signal: limit }),
      () => tpm.close(),
    );
    const detail = describeLockout(lockout, tpm);
    if (!lockout.inLockout) return [{ status: 'ok', name, detail }];
    return [{ status: 'problem', name, detail, remedy: endLockout(lockout, tpm), rows: [['code', 'tpm-lockout']] }];
  } catch (error) {
    signal.throwIfAborted();
    // The checks of the machine say already that there is none, or that it is silent.
    if (isKeyprovError(error, 'no-tpm') || limit.aborted) return [];
    return [problemEntry(name, error)];
  }
}

async function prerequisiteEntries(sources: MachineSources): Promise<DashboardEntry[]> {
  const { openStore, owner, inForce: merged, address, environment, dsregcmd, signal } = sources;
  if (owner === undefined) return [];
  try {
    const store = await openStore();
    const { findings } = await checkRunPrerequisites(
      { ...owner, store, address, merged, environment, dsregcmd },
      { signal },
    );
    return findings.map(({ status, id, detail, remedy, code }) => ({
      status: status === 'pass' ? 'ok' : status === 'skipped' ? 'info' : 'problem',
      ...{ name: id, detail, remedy },
      ...(code !== undefined && { rows: [['Windows code', formatWindowsCode(code)]] }),
    }));
  } catch (error) {
    signal.throwIfAborted();
    return [problemEntry('prerequisites', error)];
  }
}

/** The settings of keyprov, and those of Windows that somebody has set, with the source that won. */
export function policySection({ policy, explanation }: PolicyInForce): DashboardSection {
  const shown = explanation.filter((one) => !isWindowsSettingName(one.setting) || isSet(one));
  const entries = shown.map((one): DashboardEntry => {
    const [first = '', ...others] = explainPolicy([one]).split('\n');
    return {
      ...{ status: 'info', name: one.setting, detail: first.slice(`${one.setting} = `.length) },
      rows: others.map((line) => ['overridden', line.trim()]),
    };
  });
  const rules: DashboardEntry = { status: 'info', name: 'PIN', detail: describePinRules(policy.pin).join('; ') };
  return { id: 'policy', title: 'Policy', empty: '', entries: [...entries, rules] };
}
