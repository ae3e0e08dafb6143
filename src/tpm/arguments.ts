import { EMPTY, isBytes } from '../bytes.ts';
import type { AnyCommand, Entity, HandleArg } from './command.ts';
import { handleType, TPM_HT } from './constants.ts';
import type { AuthEntry } from './exchange.ts';
import { handleName } from './names.ts';
import type { Authorization, Session } from './session.ts';
import { TpmObject } from './tpm-object.ts';

export interface HandleArgument {
  readonly key: string;
  readonly handle: number | TpmObject;
  readonly name: Uint8Array | undefined;
  /** `undefined` if the command needs no authorization for this handle. */
  readonly auth: Authorization | undefined;
}

/** A bare handle is an entity without Name and authorization. */
export const entityOf = (arg: HandleArg): Entity =>
  typeof arg === 'object' && !(arg instanceof TpmObject) ? arg : { handle: arg };

/** The handles of `command` in `args`, in order. @throws TypeError for an argument that is not a handle. */
export function handleArguments(command: AnyCommand, args: object): HandleArgument[] {
  return command.handles.map(([key, role]) => {
    const { handle, name, auth } = entityOf((args as Readonly<Record<string, HandleArg>>)[key] as HandleArg);
    if (typeof handle !== 'number' && !(handle instanceof TpmObject)) {
      throw new TypeError(`TPM2_${command.name}: ${key} must be a handle, a TpmObject or { handle, name, auth }`);
    }
    if (role === 'none' && auth !== undefined) {
      throw new TypeError(`TPM2_${command.name}: ${key} takes no authorization`);
    }
    const known = name ?? (handle instanceof TpmObject ? handle.name : fixedName(handle));
    return { key, handle, name: known, auth: role === 'none' ? undefined : (auth ?? EMPTY) };
  });
}

/** The sessions that authorize handles of a command, followed by the other sessions. */
export function sessionsOf(handles: readonly HandleArgument[], more: readonly Session[] = []): Session[] {
  const authorizing = handles.flatMap(({ auth }) => (auth === undefined || isBytes(auth) ? [] : [auth.session]));
  return [...authorizing, ...more];
}

/**
 * The authorization area: an entry for each handle that needs one, then the other sessions. `names` cover all handles.
 */
export function authEntries(
  handles: readonly HandleArgument[],
  names: readonly Uint8Array[],
  more: readonly Session[] = [],
): AuthEntry[] {
  const entries: AuthEntry[] = [];
  handles.forEach(({ auth }, i) => {
    if (auth === undefined) return;
    if (isBytes(auth)) entries.push({ kind: 'password', authValue: auth });
    else {
      const entity = { name: names[i] ?? EMPTY, authValue: auth.authValue ?? EMPTY };
      entries.push({ kind: 'session', session: auth.session, entity });
    }
  });
  for (const session of more) entries.push({ kind: 'session', session });
  if (entries.length > 3) throw new RangeError(`${entries.length} sessions in one command; at most 3 are allowed`);
  return entries;
}

/** Tells whether this proves an authorization value of an object, which may be under dictionary attack protection. */
export function usesObjectAuth({ handle, auth }: HandleArgument): boolean {
  const isObject = typeof handle !== 'number' || handleType(handle) === TPM_HT.PERSISTENT;
  const value = isBytes(auth) ? auth : auth?.authValue;
  return isObject && value !== undefined && value.length > 0;
}

/** The Name of an entity without a public area is its handle. Part 1, 16. */
function fixedName(handle: number): Uint8Array | undefined {
  const type = handleType(handle);
  const fixed =
    type === TPM_HT.PCR || type === TPM_HT.PERMANENT || type === TPM_HT.HMAC_SESSION || type === TPM_HT.POLICY_SESSION;
  return fixed ? handleName(handle) : undefined;
}
