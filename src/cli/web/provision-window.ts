import { type Bytes, concatSecrets, wipe } from '../../bytes.ts';
import { isKeyprovError, KeyprovError } from '../../errors.ts';
import type { PinPolicy } from '../../policy/index.ts';
import type { MfaPrompt, PassMfaOptions } from '../../provisioning/mfa-gate.ts';
import type { NewPinPrompt } from '../../provisioning/pin-entry.ts';
import type { ProvisionOutcome, RunEvent, RunStep } from '../../provisioning/run.ts';
import type { DeviceCodePrompt } from '../../registration/device-code.ts';
import { forecastSync } from '../../registration/sync-status.ts';
import { endsWithin, unlessAborted } from '../../signal.ts';
import type { RunArguments } from '../provision-run.ts';
import type { ServiceConnection } from '../service-connection.ts';
import { LiveState } from './live-state.ts';
import type { PageAction } from './page-server.ts';

/** What the window shows of an error or a rule. */
interface Problem {
  readonly code: string;
  /** In English, if the window has no text for the code. */
  readonly message: string;
  readonly remedy?: string | undefined;
}

/** What the window shows; texts are its own. */
type View =
  | { readonly name: 'welcome' | 'sign-in' | 'working' }
  | ({ readonly name: 'code' } & Pick<DeviceCodePrompt, 'userCode' | 'verificationUrl' | 'expires'>)
  | { readonly name: 'retry' | 'failed' | 'pending'; readonly problems: readonly Problem[] }
  | {
      readonly name: 'pin';
      readonly attempt: number;
      readonly policy: PinPolicy;
      readonly problems: readonly Problem[];
    }
  | { readonly name: 'done'; readonly syncAt: Date };

/** The state of the page. No secret is in it. */
interface WindowState {
  readonly user: string;
  readonly view: View;
  readonly steps: readonly { readonly name: RunStep; readonly isDone: boolean }[];
}

const MAX_MFA_ATTEMPTS = 10;
/** How long the window has to say that it shows the end. */
const LAST_WORD_MS = 5_000;
const LINE_FEED = 0x0a;

/**
 * Leads a user through a run in a window, using only the run's public prompts and events. `actions` takes what the user
 * does; `state` is what the window shows.
 */
export class ProvisionWindow {
  readonly state: LiveState<WindowState>;
  readonly actions: Readonly<Record<'begin' | 'again' | 'pin' | 'seen' | 'cancel', PageAction>>;
  readonly #closed = new AbortController();
  #waiting: { readonly name: string; readonly resolve: (body: Bytes) => void } | undefined;
  /** The second entry of the PIN, until the run asks for it. */
  #again: Bytes | undefined;

  constructor(user: string) {
    this.state = new LiveState<WindowState>({ user, view: { name: 'welcome' }, steps: [] });
    const give = (name: string) => (body: Bytes) => this.#give(name, body);
    this.actions = {
      ...{ begin: give('begin'), again: give('again'), pin: give('pin'), seen: give('seen') },
      cancel: () => {
        this.close('the user canceled');
        return true;
      },
    };
  }

  /** From now on the user cannot be asked: every question, pending or later, ends with an error. */
  close(reason: string): void {
    const error = new KeyprovError('pin-required', `no PIN: ${reason}`, { remedy: 'run the command again' });
    this.#waiting = undefined;
    this.#closed.abort(error);
  }

  /** Waits until the user wants to begin. */
  async begin(signal: AbortSignal): Promise<void> {
    await this.#ask('begin', AbortSignal.any([signal, this.#closed.signal]));
    this.#show({ name: 'working' });
  }

  /** The prompts and the event handler for a run. */
  get wish(): Pick<RunArguments, 'prompt' | 'mfaOptions' | 'onEvent'> {
    return { prompt: this.pin, mfaOptions: this.mfaOptions, onEvent: this.onEvent };
  }

