import { copy, EMPTY, equal } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { altered } from './check-values.ts';
import type { CleanUp } from './clean-up.ts';
import { encode } from './codec/index.ts';
import type { AnyCommand } from './command.ts';
import { ContextLoad, ContextSave, FlushContext } from './commands/context.ts';
import { ReadPublic, type ReadPublicResult } from './commands/object.ts';
import { handleType, TPM_HT } from './constants.ts';
import type { Mark } from './marks.ts';
import { isHashAlg, objectName } from './names.ts';
import type { TpmsContext } from './structures/context.ts';
import { TPMT_PUBLIC, type TpmtPublic } from './structures/object.ts';
import { TpmObject } from './tpm-object.ts';
import { type Call, flushHandle, type InUse, isGone, listVolatile } from './volatile.ts';

/** Tells whether an object in the TPM can be the wanted one. */
type Fits = (found: ReadPublicResult, handle: number) => boolean;

/**
 * The objects that one `Tpm` has loaded, and the TPM's few slots for them. Part 1, 30: an object is saved with
 * TPM2_ContextSave, flushed, and loaded again when it is needed.
 */
export class ObjectSlots {
  readonly #call: Call;
  readonly #cleanUp: CleanUp;
  readonly #holder: ConstructorParameters<typeof TpmObject>[0];
  /** Objects in the TPM, the least recently used first. */
  readonly #resident = new Set<TpmObject>();
  /** The Names of objects that were swapped out. */
  readonly #saved = new WeakMap<TpmsContext, Uint8Array>();
  #lastFlushed: Uint8Array | undefined;

  constructor(holder: ConstructorParameters<typeof TpmObject>[0], call: Call, cleanUp: CleanUp) {
    this.#holder = holder;
    this.#cleanUp = cleanUp;
    this.#call = call;
  }

  /** What a command will load or start, if that can be said beforehand. */
  loadedBy({ name, answerHandle }: AnyCommand, args: object): Mark['what'] | undefined {
    if (answerHandle === undefined) return undefined;
    if (answerHandle[1] === 'session') return { kind: 'session', bytes: EMPTY };
    const { inPublic, context }: { inPublic?: TpmtPublic; context?: TpmsContext } = args;
    if (inPublic !== undefined) {
      const isExact = name.startsWith('Load') && isHashAlg(inPublic.nameAlg);
      if (isExact) return { kind: 'name', bytes: objectName(inPublic) };
      return { kind: 'template', bytes: encode(TPMT_PUBLIC, inPublic) };
    }
    const saved = context && this.#saved.get(context);
    return saved && { kind: 'name', bytes: saved };
  }

