import { KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';

/**
 * Who made a response code: the TPM, the resource manager in front of it (kernel or daemon), the TCTI of tpm2-tss,
 * another part of tpm2-tss, Windows' TPM Base Services, or another part of Windows.
 */
export type ResponseCodeLayer = 'tpm' | 'resource-manager' | 'tcti' | 'tss' | 'tbs' | 'windows' | 'unknown';

/** Which handle, session or parameter of the command a code complains about, counted from 1. */
export interface ResponseCodePosition {
  readonly kind: 'handle' | 'session' | 'parameter';
  readonly number: number;
}

/** A response code taken apart. */
export interface ResponseCode {
  /** As received, unsigned 32 bits. */
  readonly value: number;
  /**
   * A code of a TPM without layer and position, to be compared with `TPM_RC`, no matter which layer passed it on. For every
   * other code the same as `value`, so that it is never equal to a code of `TPM_RC`.
   */
  readonly base: number;
  /** `TPM_RC_AUTH_FAIL`, `TSS2_TCTI_RC_IO_ERROR`, `TBS_E_SERVICE_NOT_RUNNING`, or `unknown`. */
  readonly name: string;
  readonly layer: ResponseCodeLayer;
  /** Absent where the code has no position or says that it is not known. */
  readonly position?: ResponseCodePosition;
  /** One sentence. */
  readonly meaning: string;
  /** What to do about it, one sentence. */
  readonly advice?: string;
  /**
   * True where the same command can be sent again at once: TPM_RC_YIELDED, TPM_RC_TESTING, TPM_RC_RETRY. Not for
   * TPM_RC_NV_RATE, which needs a pause of up to TPM_PT_NV_WRITE_RECOVERY milliseconds.
   */
  readonly retryable: boolean;
}

/** What has a password of its own beside the keys of users: the hierarchies of a TPM, and the storage root key. */
export type HierarchyName = 'owner' | 'endorsement' | 'lockout' | 'platform' | 'storageParent';

/** A TPM, or a layer before it, has refused a command, or would refuse it. */
export class TpmError extends KeyprovError {
  declare readonly code:
    | 'tpm-response'
    | 'tpm-auth-failed'
    | 'tpm-lockout'
    | 'tpm-out-of-memory'
    | 'tpm-failure-mode'
    | 'tpm-canceled'
    | 'tpm-retry-exhausted'
    | 'tpm-unsupported'
    | 'tpm-command-blocked';
  /** The command without its `TPM2_`; undefined where none was sent, or its name is not known. */
  readonly command: string | undefined;
  /** The response code, decoded; undefined where nothing was asked, or the operating system refused. */
  readonly responseCode: ResponseCode | undefined;
  /** With `tpm-lockout`: seconds after which the TPM takes one more try; undefined where it was not asked. */
  readonly retryAfterSeconds: number | undefined;
  /** With `tpm-auth-failed`: whose password it was, if it was no key of a user; the name is that in `HierarchyAuth`. */
  readonly hierarchy: HierarchyName | undefined;

  constructor(
    code: TpmError['code'],
    message: string,
    options: KeyprovErrorOptions &
      Partial<Pick<TpmError, 'command' | 'responseCode' | 'retryAfterSeconds' | 'hierarchy'>> = {},
  ) {
    super(code, message, options, SUBCLASS);
    this.command = options.command;
    this.responseCode = options.responseCode;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.hierarchy = options.hierarchy;
  }
}

/** A {@link TpmError} for a command that was sent and answered. */
export type TpmRefusal = TpmError & { readonly command: string; readonly responseCode: ResponseCode };

/** Tells whether a command was answered by a refusal, with the response code `base` (without layer and position bits). */
export function isTpmError(error: unknown, base?: number): error is TpmRefusal {
  if (!(error instanceof TpmError) || error.command === undefined) return false;
  return error.responseCode !== undefined && (base === undefined || error.responseCode.base === base);
}
