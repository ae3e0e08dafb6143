import { type Bytes, uint32At } from '../bytes.ts';
import { canBeLoadedBy } from './check-values.ts';
import type { CleanUp } from './clean-up.ts';
import type { AnyCommand } from './command.ts';
import { HEADER_SIZE } from './frame.ts';
import type { Marks } from './marks.ts';
import type { ObjectSlots } from './object-slots.ts';
import type { SessionSlots } from './session-slots.ts';
import { TPM_RC } from './tpm-rc.ts';
import type { InUse } from './volatile.ts';

/** Makes room in a full TPM, and flushes what has no owner. */
export class Room {
  readonly #objects: ObjectSlots;
  readonly #sessions: SessionSlots;
  readonly #cleanUp: CleanUp;
  readonly #marks: Marks | undefined;
  /** Whether a command is making room now, or looking for who has it. */
  #isBusy = false;

  constructor(objects: ObjectSlots, sessions: SessionSlots, cleanUp: CleanUp, marks: Marks | undefined) {
    this.#cleanUp = cleanUp;
    this.#marks = marks;
    this.#objects = objects;
    this.#sessions = sessions;
  }

  /** Makes room after a refusal with that response code. @returns false if nothing of ours could give way. */
  async make(code: number, inUse: InUse): Promise<boolean> {
    return await this.#once(false, async () => {
      const isFull = code === TPM_RC.OBJECT_MEMORY || code === TPM_RC.SESSION_MEMORY;
      if (isFull && (await this.#cleanUp.again()).done > 0) return true;
      if (code === TPM_RC.OBJECT_MEMORY) return await this.#objects.makeRoom(inUse);
      if (code === TPM_RC.SESSION_MEMORY) return await this.#sessions.makeRoom(inUse);
      if (code === TPM_RC.CONTEXT_GAP) return await this.#sessions.renewOldest(inUse);
      return false;
    });
  }

  /** Says who holds the exhausted resource, for the error message. */
  async occupants(code: number): Promise<string> {
    if (code === TPM_RC.SESSION_HANDLES) {
      return `; open sessions of this process: ${this.#sessions.size}`;
    }
    if (code !== TPM_RC.OBJECT_MEMORY) return '';
    try {
      const marks =
        this.#marks?.problem === undefined
          ? ''
          : `; keyprov cannot recognize crashed programs' objects because ${this.#marks.directory} cannot be used`;
      return `${await this.#once('', () => this.#objects.occupants())}${marks}`;
    } catch {
      return ''; // the TPM cannot say what it holds; that it is full matters more
    }
  }

  /** Flushes what a command has loaded or started, if its response cannot be believed. */
  async flushUnbelieved(command: AnyCommand, args: object, answer: Bytes): Promise<void> {
    const { answerHandle } = command;
    if (answerHandle === undefined) return;
    const guess = answer.length < HEADER_SIZE + 4 ? undefined : uint32At(answer, HEADER_SIZE);
    const isContext = 'context' in args; // it can hold any object
    await this.#cleanUp.run(async () => {
      if (answerHandle[1] === 'session') return await this.#sessions.flushStray();
      await this.#objects.flushLoaded(guess, ({ outPublic }, handle) =>
        isContext ? handle === guess : canBeLoadedBy(command, args, outPublic),
      );
    });
  }

  /** Runs `work`, unless a command of such work asks for it: so a TPM that is always full cannot cause a loop. */
  async #once<T>(otherwise: T, work: () => Promise<T>): Promise<T> {
    if (this.#isBusy) return otherwise;
    this.#isBusy = true;
    try {
      return await work();
    } finally {
      this.#isBusy = false;
    }
  }
}
