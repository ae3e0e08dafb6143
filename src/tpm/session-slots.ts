import type { Call, InUse } from './call.ts';
import { ContextLoad, ContextSave } from './commands/context.ts';
import type { Session } from './session.ts';
import type { TpmsContext } from './structures/context.ts';

/**
 * The sessions that one `Tpm` has started, and the few slots that the TPM has for them. Part 1, 30.4: saving a session
 * takes it out of the TPM's memory; it keeps its handle, and is loaded again when it is needed.
 */
export class SessionSlots {
  readonly #call: Call;
  /** Sessions in the TPM, the least recently used first. */
  readonly #resident = new Set<Session>();
  readonly #saved = new Map<Session, TpmsContext>();

  constructor(call: Call) {
    this.#call = call;
  }

  /** Takes charge of a session that was just started. */
  adopt(session: Session): void {
    this.#resident.add(session);
  }

  /** The session with that handle, if it is one of ours. */
  find(handle: number): Session | undefined {
    for (const sessions of [this.#resident, this.#saved.keys()]) {
      for (const session of sessions) if (session.sessionHandle === handle) return session;
    }
    return undefined;
  }

  /** Loads `session` again if it was swapped out; nothing of `inUse` makes room for it. */
  async bringIn(session: Session, inUse: InUse): Promise<void> {
    const context = this.#saved.get(session);
    if (context !== undefined) {
      await this.#call(ContextLoad, { context }, inUse);
      this.#saved.delete(session);
    } else if (!this.#resident.delete(session)) {
      return;
    }
    this.#resident.add(session);
  }

  /** Saves the least recently used session that is not in `inUse`. @returns false when there is none. */
  async makeRoom(inUse: InUse): Promise<boolean> {
    for (const session of this.#resident) {
      if (inUse.has(session)) continue;
      const { context } = await this.#call(ContextSave, { saveHandle: session.sessionHandle });
      this.#resident.delete(session);
      this.#saved.set(session, context);
      return true;
    }
    return false;
  }

  /** Lets go of a session that has ended or is about to. */
  release(session: Session): void {
    this.#resident.delete(session);
    this.#saved.delete(session);
  }

  /** Lets go of all sessions and returns them. */
  releaseAll(): Session[] {
    const all = [...this.#resident, ...this.#saved.keys()];
    this.#resident.clear();
    this.#saved.clear();
    return all;
  }
}
