import type { ProvisionOutcome } from '../../provisioning/run.ts';
import type { Context } from '../command.ts';
import type { Arguments } from '../options/arguments.ts';
import { openStore } from '../options/store-option.ts';
import { readRunArguments, runWith } from '../provision-run.ts';
import { describeRun } from '../run-report.ts';
import { withService } from '../service-connection.ts';
import type { Outcome } from '../terminal/report.ts';
import { ProvisionWindow } from './provision-window.ts';
import { withPage } from './with-page.ts';

/** Runs `keyprov provision --web`. */
export async function provisionInWindow(given: Arguments, context: Context): Promise<Outcome> {
  const { report, prompter, signal } = context;
  const wish = await readRunArguments(given, context);
  given.check();
  report.speakPlainly();
  const store = await openStore(given, context);
  const { service, user } = wish;
  const window = new ProvisionWindow(user);
  const { onCode } = window;
  const outcome = await inWindow(window, { prompter, signal, open: given.has('open') }, () =>
    withService(service, { user, prompter, signal, onCode }, async (connection) =>
      runWith(window.connection(connection), { ...wish, ...window.wish }, { ...context, store }),
    ),
  );
  return describeRun(outcome, store, report);
}

/** Shows a window, calls `run` once the user begins, and shows the outcome. */
export async function inWindow(
  window: ProvisionWindow,
  { prompter, signal, open }: Pick<Context, 'prompter' | 'signal'> & { readonly open: boolean },
  run: () => Promise<ProvisionOutcome>,
): Promise<ProvisionOutcome> {
  const { state, actions } = window;
  return await withPage({ page: 'provision', state, actions }, { prompter, open }, async (page) => {
    page.windowClosed.addEventListener('abort', () => window.close('the window was closed, or never opened'));
    try {
      await window.begin(signal);
      const outcome = await run();
      await window.end(outcome, page.windowClosed);
      return outcome;
    } catch (error) {
      if (!signal.aborted) await window.end({ status: 'failed', error }, page.windowClosed);
      throw error;
    } finally {
      window.wipe();
    }
  });
}
