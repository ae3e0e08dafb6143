import type { SignalOptions } from '../signal.ts';
import type { Command } from './command.ts';
import type { StartAuthSessionArgs, StartAuthSessionResult } from './commands/session.ts';
import type { Session } from './session.ts';
import type { TpmObject } from './tpm-object.ts';

/** Options of `Tpm.run`. */
export interface RunOptions extends SignalOptions {
  /** Sessions besides those that authorize: to encrypt or to audit. At most three sessions in all. */
  readonly sessions?: readonly Session[] | undefined;
}

/** The part of `Tpm` that sessions need. */
export interface TpmRunner {
  /** Runs a command: `Tpm.run`. */
  run<A extends object, R extends object>(command: Command<A, R>, args: A, options?: RunOptions): Promise<R>;
  /** Runs `job` while no other job runs: `Tpm.turn`. */
  turn<T>(job: () => Promise<T>, options?: SignalOptions): Promise<T>;
  /** Starts a session, which `make` builds from the response: `Tpm.openSession`. */
  openSession(
    args: StartAuthSessionArgs,
    make: (answer: StartAuthSessionResult) => Session,
    options: SignalOptions,
  ): Promise<Session>;
  /** Ends a session in the TPM. */
  flushSession(session: Session): Promise<void>;
  /** The password that the TPM was opened with for this hierarchy or object, if any. */
  passwordOf(handle: number | TpmObject, options: SignalOptions): Promise<Uint8Array | undefined>;
}
