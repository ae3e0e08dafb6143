import { copy } from '../bytes.ts';
import { isTpmError } from '../errors/tpm-error.ts';
import { KeyprovError } from '../errors.ts';
import type { Call, InUse } from './call.ts';
import { GetCapability } from './commands/capability.ts';
import { ContextLoad, ContextSave, FlushContext } from './commands/context.ts';
import { TPM_CAP, TPM_HT } from './constants.ts';
import { TpmObject } from './tpm-object.ts';
import { TPM_RC } from './tpm-rc.ts';

/**
 * The objects that one `Tpm` has loaded, and the few slots that the TPM has for them. Part 1, 30: an object is saved
 * with TPM2_ContextSave, flushed, and loaded again when it is needed.
 */
export class ObjectSlots {
  readonly #call: Call;
  readonly #holder: ConstructorParameters<typeof TpmObject>[0];
  /** Objects in the TPM, the least recently used first. */
  readonly #resident = new Set<TpmObject>();

  constructor(holder: ConstructorParameters<typeof TpmObject>[0], call: Call) {
    this.#holder = holder;
    this.#call = call;
  }

  /** The object that a command has just loaded. */
  adopt(handle: number, name: Uint8Array): TpmObject {
    const object = new TpmObject(this.#holder, handle, copy(name));
    this.#resident.add(object);
    return object;
  }

  /** The present handle of `object`, loaded again if it was swapped out; none of `inUse` makes room for it. */
  async handleOf(object: TpmObject, inUse: InUse): Promise<number> {
    if (object.context !== undefined) {
      const { loadedHandle } = await this.#call(ContextLoad, { context: object.context }, inUse);
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

  /** Saves and flushes the least recently used object that is not in `inUse`. @returns false when there is none. */
  async makeRoom(inUse: InUse): Promise<boolean> {
    for (const object of this.#resident) {
      if (inUse.has(object) || object.handle === undefined) continue;
      const { handle } = object;
      try {
        const { context } = await this.#call(ContextSave, { saveHandle: handle });
        await this.#call(FlushContext, { flushHandle: handle });
        object.context = context;
      } catch (error) {
        if (!isGone(error)) throw error;
      }
      object.handle = undefined;
      this.#resident.delete(object);
      return true;
    }
    return false;
  }

  /** Removes `object` from the TPM. */
  async flush(object: TpmObject): Promise<void> {
    const { handle } = object;
    object.handle = undefined;
    object.context = undefined;
    this.#resident.delete(object);
    if (handle !== undefined) await this.flushHandle(handle);
  }

  /** Removes whatever has that handle; what is not there any more is no error. */
  async flushHandle(handle: number): Promise<void> {
    try {
      await this.#call(FlushContext, { flushHandle: handle });
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  /** Removes all objects from the TPM. */
  async flushAll(): Promise<void> {
    for (const object of this.#resident) await this.flush(object);
  }

  /** Removes the transient objects that are not ours. @returns how many. */
  async flushForeign(): Promise<number> {
    const own = new Set([...this.#resident].map(({ handle }) => handle));
    const foreign = (await this.#transientHandles()).filter((handle) => !own.has(handle));
    for (const handle of foreign) await this.flushHandle(handle);
    return foreign.length;
  }

  /** Marks all objects as lost, as they are after a loss of power. */
  forgetAll(): void {
    for (const object of this.#resident) object.handle = undefined;
    this.#resident.clear();
  }

  /** Says who holds the slots, for the error message when there is no room. */
  async occupants(): Promise<string> {
    const own = new Set([...this.#resident].map(({ handle }) => handle));
    const handles = await this.#transientHandles();
    const list = handles.map((handle) => `0x${handle.toString(16)} (${own.has(handle) ? 'ours' : 'not ours'})`);
    return `; in the slots: ${list.join(', ') || 'nothing'}`;
  }

  async #transientHandles(): Promise<readonly number[]> {
    const { capabilityData } = await this.#call(GetCapability, {
      capability: TPM_CAP.HANDLES,
      property: TPM_HT.TRANSIENT * 2 ** 24,
      propertyCount: 64,
    });
    return capabilityData.capability === TPM_CAP.HANDLES ? capabilityData.data : [];
  }
}

/** The TPM says that there is no such object: it was lost with the power, a Clear, or flushed by someone else. */
const isGone = (error: unknown): boolean =>
  isTpmError(error, TPM_RC.HANDLE) || isTpmError(error, TPM_RC.REFERENCE_H0) || isTpmError(error, TPM_RC.VALUE);
