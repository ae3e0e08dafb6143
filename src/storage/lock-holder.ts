import { JsonMembers } from '../json.ts';

/** Who has a lock, as its file says. */
export interface Holder {
  /** In its own PID namespace; absent where the file says nothing, as in the moment in which a lock changes hands. */
  readonly pid?: number | undefined;
  /** Another one each time that somebody takes the lock. */
  readonly token: string;
}

/** Reads what the file of a lock says. A loss of power may have left a file without sense. */
export function readHolder(text: string): Holder {
  try {
    const members = JsonMembers.parse('lock', text);
    return { pid: members.integer('pid'), token: members.text('token') };
  } catch {
    return { token: '' };
  }
}
