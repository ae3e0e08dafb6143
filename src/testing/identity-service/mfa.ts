import type { DeviceCodeRecord, DeviceCodeTable } from './device-code-table.ts';
import type { MfaBehaviour } from './service-options.ts';
import { checkBehaviour, type ServiceUsers } from './users.ts';

/** A user's answer to a request for a second factor, and its time. */
export interface MfaDecision {
  readonly approved: boolean;
  readonly time: Date;
}

/** Controls how users answer requests for a second factor. */
export interface MfaControl {
  /** Sets how the user answers from now on, including requests that are open. */
  set(upn: string, behaviour: MfaBehaviour): void;
  /** Approves the open request with this code, as the user would. False if there is none. */
  approve(userCode: string): boolean;
  /** Denies the open request with this code, as the user would. False if there is none. */
  deny(userCode: string): boolean;
}

/** Simulates users who answer requests for a second factor. */
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
    checkBehaviour(behaviour);
    this.#behaviours.set(upn.toLowerCase(), behaviour);
  }

  approve(userCode: string): boolean {
    return this.#codes.answer(userCode, true, this.#now());
  }

  deny(userCode: string): boolean {
    return this.#codes.answer(userCode, false, this.#now());
  }

  /** The answer to the request; undefined until there is one. */
  answerTo({ upn, created, answer }: DeviceCodeRecord): MfaDecision | undefined {
    if (answer !== undefined) return answer;
    const { answer: mode, afterMs = 0 } = this.#behaviours.get(upn.toLowerCase()) ??
      this.#users.find(upn)?.mfa ?? { answer: 'approve' };
    const time = new Date(created.getTime() + afterMs);
    return mode === 'ignore' || time > this.#now() ? undefined : { approved: mode === 'approve', time };
  }
}
