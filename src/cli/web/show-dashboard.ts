import { openKeyStore } from '../../keys/key-store.ts';
import { sleepFor } from '../../registration/sleep.ts';
import type { Context } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { exists } from '../file-io.ts';
import type { Arguments } from '../options/arguments.ts';
import { readPolicy } from '../options/policy-option.ts';
import { readDeviceId } from '../options/service-option.ts';
import { storePath } from '../options/store-option.ts';
import { readNamedTpm } from '../options/tpm-option.ts';
import { readDsregcmd } from '../prerequisite-facts.ts';
import type { Outcome } from '../terminal/report.ts';
import type { DashboardSection } from './dashboard-section.ts';
import { LiveState } from './live-state.ts';
import { type MachineSources, machineSections, policySection } from './machine-sections.ts';
import { storeSections } from './store-sections.ts';
import { withPage } from './with-page.ts';

/** From one look at the store to the next. */
const REFRESH_MS = 5_000;

/** What the page shows. */
interface DashboardState {
  /** When the machine was looked at, and when the store: ISO 8601. */
  readonly machineAt: string;
  readonly sections: readonly DashboardSection[];
}

/** Runs `keyprov dashboard`. */
export async function showDashboard(given: Arguments, context: Context): Promise<Outcome> {
  const { environment, signal, prompter, report } = context;
  const { address } = readNamedTpm(given, context);
  const inForce = await readPolicy(given, context);
  const [user, deviceId] = [given.text('user'), readDeviceId(given)];
  const dsregcmd = await readDsregcmd(given, { deviceId }, report);
  given.check();
  const path = storePath(given, environment);
  // Opened again for each look, because its permissions may change.
  const openStore = async () => ((await exists(path)) ? await openKeyStore(path, { create: false }) : undefined);
  await openStore();
  const isKnown = dsregcmd !== undefined || process.platform === 'win32';
  const owner = isKnown || (user && deviceId) ? { user: user ?? '', deviceId: deviceId ?? '' } : undefined;
  const lookAtMachine = async () => {
    const sources: MachineSources = {
      address,
      tpmOption: given.text('tpm'),
      inForce,
      environment,
      dsregcmd,
      owner,
      signal,
      openStore,
    };
    return { machineAt: new Date().toISOString(), machine: await machineSections(sources) };
  };
  let { machineAt, machine } = await lookAtMachine();
  const policy = policySection(inForce);
  const look = async (): Promise<DashboardState> => ({
    machineAt,
    sections: [...(await storeSections(openStore, inForce, new Date())), ...machine, policy],
  });
  const state = new LiveState<DashboardState>(await look());
  let again = new AbortController();
  const actions = {
    check: () => {
      again.abort();
      return true;
    },
  };
  await withPage({ page: 'dashboard', state, actions }, { prompter, open: given.has('open') }, async (page) => {
    report.announce({ address: page.address });
    while (!page.windowClosed.aborted) {
      const { aborted: isAsked } = again.signal;
      if (isAsked) {
        again = new AbortController();
        ({ machineAt, machine } = await lookAtMachine());
      }
      const next = await look();
      if (JSON.stringify(next) !== JSON.stringify(state.value)) state.set(next);
      await pause(AbortSignal.any([signal, page.windowClosed, again.signal]));
      signal.throwIfAborted();
    }
  });
  return { exitCode: EXIT.done, lines: ['the window was closed, or never opened'], json: {} };
}

/** Waits for the next look, or for what ends the waiting. */
async function pause(signal: AbortSignal): Promise<void> {
  await sleepFor(REFRESH_MS, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
