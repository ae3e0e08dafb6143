import { setTimeout as delay } from 'node:timers/promises';
import { type Bytes, concat, EMPTY, uint32, uint32At } from '../bytes.ts';
import { isTpmError } from '../errors/tpm-error.ts';
import { undoOnFailure, withCleanup } from '../errors.ts';
import { authEntries, handleArguments, sessionsOf, usesObjectAuth } from './arguments.ts';
import { canBeLoadedBy, checkValues } from './check-values.ts';
import { CleanUp } from './clean-up.ts';
import type { AnyCommand, Command } from './command.ts';
import type { TimedSender } from './command-time.ts';
import { NV_ReadPublic } from './commands/nv.ts';
import { ReadPublic, type ReadPublicResult } from './commands/object.ts';
import { Startup } from './commands/start-up.ts';
import { handleType, TPM_HT, TPM_SU } from './constants.ts';
import { type Answer, type Exchange, prepare } from './exchange.ts';
import { HEADER_SIZE } from './frame.ts';
import type { Mark, Marks } from './marks.ts';
import { ObjectSlots } from './object-slots.ts';
import { flushDead } from './recover.ts';
import { Room } from './room.ts';
import { Session } from './session.ts';
import { SessionSlots } from './session-slots.ts';
import { tpmError } from './tpm-error.ts';
import { TpmObject } from './tpm-object.ts';
import { TPM_RC } from './tpm-rc.ts';
import type { RunOptions } from './tpm-runner.ts';
import { isTransportError } from './transport.ts';
import { type Call, type InUse, isGone, listVolatile } from './volatile.ts';

const WARNINGS: ReadonlySet<number> = new Set([TPM_RC.RETRY, TPM_RC.YIELDED, TPM_RC.TESTING]);
const MAX_RESENDS = 20;
/** Limit of resends once the work is to end: about 15 milliseconds a command. */
const MAX_LAST_RESENDS = 4;
const MAX_BACKOFF_MS = 500;
/** How often to make room for one command: as often as a TPM has session slots, so a TPM cannot ask without end. */
const MAX_ROOMS = 64;

/** Runs single commands, one at a time, and manages what they load and start. Its owner prevents overlap. */
export class Engine {
  readonly objects: ObjectSlots;
  readonly sessions: SessionSlots;
  readonly #cleanUp = new CleanUp();
  readonly #room: Room;
  readonly #sender: TimedSender;
  readonly #call: Call = (command, args, inUse) => this.execute(command, args, {}, inUse);

  readonly #marks: Marks | undefined;
  #isClean = false;
  /** Whether the TPM may still need a start: nothing has been answered yet. */
  #mayBeOff: boolean;
  /**
   * Whether the authorization value of an object was used: if power is lost now, a TPM may count that as a failed try.
   */
  hasUsedAuth = false;

