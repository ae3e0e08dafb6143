import { equal, utf8 } from '../../bytes.ts';
import { digest } from '../../crypto/kdf.ts';
import { decodeGuid } from '../../formats/windows/guid.ts';
import { checkMembers } from '../../known-members.ts';
import type { MfaBehaviour, ServiceUser } from './service-options.ts';

/** The users of the service. */
export class ServiceUsers {
  readonly #users = new Map<string, ServiceUser>();

  constructor(users: readonly ServiceUser[]) {
    for (const user of users) this.add(user);
  }

  /** Adds a user, or replaces the one of that name. @throws TypeError for anything but a user */
  add(user: ServiceUser): void {
    checkMembers('a user of the identity service', user, 'upn:text password:text mfa administrator:boolean?');
    if (user.mfa !== undefined) checkBehaviour(user.mfa);
    this.#users.set(user.upn.toLowerCase(), user);
  }

  find(upn: string): ServiceUser | undefined {
    return this.#users.get(upn.toLowerCase());
  }

  /** Whether the name of a user ends with that domain. */
  hasDomain(domain: string): boolean {
    return [...this.#users.keys()].some((upn) => upn.endsWith(`@${domain.toLowerCase()}`));
  }

  /** The user, if there is only one. */
  only(): ServiceUser | undefined {
    const [first, second] = this.#users.values();
    return second === undefined ? first : undefined;
  }
}

/** For callers without types. @throws TypeError */
export function checkBehaviour(mfa: MfaBehaviour): void {
  checkMembers('the mfa of a user', mfa, 'answer:=approve|deny|ignore afterMs:number?');
}

/** Whether it is the user's password. Compares in constant time. */
export function isPassword({ password }: ServiceUser, given: string): boolean {
  const hash = (text: string) => digest('sha256', utf8(text));
  return equal(hash(password), hash(given));
}

/** The GUID of a user: always the same for the same name. */
export const userIdOf = ({ upn }: ServiceUser): string =>
  decodeGuid(digest('sha256', utf8(upn.toLowerCase())).subarray(0, 16));
