import { type ResponseCode, TpmError } from '../errors/tpm-error.ts';
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

/** The error for a response code other than 0. `names` are the handles and parameters of the command in their order. */
export function tpmError(
  command: string,
  code: number,
  names: { readonly handles: readonly string[]; readonly parameters: readonly string[] },
  detail = '',
): TpmError {
  const responseCode: ResponseCode = decodeResponseCode(code);
  const { position } = responseCode;
  const list = position?.kind === 'parameter' ? names.parameters : position?.kind === 'handle' ? names.handles : [];
  const parameterName = position === undefined ? undefined : list[position.number - 1];
  return new TpmError(
    CODES.get(responseCode.base) ?? 'tpm-response',
    describeResponseCode(responseCode, command, parameterName) + detail,
    { command, responseCode, remedy: responseCode.advice },
  );
}
