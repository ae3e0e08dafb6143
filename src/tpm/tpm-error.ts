import { type ResponseCode, TpmError } from '../errors/tpm-error.ts';
import { TPM_RH } from './constants.ts';
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

/** What has an authorization value of its own and no key: Part 1, 13. */
const HIERARCHIES: ReadonlyMap<number | undefined, string> = new Map([
  [TPM_RH.OWNER, 'owner hierarchy'],
  [TPM_RH.ENDORSEMENT, 'endorsement hierarchy'],
  [TPM_RH.PLATFORM, 'platform hierarchy'],
  [TPM_RH.LOCKOUT, 'lockout hierarchy'],
]);

/** What the message of an error names. */
export interface CommandNames {
  /** The handles and parameters of the command in their order. */
  readonly handles: readonly string[];
  readonly parameters: readonly string[];
  /** The handles themselves; those that are authorized come first. */
  readonly values?: readonly number[];
}

/** The error for a response code other than 0. */
export function tpmError(command: string, code: number, names: CommandNames, detail = ''): TpmError {
  const responseCode: ResponseCode = decodeResponseCode(code);
  const { position } = responseCode;
  const list = position?.kind === 'parameter' ? names.parameters : position?.kind === 'handle' ? names.handles : [];
  const parameterName = position === undefined ? undefined : list[position.number - 1];
  const errorCode = CODES.get(responseCode.base) ?? 'tpm-response';
  const refused = position?.kind === 'session' ? HIERARCHIES.get(names.values?.[position.number - 1]) : undefined;
  const hierarchy = errorCode === 'tpm-auth-failed' ? refused : undefined;
  const whose = hierarchy === undefined ? '' : `: the ${hierarchy} has a password, and not the one that was given`;
  return new TpmError(errorCode, describeResponseCode(responseCode, command, parameterName) + whose + detail, {
    ...{ command, responseCode },
    remedy: hierarchy === undefined ? responseCode.advice : `give the password of the ${hierarchy}`,
  });
}
