import { setTimeout as delay } from 'node:timers/promises';
import { type Bytes, uint32At } from '../bytes.ts';
import { isTpmError } from '../errors/tpm-error.ts';
import { KeyprovError } from '../errors.ts';
import type { SignalOptions } from '../signal.ts';
import { authEntries, handleArguments, sessionsOf } from './arguments.ts';
import type { Call, InUse } from './call.ts';
import type { AnyCommand, Command } from './command.ts';
import { type CommandTimeouts, TimedSender } from './command-time.ts';
import { ContextSave } from './commands/context.ts';
import { NV_ReadPublic } from './commands/nv.ts';
import { ReadPublic } from './commands/object.ts';
import { StartAuthSession, type StartAuthSessionArgs, type StartAuthSessionResult } from './commands/session.ts';
import { Shutdown, Startup } from './commands/start-up.ts';
import { handleType, TPM_HT, TPM_SU } from './constants.ts';
import { type Exchange, prepare } from './exchange.ts';
import { shutdownAtExit } from './exit-hook.ts';
import { ObjectSlots } from './object-slots.ts';
import { Queue } from './queue.ts';
import { Session } from './session.ts';
import { SessionSlots } from './session-slots.ts';
import { tpmError } from './tpm-error.ts';
import { TpmObject } from './tpm-object.ts';
import { TPM_RC } from './tpm-rc.ts';
import type { TpmTransport } from './transport.ts';

/** Options of {@link Tpm.run}. */
export interface RunOptions extends SignalOptions {
  /** Sessions beside those that authorize: to encrypt, to audit. At most three in all. */
  readonly sessions?: readonly Session[] | undefined;
}

/** Options of {@link Tpm.open}. */
export interface TpmOptions extends SignalOptions {
  /** After how long a command that the TPM does not answer ends, with the transport. */
  readonly commandTimeouts?: CommandTimeouts | undefined;
}

const WARNINGS: ReadonlySet<number> = new Set([TPM_RC.RETRY, TPM_RC.YIELDED, TPM_RC.TESTING]);
const MAX_RESENDS = 20;
const MAX_BACKOFF_MS = 500;
const EMPTY = new Uint8Array(0);

/**
 * One TPM 2.0. Commands may overlap freely: they are sent one at a time in the order of the calls, and every caller
 * gets the answer to its own.
 *
 * Objects that commands load are {@link TpmObject}s. When a TPM has no room for one more (three slots are the rule),
 * those that the command at hand does not use are saved and flushed, and loaded again when they are needed.
 */
export class Tpm {
  /** How many were opened so far in this process. */
  static opened = 0;
  readonly transport: TpmTransport;
  /** Which one of this process it is, counted from 1 in the order in which they were opened. */
  readonly number: number = ++Tpm.opened;
  readonly #sender: TimedSender;
  readonly #queue = new Queue();
  readonly #slots: ObjectSlots;
  readonly #sessions: SessionSlots;
  #closing: Promise<void> | undefined;
  #forgetExit: () => void = () => {};

  private constructor(transport: TpmTransport, timeouts: CommandTimeouts | undefined) {
    this.transport = transport;
    this.#sender = new TimedSender(transport, timeouts);
    const call: Call = (command, args, inUse) => this.#execute(command, args, {}, inUse);
    this.#slots = new ObjectSlots(this, call);
    this.#sessions = new SessionSlots(call);
  }

  /**
   * Takes over `transport` and, unless the operating system has done so, starts the TPM with TPM2_Startup(CLEAR).
   * When that fails the transport is closed.
   */
  static async open(transport: TpmTransport, options: TpmOptions = {}): Promise<Tpm> {
    const tpm = new Tpm(transport, options.commandTimeouts);
    try {
      if (!transport.managed) await tpm.startup(options);
    } catch (error) {
      tpm.#closing = tpm.#last(() => transport.close());
      await tpm.#closing;
      throw error;
    }
    if (!transport.managed) tpm.#forgetExit = shutdownAtExit(transport);
    return tpm;
  }

