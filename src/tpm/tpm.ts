import type { HierarchyName } from '../errors/tpm-error.ts';
import { KeyprovError } from '../errors.ts';
import type { SignalOptions } from '../signal.ts';
import { handleArguments, sessionsOf } from './arguments.ts';
import type { Command } from './command.ts';
import { TimedSender, type TpmTimes } from './command-time.ts';
import { StartAuthSession, type StartAuthSessionArgs, type StartAuthSessionResult } from './commands/session.ts';
import { Shutdown } from './commands/start-up.ts';
import { TPM_RH, TPM_SU } from './constants.ts';
import { Engine } from './engine.ts';
import { shutdownAtExit } from './exit-hook.ts';
import type { HierarchyAuth, HierarchyPasswords } from './hierarchy-auth.ts';
import { Marks } from './marks.ts';
import { Queue } from './queue.ts';
import type { Session } from './session.ts';
import type { TpmObject } from './tpm-object.ts';
import type { RunOptions, TpmRunner } from './tpm-runner.ts';
import { isTransportError, type TpmTransport } from './transport.ts';
import { Turns } from './turns.ts';

/** Options of {@link Tpm.open}. */
export interface TpmOptions extends SignalOptions, TpmTimes {
  /**
   * Directory that records what this process has in a TPM without a resource manager, so that the next process can flush
   * it if this one dies. Use one directory for all users of that TPM, such as a key store. Default of `openTpm`:
   * `keyprov/tpm-marks` in the user's cache directory. Default of `Tpm.open`: none.
   */
  readonly marksDirectory?: string | undefined;
  /**
   * The passwords of the hierarchies and of the storage root key. Every command that names one of them without an
   * authorization gets its password, in a salted session.
   */
  readonly hierarchyAuth?: HierarchyAuth | undefined;
}

/**
 * One TPM 2.0. Commands may overlap freely: they are sent one at a time in the order of the calls, and every caller
 * gets its own answer.
 *
 * Objects that commands load are {@link TpmObject}s. If a TPM has no room for one more (three slots are usual), those
 * that the present command does not use are saved and flushed, and loaded again when they are needed.
 */
export class Tpm implements TpmRunner {
  /** How many were opened so far in this process. */
  static opened = 0;
  readonly transport: TpmTransport;
  /** Its number in this process, counted from 1 in the order of opening. */
  readonly number: number = ++Tpm.opened;
  readonly #queue = new Queue();
  readonly #turns = new Turns();
  readonly #marks: Marks | undefined;
  readonly #sender: TimedSender;
  readonly #engine: Engine;
  readonly #hierarchyAuth: HierarchyAuth | undefined;
  #passwords: HierarchyPasswords | undefined;
  #closing: Promise<void> | undefined;
  #forgetExit: () => void = () => {};

  private constructor(transport: TpmTransport, options: TpmOptions) {
    this.transport = transport;
    const { marksDirectory: directory } = options;
    const isShared = !transport.managed && !this.#isInProcess;
    if (isShared && directory !== undefined) this.#marks = new Marks(transport.address, directory);
    this.#sender = new TimedSender(transport, options);
    this.#hierarchyAuth = options.hierarchyAuth;
    this.#engine = new Engine(this, this.#sender, { marks: this.#marks, mayBeOff: isShared });
  }

