/** Thrown where a signal such as that of Ctrl-C ended the work. */
export class Interrupted extends Error {
  readonly signalName: NodeJS.Signals;

  constructor(signalName: NodeJS.Signals) {
    super(`ended by ${signalName}`);
    this.name = 'Interrupted';
    this.signalName = signalName;
  }
}

const NAMES = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The signals that ask this process to end: the first aborts the work, the second ends the process at once. */
export class Signals implements Disposable {
  /** Aborts with an {@link Interrupted}. */
  readonly abortSignal: AbortSignal;
  /** Where set, gets all signals instead: for a command that passes them on. */
  divert: ((name: NodeJS.Signals) => void) | undefined;
  readonly #controller = new AbortController();
  readonly #onSignal: (name: NodeJS.Signals) => void;

  constructor(exit: (error: Interrupted) => void) {
    this.abortSignal = this.#controller.signal;
    this.#onSignal = (name) => {
      if (this.divert !== undefined) this.divert(name);
      else if (this.abortSignal.aborted) exit(new Interrupted(name));
      else this.#controller.abort(new Interrupted(name));
    };
    for (const name of NAMES) process.on(name, this.#onSignal);
  }

  [Symbol.dispose](): void {
    for (const name of NAMES) process.off(name, this.#onSignal);
  }
}
