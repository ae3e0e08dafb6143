import { type HierarchyName, type ResponseCode, TpmError } from '../errors/tpm-error.ts';
import { handleType, SRK_HANDLE, TPM_HT, TPM_RH } from './constants.ts';
import { decodeResponseCode, describeResponseCode } from './response-code.ts';
import { TPM_RC } from './tpm-rc.ts';

const CODES: ReadonlyMap<number, TpmError['code']> = new Map<number, TpmError['code']>([
  [TPM_RC.AUTH_FAIL, 'tpm-auth-failed'],
  [TPM_RC.BAD_AUTH, 'tpm-auth-failed'],
  [TPM_RC.LOCKOUT, 'tpm-lockout'],
  [TPM_RC.OBJECT_MEMORY, 'tpm-out-of-memory'],
  [TPM_RC.SESSION_MEMORY, 'tpm-out-of-memory'],
  [TPM_RC.MEMORY, 'tpm-out-of-memory'],
  [TPM_RC.SESSION_HANDLES, 'tpm-out-of-memory'],
  [TPM_RC.OBJECT_HANDLES, 'tpm-out-of-memory'],
  [TPM_RC.FAILURE, 'tpm-failure-mode'],
  [TPM_RC.CANCELED, 'tpm-canceled'],
  [TPM_RC.COMMAND_CODE, 'tpm-unsupported'],
  [TPM_RC.RETRY, 'tpm-retry-exhausted'],
  [TPM_RC.YIELDED, 'tpm-retry-exhausted'],
  [TPM_RC.TESTING, 'tpm-retry-exhausted'],
]);

const NAMES: ReadonlyMap<number, HierarchyName> = new Map([
  [TPM_RH.OWNER, 'owner'],
  [TPM_RH.ENDORSEMENT, 'endorsement'],
  [TPM_RH.LOCKOUT, 'lockout'],
  [TPM_RH.PLATFORM, 'platform'],
  [SRK_HANDLE, 'storageParent'],
]);

/** The name of a handle that has its own password; undefined for any other. */
export function hierarchyOf(handle: number | undefined): HierarchyName | undefined {
  return handle === undefined ? undefined : NAMES.get(handle);
}

/** Their names in messages. Part 1, 13. */
const CALLED: Readonly<Record<HierarchyName, string>> = {
  owner: 'owner hierarchy',
  endorsement: 'endorsement hierarchy',
  lockout: 'lockout hierarchy',
  platform: 'platform hierarchy',
  storageParent: 'storage root key',
};

/** Commands whose first handle is a storage key. */
const UNDER_A_PARENT: ReadonlySet<string> = new Set(['Create', 'CreateLoaded', 'Load', 'Import']);

export interface CommandNames {
  /** The handles and parameters of the command, in order. */
  readonly handles: readonly string[];
  readonly parameters: readonly string[];
  /** The handles themselves; those that are authorized come first. */
  readonly values?: readonly number[];
}

/** The error for a response code other than 0. `command` is its name without `TPM2_`. */
export function tpmError(command: string, code: number, names: CommandNames, detail = ''): TpmError {
  const decoded = decodeResponseCode(code);
  // One wrong password of the lockout hierarchy blocks the next one, whatever the count of wrong PINs. Part 1, 19.8.
  const isBlocked = decoded.base === TPM_RC.LOCKOUT && names.values?.includes(TPM_RH.LOCKOUT);
  const responseCode: ResponseCode = isBlocked ? { ...decoded, ...LOCKOUT_BLOCKED } : decoded;
  const { position } = responseCode;
  const list = position?.kind === 'parameter' ? names.parameters : position?.kind === 'handle' ? names.handles : [];
  const at = position === undefined ? undefined : list[position.number - 1];
  const named = position?.kind === 'handle' ? hierarchyOf(names.values?.[position.number - 1]) : undefined;
  const isAboutIt = decoded.base === TPM_RC.HIERARCHY && named !== undefined;
  const parameterName = isAboutIt ? `${at}: ${CALLED[named]}` : at;
  const errorCode = CODES.get(responseCode.base) ?? 'tpm-response';
  const refused = position?.kind === 'session' ? names.values?.[position.number - 1] : undefined;
  const hierarchy = errorCode === 'tpm-auth-failed' ? whoseOf(refused, command) : undefined;
  const message = describeResponseCode(responseCode, `TPM2_${command}`, parameterName);
  if (hierarchy === undefined) {
    const whose = isBlocked ? ({ hierarchy: 'lockout' } as const) : {};
    return new TpmError(errorCode, message + detail, { command, responseCode, ...whose, remedy: responseCode.advice });
  }
  const called = CALLED[hierarchy];
  return new TpmError(errorCode, `${message}: the ${called} has a password, but it was missing or wrong${detail}`, {
    ...{ command, responseCode, hierarchy },
    remedy: hierarchy === 'lockout' ? `${LOCKOUT_WAIT}, then ${giveIt(hierarchy)}` : giveIt(hierarchy),
  });
}

const LOCKOUT_WAIT = "wait for the TPM's lockout recovery time (if it is 0, restart the machine)";

/** TPM_RC_LOCKOUT for the lockout hierarchy itself. */
const LOCKOUT_BLOCKED = {
  meaning: 'an earlier password for the lockout hierarchy was wrong, so the TPM accepts none at present',
  advice: `${LOCKOUT_WAIT}, then provide the right password`,
};

/** The error for a command that is not sent, since the TPM says that a hierarchy has a password, and none is known. */
export function passwordMissing(hierarchy: HierarchyName): TpmError {
  const called = CALLED[hierarchy];
  return new TpmError('tpm-auth-failed', `the ${called} has a password, but none was given; the command was not sent`, {
    hierarchy,
    remedy: giveIt(hierarchy),
  });
}

const giveIt = (hierarchy: HierarchyName): string =>
  `provide the ${CALLED[hierarchy]}'s password (hierarchyAuth.${hierarchy})`;

/** Whose password was refused; undefined for another object. */
function whoseOf(handle: number | undefined, command: string): HierarchyName | undefined {
  const isParent = handle !== undefined && handleType(handle) === TPM_HT.PERSISTENT && UNDER_A_PARENT.has(command);
  return isParent ? 'storageParent' : hierarchyOf(handle);
}