  /**
   * Sends TPM2_Startup(CLEAR), as `open` does and as is needed after a power cycle, which has taken all objects and
   * sessions along. A TPM that is started already stays as it is.
   */
  async startup(options: SignalOptions = {}): Promise<void> {
    try {
      await this.run(Startup, { startupType: TPM_SU.CLEAR }, options);
      this.#slots.forgetAll();
      for (const session of this.#sessions.releaseAll()) session.ended = true;
    } catch (error) {
      if (!isTpmError(error, TPM_RC.INITIALIZE)) throw error;
    }
  }

  /**
   * Runs one command of Part 3 and returns its answer.
   *
   * @throws TpmError when the TPM, or a layer before it, refuses; `code` tells the common reasons apart.
   * @throws CodecError when an argument does not fit its structure, or the answer is no answer to this command.
   * @throws KeyprovError with a `transport-…` code when the connection failed: the outcome is then unknown.
   * When `signal` aborts, its reason is thrown at once: a command that has not begun is never sent; one that has is
   * cancelled where the transport can, its result is dropped, and an object that it has loaded is flushed.
   */
  async run<A extends object, R extends object>(command: Command<A, R>, args: A, options: RunOptions = {}): Promise<R> {
    if (this.#closing !== undefined) throw this.#closedError();
    const { signal } = options;
    try {
      return await this.#queue.run(() => this.#execute(command, args, options), {
        signal,
        discard: (result) => this.#discard(result),
      });
    } catch (error) {
      await this.#endLastUses(sessionsOf(handleArguments(command, args), options.sessions), error, signal);
      throw error;
    }
  }

  /** Removes `object` from the TPM; one that the TPM has lost already is no error. For `TpmObject.flush`. */
  async flushObject(object: TpmObject): Promise<void> {
    await this.#queue.tidy(() => this.#slots.flush(object));
  }