  /**
   * Takes over `transport`. Starts a TPM inside this process with TPM2_Startup(CLEAR); if that fails, closes the
   * transport.
   * Starts another TPM if its first answer says that it is not started.
   * @throws RangeError for a command time-out that is not a number of milliseconds; else like {@link run}.
   */
  static async open(transport: TpmTransport, options: TpmOptions = {}): Promise<Tpm> {
    const tpm = new Tpm(transport, options);
    try {
      if (tpm.#isInProcess) await tpm.startup(options);
    } catch (error) {
      tpm.#closing = tpm.#last(() => transport.close());
      await tpm.#closing;
      throw error;
    }
    if (tpm.#isInProcess) tpm.#forgetExit = shutdownAtExit(transport);
    return tpm;
  }

  /**
   * Sends TPM2_Startup(CLEAR), which is needed after a power cycle; that loses all objects and sessions. A TPM that has
   * started already is unchanged.
   * @throws like {@link run}.
   */
  async startup({ signal }: SignalOptions = {}): Promise<void> {
    if (this.#closing !== undefined) throw this.#closedError();
    await this.#queue.run(() => this.#engine.start(signal), { signal, discard: async () => {} });
  }

  /**
   * Sends TPM2_Shutdown(CLEAR) now if the TPM's power ends with this process. After the use of a PIN, a TPM that loses
   * power before TPM2_Shutdown counts a failed try (Part 1, 19.8.6). Other TPMs get it with {@link close}.
   * @throws like {@link run}.
   */
  async settle(): Promise<void> {
    if (this.#isInProcess) await this.run(Shutdown, { shutdownType: TPM_SU.CLEAR });
  }

  /**
   * Runs one command of Part 3 and returns its answer.
   *
   * If `signal` aborts, its reason is thrown at once. A command that has not begun is never sent; a running one is
   * canceled if the transport can, its result is dropped, and an object that it has loaded is flushed.
   *
   * @throws TpmError if the TPM, or a layer in front of it, refuses; `code` distinguishes the common reasons.
   * @throws CodecError if an argument does not fit its structure, or the answer does not belong to this command.
   * @throws KeyprovError with a `transport-…` code if the connection failed: the outcome is then unknown.
   */
  async run<A extends object, R extends object>(command: Command<A, R>, args: A, options: RunOptions = {}): Promise<R> {
    if (this.#closing !== undefined) throw this.#closedError();
    const { signal } = options;
    const known = await this.#known(handleArguments(command, args).some(({ handle }) => handle === TPM_RH.LOCKOUT));
    const bare = await known?.bareHandle(command, args, options);
    if (known !== undefined && bare !== undefined) {
      return await known.prove(bare, options, (arg) => this.run(command, { ...args, [bare.key]: arg }, options));
    }
    try {
      return await this.#queue.run(() => this.#engine.execute(command, args, options), {
        signal,
        discard: (result) => this.#engine.discard(result),
      });
    } catch (error) {
      await this.#endLastUses(sessionsOf(handleArguments(command, args), options.sessions), error, signal);
      throw error;
    }
  }

  /**
   * The password of `handle` that this `Tpm` was opened with, if it needs one. For `withHiddenAuth`.
   * @throws TpmError `tpm-auth-failed` if it needs one, and this `Tpm` was opened with others only.
   */
  async passwordOf(handle: number | TpmObject, options: SignalOptions): Promise<Uint8Array | undefined> {
    return typeof handle === 'number' ? await (await this.#known())?.of(handle, options) : undefined;
  }

  /** The password of that name, asked for if it was not asked for before. For keys whose parent has refused. */
  async askPassword(name: HierarchyName, options: SignalOptions): Promise<Uint8Array | undefined> {
    return await (await this.#known())?.ask(name, options);
  }

  /**
   * Runs `job`, a sequence of commands with the objects and sessions they need, while no other job runs here. So the
   * few slots of the TPM suffice for any number of overlapping jobs. First come, first served. Commands outside any job
   * are sent between those of the job. A turn within a turn is part of it. Do not wait for a user in a turn: all others
   * wait.
   *
   * If `signal` aborts before the job has begun, the job never begins, and the reason of `signal` is thrown; later the
   * job itself must end.
   */
  async turn<T>(job: () => Promise<T>, options: SignalOptions = {}): Promise<T> {
    return await this.#turns.run(job, options);
  }

  /**
   * Removes `object` from the TPM, for `TpmObject.flush`. Does not fail if the TPM has lost it, or if the connection is
   * already lost.
   * @throws TpmError if the TPM refuses to flush it; KeyprovError with a `transport-…` code if the connection is lost
   * now.
   */
  async flushObject(object: TpmObject): Promise<void> {
    await this.#tidy(() => this.#engine.objects.flush(object));
  }

  /**
   * Runs TPM2_StartAuthSession and takes charge of the session that `make` builds from the answer. For `startSession`.
   * @throws like {@link run}.
   */
  async openSession(
    args: StartAuthSessionArgs,
    make: (answer: StartAuthSessionResult) => Session,
    { signal }: SignalOptions,
  ): Promise<Session> {
    if (this.#closing !== undefined) throw this.#closedError();
    const start = async (): Promise<Session> => {
      const session = make(await this.#engine.execute(StartAuthSession, args, { signal }));
      // In the same turn: the next command may need its slot.
      this.#engine.sessions.adopt(session);
      return session;
    };
    return await this.#queue.run(start, { signal, discard: (session) => this.#engine.endSession(session) });
  }

  /** Ends a session in the TPM. For `Session.close`. @throws like {@link flushObject}. */
  async flushSession(session: Session): Promise<void> {
    await this.#tidy(() => this.#engine.endSession(session));
  }

  /**
   * Cleans up. Nothing can be flushed over a lost connection. The caller that met the loss has the error; another one
   * at the end of each `await using` would only hide it in a SuppressedError.
   */
  async #tidy(work: () => Promise<void>): Promise<void> {
    await this.#queue.tidy(async () => {
      const wasLost = this.#sender.isLost;
      await work().catch((error: unknown) => {
        if (!wasLost || !isTransportError(error)) throw error;
      });
    });
  }

  /**
   * Removes the transient objects that earlier clients left in a TPM without a resource manager, where they would stay
   * for ever. Use it only for a TPM that nobody else uses at the moment.
   * @returns how many there were.
   */
  async flushStale(): Promise<number> {
    return await this.#queue.run(() => this.#engine.objects.flushForeign());
  }

  /**
   * Waits for running commands, flushes the objects and sessions of this `Tpm`, and closes the transport. Idempotent.
   *
   * A TPM that loses power after a PIN was used, without an orderly shutdown, may count a failed try. So a TPM in this
   * process first gets TPM2_Shutdown(CLEAR); so does any other TPM without an operating system behind it, if the
   * authorization value of an object was used.
   *
   * Waits half a second for an aborted command that the TPM does not end. Then the transport is given up, and with it
   * everything that is not kept elsewhere.
   * @throws the first error of flushing or of the shutdown, once the transport is closed. A lost connection is not an
   * error.
   */
  close(): Promise<void> {
    this.#closing ??= this.#last(() => this.#close());
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Whether the TPM has its power from this process. */
  get #isInProcess(): boolean {
    return this.transport.kind === 'libtpms';
  }

  /**
   * The passwords it was opened with, loaded when needed: most TPMs have none. Without any, a try of the lockout hierarchy
   * is still spared if it has a password: after a wrong one, the TPM blocks the hierarchy for up to a day or more.
   */
  async #known(isLockout = false): Promise<HierarchyPasswords | undefined> {
    if (this.#hierarchyAuth === undefined && !isLockout) return undefined;
    const { HierarchyPasswords } = await import('./hierarchy-auth.ts');
    this.#passwords ??= new HierarchyPasswords(this, this.#hierarchyAuth ?? {});
    return this.#passwords;
  }

  #last(work: () => Promise<void>): Promise<void> {
    return this.#queue.last(work, () => this.#sender.giveUp('the TPM was closed during an aborted command'));
  }

  async #close(): Promise<void> {
    this.#forgetExit();
    try {
      await this.#engine.clear();
      const { managed, kind } = this.transport;
      const isOnItsOwn = !managed && kind !== 'device'; // the kernel shuts a chip down
      if (this.#isInProcess || (isOnItsOwn && this.#engine.hasUsedAuth)) {
        await this.#engine.execute(Shutdown, { shutdownType: TPM_SU.CLEAR }, {});
      }
    } catch (error) {
      // A lost connection has nothing left to tidy up; the caller must know any other error.
      if (!isTransportError(error)) throw error;
    } finally {
      this.#passwords?.wipe();
      this.#marks?.close();
      await this.transport.close();
    }
  }

  #closedError(): KeyprovError {
    return new KeyprovError('transport-closed', `${this.transport.address}: the TPM was closed`);
  }

  /** Ends the sessions whose last use was to be the failed command. */
  async #endLastUses(sessions: readonly Session[], error: unknown, signal: AbortSignal | undefined): Promise<void> {
    for (const session of sessions) {
      if (session.use.continueSession) continue;
      const ending = session.close().catch((second: unknown) => {
        if (error instanceof KeyprovError) error.suppressed.push(second);
      });
      if (!signal?.aborted) await ending;
    }
  }
}