  /** The connection, whose prompt waits as long as there is a window. */
  connection(connection: ServiceConnection): ServiceConnection {
    return { ...connection, mfa: this.#mfa(connection.mfa) };
  }

  #mfa(prompt: MfaPrompt): MfaPrompt {
    return async (request, { signal }) => {
      this.#show({ name: 'sign-in' });
      const either = AbortSignal.any([signal, this.#closed.signal]);
      return await unlessAborted(() => prompt(request, { signal: either }), either);
    };
  }

  readonly onCode = ({ userCode, verificationUrl, expires }: DeviceCodePrompt): void =>
    this.#show({ name: 'code', userCode, verificationUrl, expires });

  readonly mfaOptions: Pick<PassMfaOptions, 'maxAttempts' | 'mayRetry'> = {
    maxAttempts: MAX_MFA_ATTEMPTS,
    mayRetry: async (error) => {
      if (this.#closed.signal.aborted) return false;
      this.#show({ name: 'retry', problems: [problemOf(error)] });
      await this.#ask('again', this.#closed.signal);
      return true;
    },
  };

  /** Both entries come at once, with a line feed between them. */
  readonly pin: NewPinPrompt = async ({ step, policy, problems, attempt }, { signal }) => {
    if (step === 'confirm') return this.#again ?? new Uint8Array(0);
    wipe(this.#again);
    this.#show({ name: 'pin', policy, problems, attempt });
    const { signal: closed } = this.#closed;
    const entries = await this.#ask('pin', signal === undefined ? closed : AbortSignal.any([signal, closed]));
    try {
      const end = entries.indexOf(LINE_FEED);
      this.#again = concatSecrets(entries.subarray(end + 1));
      return concatSecrets(entries.subarray(0, Math.max(0, end)));
    } finally {
      wipe(entries);
      this.#show({ name: 'working' });
    }
  };

  readonly onEvent = (event: RunEvent): void => {
    const { view, steps, user } = this.state.value;
    if (event.type !== 'begin' && event.type !== 'end') return;
    const others = steps.filter(({ name }) => name !== event.step);
    const isPassed = event.type === 'end' && event.step === 'mfa';
    this.state.set({
      ...{ user, view: isPassed ? { name: 'working' } : view },
      steps: [...others, { name: event.step, isDone: event.type === 'end' }],
    });
  };

  /** Shows the outcome of the run, and waits up to 5 seconds until the window has it or is closed. */
  async end(
    outcome: ProvisionOutcome | { readonly status: 'failed'; readonly error: unknown },
    windowClosed: AbortSignal,
  ): Promise<void> {
    this.#show(endOf(outcome));
    await endsWithin(LAST_WORD_MS, this.#ask('seen', windowClosed)).catch((error: unknown) => {
      if (!windowClosed.aborted) throw error;
    });
  }

  /** Wipes the second entry of the PIN, if the run did not ask for it. */
  wipe(): void {
    wipe(this.#again);
  }

  /** Waits for an action, and takes it no longer once `signal` aborts. @throws its reason */
  async #ask(name: string, signal: AbortSignal): Promise<Bytes> {
    const given = new Promise<Bytes>((resolve) => {
      this.#waiting = { name, resolve };
    });
    try {
      return await unlessAborted(() => given, signal);
    } finally {
      this.#waiting = undefined;
    }
  }

  #give(name: string, body: Bytes): boolean {
    if (this.#waiting?.name !== name) return false;
    const { resolve } = this.#waiting;
    this.#waiting = undefined;
    resolve(concatSecrets(body));
    return true;
  }

  #show(view: View): void {
    this.state.set({ ...this.state.value, view });
  }
}

function problemOf(error: unknown): Problem {
  if (isKeyprovError(error)) return { code: error.code, message: error.message, remedy: error.remedy };
  return { code: 'unexpected', message: 'unexpected error' };
}

function endOf(outcome: Parameters<ProvisionWindow['end']>[0]): View {
  switch (outcome.status) {
    case 'registered':
      return { name: 'done', syncAt: forecastSync(outcome.registration.registered).estimate };
    case 'blocked': {
      const failed = outcome.prerequisites.findings.filter(({ status }) => status === 'fail' || status === 'unknown');
      const problems = failed.map(({ id, detail, remedy }) => ({ code: id, message: detail, remedy }));
      return { name: 'failed', problems };
    }
    case 'pending':
      return { name: 'pending', problems: [problemOf(outcome.problem)] };
    case 'failed':
      return { name: 'failed', problems: [problemOf(outcome.error)] };
  }
}