  /**
   * Manages the object that a command has just loaded. `fits` says which others it can have loaded if the answer
   * belongs to another command.
   * @throws KeyprovError `tpm-session` for a handle that cannot be its own.
   */
  async adopt(handle: number, name: Uint8Array, fits: Fits): Promise<TpmObject> {
    await this.#checkHandle(handle, fits);
    const object = new TpmObject(this.#holder, handle, copy(name));
    this.#resident.add(object);
    return object;
  }

  /** The present handle of `object`; loads it again if it was swapped out, without swapping out any of `inUse`. */
  async handleOf(object: TpmObject, inUse: InUse): Promise<number> {
    if (object.context !== undefined) {
      const { loadedHandle } = await this.#call(ContextLoad, { context: object.context }, inUse);
      await this.#checkHandle(loadedHandle, (found) => equal(found.name, object.name));
      object.context = undefined;
      object.handle = loadedHandle;
    }
    if (object.handle === undefined) {
      throw new KeyprovError('key-invalid', 'the TPM object was flushed', { remedy: 'load it again before use' });
    }
    this.#resident.delete(object);
    this.#resident.add(object);
    return object.handle;
  }

  /** Saves and flushes the least recently used object that is not in `inUse`. @returns false if there is none. */
  async makeRoom(inUse: InUse): Promise<boolean> {
    for (const object of this.#resident) {
      if (inUse.has(object) || object.handle === undefined) continue;
      const { handle } = object;
      try {
        const { context } = await this.#call(ContextSave, { saveHandle: handle });
        await this.#call(FlushContext, { flushHandle: handle });
        object.context = context;
        this.#saved.set(context, object.name);
      } catch (error) {
        if (!isGone(error)) throw error;
        await this.#flushStray(object.name);
      }
      object.handle = undefined;
      this.#resident.delete(object);
      return true;
    }
    return false;
  }

  async flush(object: TpmObject): Promise<void> {
    const { handle, name } = object;
    object.handle = undefined;
    object.context = undefined;
    this.#resident.delete(object);
    if (handle === undefined) return;
    const flush = async () => {
      const last = this.#lastFlushed;
      if (await flushHandle(this.#call, handle)) this.#lastFlushed = name;
      // It may have been flushed in place of the previous one, whose handle was altered on its way.
      else if (!(await this.#flushStray(name)) && last !== undefined) await this.#flushStray(last);
    };
    await this.#cleanUp.run(flush, () => this.#flushStray(name));
  }

  /**
   * Removes the one unknown object that `fits` accepts: the TPM loaded it with a response that cannot be believed. The
   * handle in that response is only the first guess.
   * @returns false if there is none.
   */
  async flushLoaded(guess: number | undefined, fits: Fits): Promise<boolean> {
    const { before } = this.#cleanUp;
    const unknown = (await this.#unknownHandles()).filter((handle) => !before?.has(handle));
    for (const handle of unknown.sort((a, b) => Number(b === guess) - Number(a === guess))) {
      if (!fits(await this.#call(ReadPublic, { objectHandle: handle }), handle)) continue;
      return await flushHandle(this.#call, handle);
    }
    return false;
  }

  /**
   * Removes an object of ours that does not have the handle that the TPM returned. After a loss of power, there is
   * nothing to remove.
   */
  async #flushStray(name: Uint8Array): Promise<boolean> {
    return await this.flushLoaded(undefined, (found) => equal(found.name, name));
  }

  /** Checks that a new object has a transient handle of its own; an object of ours with the same handle was lost. */
  async #checkHandle(handle: number, fits: Fits): Promise<void> {
    const holder = [...this.#resident].find((object) => object.handle === handle);
    const isTransient = handleType(handle) === TPM_HT.TRANSIENT;
    if (isTransient && holder === undefined) return;
    let wasElsewhere = false;
    const flush = async () => {
      wasElsewhere = await this.flushLoaded(undefined, fits);
    };
    await this.#cleanUp.run(flush);
    if (!isTransient || wasElsewhere || holder === undefined) {
      throw altered(`the handle 0x${handle.toString(16)} in a response does not belong to the new object`);
    }
    holder.handle = undefined;
    this.#resident.delete(holder);
    await this.#flushStray(holder.name);
  }

  /** The handles of transient objects that are not ours. */
  async #unknownHandles(): Promise<number[]> {
    const own = new Set([...this.#resident].map(({ handle }) => handle));
    return (await listVolatile(this.#call, TPM_HT.TRANSIENT)).filter((handle) => !own.has(handle));
  }

  get resident(): readonly TpmObject[] {
    return [...this.#resident];
  }

  /** Removes the transient objects that are not ours. @returns how many. */
  async flushForeign(): Promise<number> {
    const foreign = await this.#unknownHandles();
    for (const handle of foreign) await flushHandle(this.#call, handle);
    return foreign.length;
  }

  /** Marks all objects as lost, as they are after a loss of power. */
  forgetAll(): void {
    for (const object of this.#resident) object.handle = undefined;
    this.#resident.clear();
  }

  /** Says who holds the slots, for the error message if there is no room. */
  async occupants(): Promise<string> {
    const own = new Set([...this.#resident].map(({ handle }) => handle));
    const handles = await listVolatile(this.#call, TPM_HT.TRANSIENT);
    const list = handles.map(
      (handle) => `0x${handle.toString(16)} (${own.has(handle) ? "this program's" : "another program's"})`,
    );
    return `; the slots hold ${list.join(', ') || 'nothing'}`;
  }
}