  constructor(
    holder: ConstructorParameters<typeof ObjectSlots>[0],
    sender: TimedSender,
    { marks, mayBeOff }: { readonly marks: Marks | undefined; readonly mayBeOff: boolean },
  ) {
    this.#sender = sender;
    this.#mayBeOff = mayBeOff;
    this.#marks = marks;
    this.objects = new ObjectSlots(holder, this.#call, this.#cleanUp);
    this.sessions = new SessionSlots(this.#call, this.#cleanUp);
    this.#room = new Room(this.objects, this.sessions, this.#cleanUp, marks);
  }

  async execute<A extends object, R extends object>(
    command: Command<A, R>,
    args: A,
    { sessions, signal }: RunOptions = {},
    inUseBefore: InUse = new Set(),
  ): Promise<R> {
    const handles = handleArguments(command, args);
    const used = sessionsOf(handles, sessions);
    const withSession = used.length > 0;
    const entities = new Set<TpmObject | Session>(used);
    for (const { handle } of handles) {
      const entity = typeof handle === 'number' ? this.sessions.find(handle) : handle;
      if (entity !== undefined) entities.add(entity);
    }
    const inUse = entities.size === 0 ? inUseBefore : new Set([...inUseBefore, ...entities]);
    for (const entity of entities) if (entity instanceof Session) await this.sessions.bringIn(entity, inUse);
    const resolved: { handle: number; name: Uint8Array }[] = [];
    for (const { handle, name } of handles) {
      const number = typeof handle === 'number' ? handle : await this.objects.handleOf(handle, inUse);
      resolved.push({ handle: number, name: name ?? (withSession ? await this.#nameOf(number, inUse) : EMPTY) });
    }
    const names = resolved.map(({ name }) => name);
    const mark = await this.#mark(command, args);
    this.hasUsedAuth ||= handles.some(usesObjectAuth);
    let exchange: Exchange;
    try {
      exchange = prepare(command, args, resolved, authEntries(handles, names, sessions));
    } catch (error) {
      if (mark !== undefined) this.#marks?.settle(mark, undefined);
      throw error;
    }
    try {
      const answer = await this.#exchange(command, exchange, inUse, signal);
      for (const entity of entities) if (entity instanceof Session) this.sessions.use(entity);
      const { handle, values } = await this.#believe(command, args, answer, exchange);
      for (const entity of entities) {
        if (entity instanceof Session) entity.noteRun(command.name, used.includes(entity));
      }
      if (command.answerHandle !== undefined && handle !== undefined) {
        const [key, kind] = command.answerHandle;
        if (kind === 'session') await this.sessions.checkNew(handle, 'sessionType' in args && args.sessionType);
        const fits = ({ outPublic }: ReadPublicResult) => canBeLoadedBy(command, args, outPublic);
        values[key] = kind === 'object' ? await this.objects.adopt(handle, values.name as Uint8Array, fits) : handle;
        // The caller owns what it has loaded by TPM2_ContextLoad.
        if (kind === 'raw') this.#cleanUp.before?.add(handle);
      }
      if (mark !== undefined) this.#marks?.settle(mark, handle);
      this.#flushed(args);
      // The codecs of the response were checked against R in the definition of the command.
      return values as R;
    } catch (error) {
      // If the connection is gone, the outcome is unknown.
      if (mark !== undefined && !isTransportError(error)) this.#marks?.settle(mark, undefined);
      if (isGone(error)) this.#flushed(args);
      // A refusal can replace the real response; the command's object is then the one that was not there before.
      const isDoubtful = command.answerHandle !== undefined && isTpmError(error) && this.#cleanUp.before !== undefined;
      if (!isDoubtful) throw error;
      return await withCleanup(
        () => Promise.reject(error),
        () => this.#room.flushUnbelieved(command, args, EMPTY),
      );
    } finally {
      exchange.wipe();
      for (const session of used) {
        if (!session.ended) continue;
        this.sessions.release(session);
        this.#marks?.gone(session.sessionHandle);
      }
    }
  }

  /** Sends TPM2_Startup(CLEAR). A TPM that has started already is unchanged. */
  async start(signal?: AbortSignal): Promise<void> {
    try {
      await this.execute(Startup, { startupType: TPM_SU.CLEAR }, { signal });
      this.forget();
    } catch (error) {
      if (!isTpmError(error, TPM_RC.INITIALIZE)) throw error;
    }
  }

  /** Records what the command will load or start. Before the first record, flushes what dead connections left. */
  async #mark(command: AnyCommand, args: object): Promise<Mark | undefined> {
    if (this.#marks === undefined) return undefined;
    const what = this.objects.loadedBy(command, args);
    if (what === undefined) return undefined;
    await this.#flushDead(this.#marks);
    if (what.kind !== 'session') return this.#marks.want(what);
    const before = [...(this.#cleanUp.before ?? [])].filter((handle) => handleType(handle) !== TPM_HT.TRANSIENT);
    return this.#marks.want({ kind: 'session', bytes: concat(...before.map(uint32)) });
  }

  /** Flushes what dead connections have left, once. @returns how many there were. */
  async #flushDead(marks: Marks | undefined): Promise<number> {
    if (marks === undefined || this.#isClean) return 0;
    this.#isClean = true;
    try {
      const dead = await flushDead(this.#call, marks);
      this.#cleanUp.before ??= new Set([
        ...(await listVolatile(this.#call, TPM_HT.TRANSIENT)),
        ...(await listVolatile(this.#call, TPM_HT.HMAC_SESSION)),
      ]);
      return dead;
    } catch (error) {
      // If something cannot be flushed and is in the way, the command's error says so.
      if (!isTpmError(error)) throw error;
      return 0;
    }
  }

  #flushed(args: object): void {
    if ('saveHandle' in args && typeof args.saveHandle === 'number') this.#marks?.saved(args.saveHandle);
    if (!('flushHandle' in args) || typeof args.flushHandle !== 'number') return;
    this.#marks?.gone(args.flushHandle);
    this.#cleanUp.before?.delete(args.flushHandle);
  }

  /** Reads a response; if it cannot be believed, removes from the TPM what the command has loaded. */
  async #believe(command: AnyCommand, args: object, answer: Bytes, exchange: Exchange): Promise<Answer> {
    const believe = async (): Promise<Answer> => {
      const read = exchange.read(answer);
      checkValues(command, args, read.values);
      return read;
    };
    return await undoOnFailure(believe, () => this.#room.flushUnbelieved(command, args, answer));
  }

  /** Sends until the TPM has really answered: again after a warning, and after making room if the TPM has none. */
  async #exchange(
    command: AnyCommand,
    exchange: Exchange,
    inUse: InUse,
    signal: AbortSignal | undefined,
  ): Promise<Bytes> {
    let rooms = 0;
    for (let resends = 0; ; ) {
      const answer = await this.#sender.send(command.name, exchange.command, signal);
      const code = uint32At(answer, 6);
      const mayBeOff = this.#mayBeOff;
      this.#mayBeOff = false;
      // A refusal has no body: if there is one, the command was done.
      if (code === TPM_RC.SUCCESS || answer.length > HEADER_SIZE) return answer;
      if (code === TPM_RC.INITIALIZE && mayBeOff && command.name !== 'Startup') {
        await this.start();
        continue;
      }
      const resendsLeft = (this.#sender.isEnding ? MAX_LAST_RESENDS : MAX_RESENDS) - resends;
      if (WARNINGS.has(code) && resendsLeft > 0 && !signal?.aborted) {
        await delay(Math.min(2 ** resends, MAX_BACKOFF_MS));
        resends++;
        continue;
      }
      // A command on a persistent object also needs a slot while it runs.
      if (code === TPM_RC.OBJECT_MEMORY && (await this.#flushDead(this.#marks)) > 0) continue;
      if (rooms++ < MAX_ROOMS && (await this.#room.make(code, inUse))) continue;
      const names = {
        handles: command.handles.map(([key]) => key),
        parameters: command.parameters.map(([key]) => key),
        values: command.handles.map((_, index) => uint32At(exchange.command, HEADER_SIZE + 4 * index)),
      };
      throw tpmError(command.name, code, names, await this.#room.occupants(code));
    }
  }

  /** The Name of an entity with a public area in the TPM; asks the TPM if the caller does not know it. */
  async #nameOf(handle: number, inUse: InUse): Promise<Uint8Array> {
    if (handleType(handle) === TPM_HT.NV_INDEX) {
      return (await this.execute(NV_ReadPublic, { nvIndex: handle }, {}, inUse)).nvName;
    }
    return (await this.execute(ReadPublic, { objectHandle: handle }, {}, inUse)).name;
  }

  /** Drops the result of a command that its caller no longer waits for. */
  async discard(result: object): Promise<void> {
    for (const value of Object.values(result)) if (value instanceof TpmObject) await this.objects.flush(value);
    if ('sessionHandle' in result && typeof result.sessionHandle === 'number') {
      await this.sessions.flushNew(result.sessionHandle);
    }
  }

  async endSession(session: Session): Promise<void> {
    session.ended = true;
    await this.sessions.flush(session);
  }

  /** Flushes everything of ours from the TPM; retries once what the TPM refuses. */
  async clear(): Promise<void> {
    const isDue = () => {};
    for (const object of this.objects.resident) await this.objects.flush(object).catch(isDue);
    for (const session of this.sessions.releaseAll()) {
      if (!session.ended) await this.endSession(session).catch(isDue);
      await session.close(); // only to wipe its keys
    }
    const { problems } = await this.#cleanUp.again();
    if (problems.length > 0) throw problems[0];
  }

  /** Forgets everything of ours, which the TPM lost with its power. */
  forget(): void {
    this.#cleanUp.forget();
    this.objects.forgetAll();
    for (const session of this.sessions.releaseAll()) session.ended = true;
    this.#marks?.forget();
  }
}
