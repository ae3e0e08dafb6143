import { checkBytes } from '../bytes.ts';
import type { HierarchyName } from '../errors/tpm-error.ts';
import { KeyprovError } from '../errors.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { handleArguments, sessionsOf } from './arguments.ts';
import type { Command } from './command.ts';
import { checkTimeouts, TimedSender, type TpmTimes } from './command-time.ts';
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
   * The directory in which this process records what it has in a TPM without a resource manager. If this process dies,
   * the next one can then flush it. Use one directory, such as a key store, for all users of that TPM. Default of
   * `openTpm`: `keyprov/tpm-marks` in the user's cache directory. Default of `Tpm.open`: none.
   */
  readonly marksDirectory?: string | undefined;
  /**
   * The passwords of the hierarchies and of the storage root key. A command that uses one of them without an
   * authorization gets its password, in a salted session.
   */
  readonly hierarchyAuth?: HierarchyAuth | undefined;
}

/** The members of {@link TpmOptions}, for `checkMembers`. */
export const TPM_MEMBERS = 'signal lifetime commandTimeouts marksDirectory:text? hierarchyAuth';

/** Checks the objects in {@link TpmOptions}. @throws TypeError for an unknown member; RangeError for an invalid time */
export function checkTpmOptions({ commandTimeouts = {}, hierarchyAuth = {} }: TpmOptions): void {
  checkTimeouts(commandTimeouts);
  const given = checkMembers('hierarchyAuth', hierarchyAuth, 'owner endorsement lockout platform storageParent');
  for (const [name, password] of Object.entries(given)) {
    if (password !== undefined && typeof password !== 'function')
      checkBytes(password, `hierarchyAuth.${name}, unless it is a function,`);
  }
}

/**
 * One TPM 2.0. Calls may overlap: commands are sent one at a time, in the order of the calls, and every caller gets the
 * response to its own command.
 *
 * Objects that commands load are {@link TpmObject}s. A TPM usually has three slots for objects. If they are full, the
 * `Tpm` saves and flushes objects that the current command does not use, and loads them again when they are needed.
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
   * Takes over `transport`. A TPM inside this process is started with TPM2_Startup(CLEAR); if that fails, the transport
   * is closed. Any other TPM is started only if its first response says that it is not started.
   * @throws TypeError for an unknown option; RangeError for an invalid command time-out; else like {@link run}.
   */
  static async open(transport: TpmTransport, options: TpmOptions = {}): Promise<Tpm> {
    options = checkMembers('Tpm.open', options, TPM_MEMBERS);
    checkTpmOptions(options);
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
   * Sends TPM2_Startup(CLEAR). Needed after a power cycle, which loses all objects and sessions. Does nothing to a TPM
   * that has already started.
   * @throws like {@link run}.
   */
  async startup({ signal }: SignalOptions = {}): Promise<void> {
    if (this.#closing !== undefined) throw this.#closedError();
    await this.#queue.run(() => this.#engine.start(signal), { signal, discard: async () => {} });
  }

  /**
   * Sends TPM2_Shutdown(CLEAR) now if the TPM's power ends with this process. After the use of a PIN, a TPM that loses
   * power before TPM2_Shutdown counts a failed try (Part 1, 19.8.6). {@link close} sends it to other TPMs that need it.
   * @throws like {@link run}.
   */
  async settle(): Promise<void> {
    if (this.#isInProcess) await this.run(Shutdown, { shutdownType: TPM_SU.CLEAR });
  }

  /**
   * Runs one command of Part 3 and returns its response.
   *
   * If `signal` aborts, throws its reason at once. A command that was not sent yet is never sent. A running command is
   * canceled if the transport supports that, its result is dropped, and an object that it loaded is flushed.
   *
   * @throws TpmError if the TPM, or a layer in front of it, refuses; `code` distinguishes the common reasons.
   * @throws CodecError if an argument does not fit its structure, or the response does not belong to this command.
   * @throws KeyprovError with a `transport-…` code if the connection failed; the outcome is then unknown.
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
   * Returns the password for `handle` that this `Tpm` was opened with, if `handle` needs one. For `withHiddenAuth`.
   * @throws TpmError `tpm-auth-failed` if it needs one, but `hierarchyAuth` has only others.
   */
  async passwordOf(handle: number | TpmObject, options: SignalOptions): Promise<Uint8Array | undefined> {
    return typeof handle === 'number' ? await (await this.#known())?.of(handle, options) : undefined;
  }

  /**
   * Returns the password with that name, and asks for it if that was not done before. For keys whose parent has
   * refused.
   * @throws errors of the function that asks; TypeError if it returns anything but bytes.
   */
  async askPassword(name: HierarchyName, options: SignalOptions): Promise<Uint8Array | undefined> {
    return await (await this.#known())?.ask(name, options);
  }

  /**
   * Runs `job`, a sequence of commands with the objects and sessions they need, while no other job runs on this `Tpm`.
   * The TPM's few slots then suffice for any number of jobs, which run in the order of the calls. Commands outside jobs
   * may be sent in between. A turn inside a turn is part of the outer one. Do not wait for a user during a turn,
   * because all other jobs wait too.
   *
   * If `signal` aborts before the job begins, the job never begins, and the reason is thrown. After that, the job
   * itself must watch the signal.
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
   * Runs TPM2_StartAuthSession and manages the session that `make` builds from the response. For `startSession`.
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
   * Removes the transient objects that earlier clients left in a TPM without a resource manager; otherwise they stay
   * forever. Use it only if nothing else is using the TPM.
   * @returns how many there were.
   */
  async flushStale(): Promise<number> {
    return await this.#queue.run(() => this.#engine.objects.flushForeign());
  }

  /**
   * Waits for running commands, flushes the objects and sessions of this `Tpm`, and closes the transport. Idempotent.
   *
   * If a TPM loses power after a PIN was used, without TPM2_Shutdown, it may count a failed try. So a TPM in this
   * process first gets TPM2_Shutdown(CLEAR). So does any TPM without an operating system in front of it, if an object's
   * authorization value was used.
   *
   * Waits half a second for an aborted command that the TPM does not end; then gives up the transport.
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
   * The passwords it was opened with, loaded when needed: most TPMs have none. Without any, a try of the lockout
   * hierarchy is still spared if it has a password: after a wrong one, the TPM blocks the hierarchy for up to a day or
   * more.
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
    return new KeyprovError('transport-closed', `${this.transport.address}: the TPM was closed`, {
      remedy: 'open the TPM again',
    });
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
