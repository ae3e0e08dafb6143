import { isTpmError } from '../errors/tpm-error.ts';
import type { Command } from './command.ts';
import { GetCapability } from './commands/capability.ts';
import { FlushContext } from './commands/context.ts';
import { TPM_CAP } from './constants.ts';
import type { Session } from './session.ts';
import type { TpmObject } from './tpm-object.ts';
import { TPM_RC } from './tpm-rc.ts';

/** Objects and sessions of the running command, which cannot be swapped out to make room for it. */
export type InUse = ReadonlySet<TpmObject | Session>;

/** Runs one command immediately, within the turn of the command that needs it; never swaps out `inUse`. */
export type Call = <A extends object, R extends object>(command: Command<A, R>, args: A, inUse?: InUse) => Promise<R>;

/**
 * Removes the object or session with that handle. @returns false if there is none: it was flushed, or lost with the
 * power.
 */
export async function flushHandle(call: Call, handle: number): Promise<boolean> {
  try {
    await call(FlushContext, { flushHandle: handle });
    return true;
  } catch (error) {
    if (!isGone(error)) throw error;
    return false;
  }
}

/** Lists the TPM's handles of one type, in one request: no TPM has room for more. */
export async function listVolatile(call: Call, type: number): Promise<number[]> {
  const wanted = { capability: TPM_CAP.HANDLES, property: type * 2 ** 24, propertyCount: 64 };
  const { capabilityData } = await call(GetCapability, wanted);
  return capabilityData.capability === TPM_CAP.HANDLES ? [...capabilityData.data] : [];
}

/**
 * Tells whether the object no longer exists: another program flushed it, or it was lost with the power or in a Clear.
 */
export const isGone = (error: unknown): boolean =>
  isTpmError(error, TPM_RC.HANDLE) || isTpmError(error, TPM_RC.REFERENCE_H0) || isTpmError(error, TPM_RC.VALUE);
