import type { DeviceCodeRecord, DeviceCodeTable } from './device-code-table.ts';
import type { MfaBehaviour } from './service-options.ts';
import type { ServiceUsers } from './users.ts';

/** How a user has answered a request for a second factor, and when. */
export interface MfaDecision {
  readonly approved: boolean;
  readonly time: Date;
}

/** Decides what users do when they are asked for a second factor. */
export interface MfaControl {
  /** What that user does from now on, requests that wait among it. */
  set(upn: string, behaviour: MfaBehaviour): void;
  /** The user approves the request that shows this code. False where there is none that waits. */
  approve(userCode: string): boolean;
  /** The user denies it. False where there is none that waits. */
  deny(userCode: string): boolean;
}

/** What the users do when they are asked for a second factor. */
export class MfaSimulation implements MfaControl {
  readonly #users: ServiceUsers;
  readonly #codes: DeviceCodeTable;
  readonly #now: () => Date;
  readonly #behaviours = new Map<string, MfaBehaviour>();

  constructor(users: ServiceUsers, codes: DeviceCodeTable, now: () => Date) {
    this.#users = users;
    this.#codes = codes;
    this.#now = now;
  }

  set(upn: string, behaviour: MfaBehaviour): void {
    this.#behaviours.set(upn.toLowerCase(), behaviour);
  }

  approve(userCode: string): boolean {
    return this.#codes.answer(userCode, true, this.#now());
  }

  deny(userCode: string): boolean {
    return this.#codes.answer(userCode, false, this.#now());
  }

  /** How the request was answered; undefined while it was not. */
  answerTo({ upn, created, answer }: DeviceCodeRecord): MfaDecision | undefined {
    if (answer !== undefined) return answer;
    const { answer: mode, afterMs = 0 } = this.#behaviours.get(upn.toLowerCase()) ??
      this.#users.find(upn)?.mfa ?? { answer: 'approve' };
    const time = new Date(created.getTime() + afterMs);
    return mode === 'ignore' || time > this.#now() ? undefined : { approved: mode === 'approve', time };
  }
}
