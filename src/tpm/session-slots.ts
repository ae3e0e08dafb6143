import { withCleanup } from '../errors.ts';
import { altered } from './check-values.ts';
import type { CleanUp } from './clean-up.ts';
import { ContextLoad, ContextSave } from './commands/context.ts';
import { handleType, TPM_HT, TPM_SE } from './constants.ts';
import type { Session } from './session.ts';
import type { TpmsContext } from './structures/context.ts';
import { type Call, flushHandle, type InUse, listVolatile } from './volatile.ts';

/**
 * The sessions that one `Tpm` has started, and the TPM's few slots for them. Part 1, 30.4: saving a session takes it
 * out of the TPM's memory; it keeps its handle, and is loaded again when it is needed.
 */
export class SessionSlots {
  readonly #call: Call;
  readonly #cleanUp: CleanUp;
  /** Sessions in the TPM, the least recently used first. */
  readonly #resident = new Set<Session>();
  readonly #saved = new Map<Session, TpmsContext>();
  /** Sessions with which a command has succeeded. */
  readonly #used = new WeakSet<Session>();
  /** Whether the last session to be ended may have been another one. */
  #isDoubtful = false;

  constructor(call: Call, cleanUp: CleanUp) {
    this.#call = call;
    this.#cleanUp = cleanUp;
  }

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

  /** Loads `session` again if it was swapped out, without swapping out any of `inUse`. */
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

  /** Saves the least recently used session that is not in `inUse`. @returns false if there is none. */
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

  /**
   * Loads the oldest saved session, so that it can be saved again: the TPM counts saved contexts, and accepts no more
   * while the count of the oldest is too far behind. Part 1, 30.5.
   * @returns false if there is none.
   */
  async renewOldest(inUse: InUse): Promise<boolean> {
    for (const session of this.#saved.keys()) {
      await this.bringIn(session, inUse);
      return true;
    }
    return false;
  }

  get size(): number {
    return this.#resident.size + this.#saved.size;
  }

  /** @throws KeyprovError `tpm-session` for a handle that cannot belong to a new session of that TPM_SE. */
  async checkNew(handle: number, sessionType: unknown): Promise<void> {
    const type = sessionType === TPM_SE.HMAC ? TPM_HT.HMAC_SESSION : TPM_HT.POLICY_SESSION;
    if (handleType(handle) === type && this.find(handle) === undefined) return;
    const error = altered(`the handle 0x${handle.toString(16)} in a response does not belong to a new session`);
    await withCleanup(
      () => Promise.reject(error),
      () => this.#cleanUp.run(() => this.flushStray()),
    );
  }

  use(session: Session): void {
    this.#used.add(session);
  }

  async flush(session: Session): Promise<void> {
    this.release(session);
    await this.#cleanUp.run(
      () => this.#flush(session),
      () => this.#flushAgain(session.sessionHandle),
    );
  }

  /** Ends the session with that handle, which nothing manages yet. */
  async flushNew(handle: number): Promise<void> {
    await this.#cleanUp.run(() => this.#flushAgain(handle));
  }

  async #flushAgain(handle: number): Promise<void> {
    // If one of ours has the handle now, the other one has ended.
    if (this.find(handle) === undefined) await flushHandle(this.#call, handle);
  }

  async #flush(session: Session): Promise<void> {
    const handle = session.sessionHandle;
    const wasThere = await flushHandle(this.#call, handle);
    const isProven = this.#used.has(session);
    // If a command was altered in transit, the TPM refuses it as if its session did not exist.
    const isThere = !wasThere && (await listVolatile(this.#call, TPM_HT.HMAC_SESSION)).includes(handle);
    if (isThere) await flushHandle(this.#call, handle);
    // A session that no command could use may never have had that handle: it is elsewhere, and another one was ended.
    else if (!wasThere && (this.#isDoubtful || !isProven)) await this.flushStray();
    this.#isDoubtful = wasThere && !isProven;
  }

  /**
   * Ends the session that the TPM has started with a response that cannot be believed: the only unknown one. If there
   * are several, nothing tells which it is.
   */
  async flushStray(): Promise<void> {
    const { before } = this.#cleanUp;
    const loaded = await listVolatile(this.#call, TPM_HT.HMAC_SESSION); // lists the loaded ones of both kinds
    const [stray, ...others] = loaded.filter((handle) => this.find(handle) === undefined && !before?.has(handle));
    if (stray !== undefined && others.length === 0) await flushHandle(this.#call, stray);
  }

  /** Releases a session that has ended or is about to. */
  release(session: Session): void {
    this.#resident.delete(session);
    this.#saved.delete(session);
  }

  releaseAll(): Session[] {
    const all = [...this.#resident, ...this.#saved.keys()];
    this.#resident.clear();
    this.#saved.clear();
    return all;
  }
}