  /**
   * Runs TPM2_StartAuthSession and takes charge of the session that `make` builds from the answer. For `startSession`.
   */
  async openSession(
    args: StartAuthSessionArgs,
    make: (answer: StartAuthSessionResult) => Session,
    { signal }: SignalOptions,
  ): Promise<Session> {
    if (this.#closing !== undefined) throw this.#closedError();
    const start = async (): Promise<Session> => {
      const session = make(await this.#execute(StartAuthSession, args, { signal }));
      // In the same turn: the next command may need its slot.
      this.#sessions.adopt(session);
      return session;
    };
    return await this.#queue.run(start, { signal, discard: (session) => this.#endSession(session) });
  }

  /** Ends a session in the TPM. For `Session.close`. */
  async flushSession(session: Session): Promise<void> {
    await this.#queue.tidy(() => this.#endSession(session));
  }

  /**
   * Removes the transient objects that clients before us have left in a TPM without resource manager, where they
   * would stay for ever. Only for a TPM that nobody else uses at the moment.
   * @returns how many there were.
   */
  async flushStale(): Promise<number> {
    return await this.#queue.run(() => this.#slots.flushForeign());
  }

  /**
   * Waits for the commands under way, flushes what is left of our own, sends TPM2_Shutdown(CLEAR) unless the
   * operating system looks after the TPM, and closes the transport. Idempotent. A TPM that loses its power without
   * an orderly shutdown may count that as a failed authorization try.
   *
   * A command that was aborted, and which the TPM does not end, is waited for half a second; then the transport goes
   * with it, and with the transport all that is not kept elsewhere.
   */
  close(): Promise<void> {
    this.#closing ??= this.#last(() => this.#close());
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #last(work: () => Promise<void>): Promise<void> {
    return this.#queue.last(work, () => this.#sender.giveUp('it was closed during a command that was aborted'));
  }

  async #close(): Promise<void> {
    this.#forgetExit();
    try {
      await this.#slots.flushAll();
      for (const session of this.#sessions.releaseAll()) {
        if (!session.ended) await this.#slots.flushHandle(session.sessionHandle);
        session.ended = true;
        await session.close(); // only to wipe its keys
      }
      if (!this.transport.managed) await this.#execute(Shutdown, { shutdownType: TPM_SU.CLEAR }, {});
    } catch (error) {
      // A connection that is gone has nothing left to tidy up; anything else the caller must know.
      if (!(error instanceof KeyprovError) || !error.code.startsWith('transport-')) throw error;
    } finally {
      await this.transport.close();
    }
  }

  /** One command from start to end, in its turn of the queue. */
  async #execute<A extends object, R extends object>(
    command: Command<A, R>,
    args: A,
    { sessions, signal }: RunOptions,
    inUseBefore: InUse = new Set(),
  ): Promise<R> {
    const handles = handleArguments(command, args);
    const used = sessionsOf(handles, sessions);
    const withSession = used.length > 0;
    const entities = new Set<TpmObject | Session>(used);
    for (const { handle } of handles) {
      const entity = typeof handle === 'number' ? this.#sessions.find(handle) : handle;
      if (entity !== undefined) entities.add(entity);
    }
    const inUse = new Set([...inUseBefore, ...entities]);
    for (const entity of entities) if (entity instanceof Session) await this.#sessions.bringIn(entity, inUse);
    const resolved: { handle: number; name: Uint8Array }[] = [];
    for (const { handle, name } of handles) {
      const number = typeof handle === 'number' ? handle : await this.#slots.handleOf(handle, inUse);
      resolved.push({ handle: number, name: name ?? (withSession ? await this.#nameOf(number, inUse) : EMPTY) });
    }
    const names = resolved.map(({ name }) => name);
    const exchange = prepare(command, args, resolved, authEntries(handles, names, sessions));
    try {
      const { handle, values } = exchange.read(await this.#exchange(command, exchange, inUse, signal));
      if (command.answerHandle !== undefined && handle !== undefined) {
        const [key, kind] = command.answerHandle;
        values[key] = kind === 'object' ? this.#slots.adopt(handle, values.name as Uint8Array) : handle;
      }
      // The codecs of the answer were checked against R where the command is defined.
      return values as R;
    } finally {
      exchange.wipe();
      for (const session of used) if (session.ended) this.#sessions.release(session);
    }
  }

  /** Sends until the TPM has really answered: again after its warnings, and with room made when it has none. */
  async #exchange(
    command: AnyCommand,
    exchange: Exchange,
    inUse: InUse,
    signal: AbortSignal | undefined,
  ): Promise<Bytes> {
    for (let resends = 0; ; ) {
      const answer = await this.#sender.send(command.name, exchange.command, signal);
      const code = uint32At(answer, 6);
      if (code === TPM_RC.SUCCESS) return answer;
      if (WARNINGS.has(code) && resends < MAX_RESENDS && !signal?.aborted) {
        await delay(Math.min(2 ** resends, MAX_BACKOFF_MS));
        resends++;
        continue;
      }
      const full = code === TPM_RC.OBJECT_MEMORY && command.name !== ContextSave.name;
      if (full && (await this.#slots.makeRoom(inUse))) continue;
      if (code === TPM_RC.SESSION_MEMORY && (await this.#sessions.makeRoom(inUse))) continue;
      const keys = { handles: command.handles.map(([key]) => key), parameters: command.parameters.map(([key]) => key) };
      throw tpmError(command.name, code, keys, full ? await this.#slots.occupants() : '');
    }
  }

  /** The Name of what has a public area in the TPM, asked for where the caller does not know it. */
  async #nameOf(handle: number, inUse: InUse): Promise<Uint8Array> {
    if (handleType(handle) === TPM_HT.NV_INDEX) {
      return (await this.#execute(NV_ReadPublic, { nvIndex: handle }, {}, inUse)).nvName;
    }
    return (await this.#execute(ReadPublic, { objectHandle: handle }, {}, inUse)).name;
  }

  /** Drops the result of a command whose caller has gone away. */
  async #discard(result: object): Promise<void> {
    for (const value of Object.values(result)) if (value instanceof TpmObject) await this.#slots.flush(value);
    if ('sessionHandle' in result && typeof result.sessionHandle === 'number') {
      await this.#slots.flushHandle(result.sessionHandle);
    }
  }

  async #endSession(session: Session): Promise<void> {
    this.#sessions.release(session);
    session.ended = true;
    await this.#slots.flushHandle(session.sessionHandle);
  }

  #closedError(): KeyprovError {
    return new KeyprovError('transport-closed', `${this.transport.address}: the TPM was closed`);
  }

  /** Ends the sessions for which the failed command was to be the last use. */
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
