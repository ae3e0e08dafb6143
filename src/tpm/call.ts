import type { Command } from './command.ts';
import type { Session } from './session.ts';
import type { TpmObject } from './tpm-object.ts';

/** Objects and sessions of the running command, which cannot be swapped out to make room for it. */
export type InUse = ReadonlySet<TpmObject | Session>;

/** Runs one command immediately, within the turn of the command that needs it; never swaps out `inUse`. */
export type Call = <A extends object, R extends object>(command: Command<A, R>, args: A, inUse?: InUse) => Promise<R>;
