import { JsonMembers } from '../json.ts';

/** The holder of a lock, as its file says. */
export interface Holder {
  /** In its own PID namespace; absent if the file is empty, as in the moment when a lock changes hands. */
  readonly pid?: number | undefined;
  /** A new one each time the lock is taken. */
  readonly token: string;
}

/** Reads the file of a lock. After a power loss it may hold garbage. */
export function readHolder(text: string): Holder {
  try {
    const members = JsonMembers.parse('lock', text);
    return { pid: members.integer('pid'), token: members.text('token') };
  } catch {
    return { token: '' };
  }
}
