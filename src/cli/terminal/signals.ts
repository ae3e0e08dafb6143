import type { Libc } from '../../../native/libc.ts';
import { countDown } from '../../signal.ts';
import { exitCodeOfSignal } from '../exit-codes.ts';

/** Thrown if a signal, such as that of Ctrl-C, ended the work. */
export class Interrupted extends Error {
  readonly signalName: NodeJS.Signals;

  constructor(signalName: NodeJS.Signals) {
    super(`ended by ${signalName}`);
    this.name = 'Interrupted';
    this.signalName = signalName;
  }
}

const CLEANING = new Set<Promise<unknown>>();

/** Makes the end of this process after a signal wait for `work`, which the signal ends, for what `work` does then. */
export async function beforeEnd<T>(work: Promise<T>): Promise<T> {
  CLEANING.add(work);
  try {
    return await work;
  } finally {
    CLEANING.delete(work);
  }
}

/** Ends this process, even if a thread is stuck on a TPM, for which `process.exit` would wait. */
export async function endAtOnce(): Promise<never> {
  const code = Number(process.exitCode ?? 0);
  if (process.platform !== 'win32') {
    const { loadLibc } = await import('../../../native/libc.ts');
    process.once('exit', () => loadLibc().exitAtOnce(code));
  }
  process.exit(code);
}

const NAMES = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * How long a command may clean up after a signal, in milliseconds. Waiting for others ends within half a second; the rest
 * is for a busy machine.
 */
const CLEAN_UP_MS = 3_000;

/**
 * Handles the signals that ask this process to end. The first aborts the work, and ends the process if the work has not
 * ended within three seconds. The second ends the process at once.
 */
export class Signals implements Disposable {
  /** Aborts with an {@link Interrupted}. */
  readonly abortSignal: AbortSignal;
  /** If set, receives all signals instead, for a command that passes them on. */
  divert: ((name: NodeJS.Signals) => void) | undefined;
  readonly #controller = new AbortController();
  readonly #onSignal: (name: NodeJS.Signals) => void;
  /** Loaded early, since all file threads may be busy when it is needed. Undefined without koffi. */
  readonly #libc: Promise<Libc | undefined> | undefined =
    process.pid === 1
      ? import('../../../native/libc.ts').then(({ loadLibc }) => loadLibc()).catch(() => undefined)
      : undefined;
  #stopCountDown = (): void => {};

  constructor() {
    this.abortSignal = this.#controller.signal;
    this.#onSignal = (name) => {
      if (this.divert !== undefined) return this.divert(name);
      if (this.abortSignal.aborted) return void this.#end(name);
      this.#stopCountDown = countDown(CLEAN_UP_MS, () => void this.#end(name));
      this.#controller.abort(new Interrupted(name));
    };
    for (const name of NAMES) process.on(name, this.#onSignal);
  }

  /** Restores the default effect of the signals. */
  [Symbol.dispose](): void {
    this.#stopCountDown();
    for (const name of NAMES) process.off(name, this.#onSignal);
  }

  /** If the work was aborted, waits for what {@link beforeEnd} got. */
  async cleanedUp(): Promise<void> {
    if (this.abortSignal.aborted) await Promise.allSettled(CLEANING);
  }

  /** If the work was aborted, ends the process by the same signal, so that its parent sees the cause. */
  async endIfAborted(): Promise<void> {
    const { reason } = this.abortSignal;
    if (reason instanceof Interrupted) await this.#end(reason.signalName);
  }

  async #end(name: NodeJS.Signals): Promise<never> {
    this[Symbol.dispose]();
    const libc = await this.#libc;
    const code = exitCodeOfSignal(name);
    // After all other listeners, and even if a thread is stuck on a TPM or pipe, for which `process.exit` would wait.
    // No signal ends the first process of a container, and Windows has no signals.
    if (process.pid === 1) process.once('exit', () => libc?.exitAtOnce(code));
    else if (process.platform !== 'win32') process.once('exit', () => process.kill(process.pid, name));
    process.exit(code);
  }
}
