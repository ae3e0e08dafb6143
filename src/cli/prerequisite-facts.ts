import { keySources } from '../keys/key-sources.ts';
import type { KeyStore } from '../keys/key-store.ts';
import type { MergedPolicy } from '../policy/index.ts';
import { listRegistrations } from '../provisioning/registration-record.ts';
import { listRuns, type RunOwner } from '../provisioning/run-journal.ts';
import { readTpmFacts } from '../provisioning/tpm-facts.ts';
import { describeDsregProblem, dsregText, parseDsregStatus } from '../provisioning/windows/dsregcmd.ts';
import { dsregcmdProbe, probePrerequisites } from '../provisioning/windows/prerequisite-probe.ts';
import {
  checkPrerequisites,
  type PrerequisiteOptions,
  type PrerequisiteResult,
} from '../provisioning/windows/prerequisites.ts';
import { formatWindowsCode } from '../provisioning/windows/windows-errors.ts';
import type { SignalOptions } from '../signal.ts';
import { runProgram } from '../storage/run-program.ts';
import { windowsProgram } from '../storage/windows.ts';
import type { Environment } from './command.ts';
import type { Arguments } from './options/arguments.ts';
import { fileOf, GUID, type ServiceArguments } from './options/service-option.ts';
import type { Report } from './terminal/report.ts';

/** The sources of the facts for the prerequisites. */
export interface PrerequisiteSources extends RunOwner {
  /** Undefined if there is none yet. */
  readonly store: KeyStore | undefined;
  /** Address of the TPM, or `none`. */
  readonly address: string;
  readonly merged: MergedPolicy;
  readonly environment: Environment;
  /** Output of `dsregcmd /status`; undefined to run it on Windows. */
  readonly dsregcmd: string | undefined;
  /** Default `provisioning`, which demands that there is no PIN yet. */
  readonly operation?: PrerequisiteOptions['operation'];
}

/** What only Windows can tell, and why a run goes on without it. */
const OPTIONAL: NonNullable<PrerequisiteOptions['optional']> = {
  'device-joined': 'the service knows which devices have joined',
  'directory-user': 'the sign-in shows whether the user is in the directory',
  'policy-enabled': 'nothing sets UsePassportForWork, whose default is true',
};

/** Checks the prerequisites. On Windows dsregcmd knows the facts. */
export async function checkRunPrerequisites(
  sources: PrerequisiteSources,
  { signal }: SignalOptions,
): Promise<PrerequisiteResult> {
  const { merged, dsregcmd, operation = 'provisioning' } = sources;
  const { policy } = merged;
  const isAMust = policy.hardware === 'required' || policy.attestation === 'required';
  const tpm = isAMust ? await readTpmFacts(keySources({ tpm: sources.address }), { signal }) : undefined;
  const common: PrerequisiteOptions = { policy, operation, takesOver: true, ...(tpm !== undefined && { tpm }) };
  if (dsregcmd !== undefined || process.platform === 'win32') {
    const facts = await probePrerequisites([dsregcmdProbe(dsregcmd ?? runDsregcmd)], { signal });
    return checkPrerequisites(facts, { ...common, settings: settingsThatAreSet(merged) });
  }
  const facts = { remoteSession: Boolean(sources.environment.SSH_CONNECTION), pinSet: await hasKey(sources) };
  const { UsePassportForWork: _, ...settings } = merged.windows;
  return checkPrerequisites(facts, {
    ...{ ...common, settings: { ...settings, ...settingsThatAreSet(merged) }, optional: OPTIONAL },
  });
}

/** The words of a warning if the policy turns provisioning off. */
export const PROVISIONING_IS_OFF = 'the policy turns provisioning off (UsePassportForWork is false)';

/** Why the policy makes no key, if it turns provisioning off. Keys that exist stay usable. */
export function provisioningOff(merged: MergedPolicy): PrerequisiteResult | undefined {
  const { UsePassportForWork } = settingsThatAreSet(merged);
  if (UsePassportForWork !== false) return undefined;
  const result = checkPrerequisites({}, { settings: { UsePassportForWork } });
  return { ...result, findings: result.findings.filter(({ id }) => id === 'policy-enabled') };
}

/**
 * The value of `--dsregcmd`: the text of that file. Warns if the output is about another device or tenant than `wanted`.
 */
export async function readDsregcmd(
  given: Arguments,
  wanted: Partial<Pick<ServiceArguments, 'deviceId' | 'tenant'>>,
  report: Pick<Report, 'warn'>,
): Promise<string | undefined> {
  const text = await fileOf(given, 'dsregcmd');
  if (text === undefined) return undefined;
  const problem = describeDsregProblem(text);
  if (problem) given.problems.push(`--dsregcmd: ${problem}`);
  const status = parseDsregStatus(text);
  const { deviceId, tenant } = wanted;
  const tenantId = tenant !== undefined && GUID.test(tenant) ? tenant : undefined; // else it is a domain
  for (const [of, name, expected] of [
    ['Device', 'DeviceId', deviceId] as const,
    ['Tenant', 'TenantId', tenantId] as const,
  ]) {
    const found = dsregText(status, `${of} Details`, name);
    if (!found || expected === undefined || found.toLowerCase() === expected.toLowerCase()) continue;
    report.warn(
      `--dsregcmd: the output is about another ${of.toLowerCase()}: its ${name} is ${found}, not ${expected}`,
    );
  }
  return text;
}

async function runDsregcmd({ signal }: SignalOptions): Promise<string> {
  const remedy = 'save the output of dsregcmd /status to a file, and pass it with --dsregcmd';
  return await runProgram(windowsProgram('dsregcmd.exe'), ['/status'], { signal, remedy });
}

/** The settings that are set; dsregcmd knows the values of the others. */
function settingsThatAreSet({ windows, explanation }: MergedPolicy): NonNullable<PrerequisiteOptions['settings']> {
  const set = explanation.filter(({ winner }) => winner !== undefined).map(({ setting }): string => setting);
  return Object.fromEntries(Object.entries(windows).filter(([name]) => set.includes(name)));
}

/** A key of an unfinished run does not count. */
async function hasKey({ store, ...owner }: PrerequisiteSources): Promise<boolean> {
  const isOwn = ({ state }: { readonly state: RunOwner }) =>
    state.user.toLowerCase() === owner.user.toLowerCase() &&
    state.deviceId.toLowerCase() === owner.deviceId.toLowerCase();
  if (store === undefined) return false;
  if ((await listRuns(store)).some(isOwn)) return false;
  return (await listRegistrations(store, { user: owner.user, deviceId: owner.deviceId })).length > 0;
}

/** One line per finding, for people. */
export function prerequisiteLines({ findings }: PrerequisiteResult): string[] {
  return findings.map(({ status, id, detail, remedy, code }) => {
    const windows = code === undefined ? '' : ` (${formatWindowsCode(code)})`;
    return `${status.padEnd(8)} ${id}: ${detail}${remedy === undefined ? '' : `; ${remedy}`}${windows}`;
  });
}
