import { type ErrorCode, KeyprovError } from '../errors.ts';
import { decodeResponseCode, describeResponseCode, type ResponseCode } from './response-code.ts';
import { TPM_RC } from './tpm-rc.ts';

const CODES: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
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

/** A TPM, or a layer before it, has refused a command. */
export class TpmError extends KeyprovError {
  /** The command without its `TPM2_`. */
  readonly command: string;
  /** The response code, decoded. */
  readonly responseCode: ResponseCode;

  constructor(command: string, responseCode: ResponseCode, parameterName?: string, detail = '') {
    const code = CODES.get(responseCode.base);
    super(
      code ?? 'tpm-response',
      describeResponseCode(responseCode, command, parameterName) + detail,
      responseCode.advice === undefined ? {} : { remedy: responseCode.advice },
    );
    this.command = command;
    this.responseCode = responseCode;
  }
}

/** Tells whether `error` is a refusal with the response code `base` (without layer and position bits). */
export function isTpmError(error: unknown, base?: number): error is TpmError {
  return error instanceof TpmError && (base === undefined || error.responseCode.base === base);
}

/** The error for a response code other than 0. `names` are the handles and parameters of the command in their order. */
export function tpmError(
  command: string,
  code: number,
  names: { readonly handles: readonly string[]; readonly parameters: readonly string[] },
  detail?: string,
): TpmError {
  const responseCode = decodeResponseCode(code);
  const { position } = responseCode;
  const list = position?.kind === 'parameter' ? names.parameters : position?.kind === 'handle' ? names.handles : [];
  return new TpmError(command, responseCode, position === undefined ? undefined : list[position.number - 1], detail);
}
