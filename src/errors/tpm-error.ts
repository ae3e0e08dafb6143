import { KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';

/**
 * Where a response code comes from: the TPM, the resource manager in front of it (kernel or daemon), the TCTI of
 * tpm2-tss, another part of tpm2-tss, Windows' TPM Base Services, or another part of Windows.
 */
export type ResponseCodeLayer = 'tpm' | 'resource-manager' | 'tcti' | 'tss' | 'tbs' | 'windows' | 'unknown';

/** The handle, session or parameter of the command that a code refers to, counted from 1. */
export interface ResponseCodePosition {
  readonly kind: 'handle' | 'session' | 'parameter';
  readonly number: number;
}

/** A decoded response code. */
export interface ResponseCode {
  /** As received, unsigned 32 bits. */
  readonly value: number;
  /**
   * For a TPM's code, even if another layer passed it on: the code without layer and position, to compare with
   * `TPM_RC`. For any other code: the same as `value`, which never equals a code in `TPM_RC`.
   */
  readonly base: number;
  /** `TPM_RC_AUTH_FAIL`, `TSS2_TCTI_RC_IO_ERROR`, `TBS_E_SERVICE_NOT_RUNNING`, or `unknown`. */
  readonly name: string;
  readonly layer: ResponseCodeLayer;
  /** Absent if the code has no position or says that it is unknown. */
  readonly position?: ResponseCodePosition;
  /** One sentence. */
  readonly meaning: string;
  /** What to do about it, one sentence. */
  readonly advice?: string;
  /**
   * True if the same command can be sent again at once: TPM_RC_YIELDED, TPM_RC_TESTING, TPM_RC_RETRY. False for
   * TPM_RC_NV_RATE, which needs a pause of up to TPM_PT_NV_WRITE_RECOVERY milliseconds.
   */
  readonly retryable: boolean;
}

/** What can have its own password, besides users' keys: the hierarchies of a TPM, and the storage root key. */
export type HierarchyName = 'owner' | 'endorsement' | 'lockout' | 'platform' | 'storageParent';

/** Thrown if a TPM, or a layer in front of it, refuses a command or would refuse it. */
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
  /** The command without its `TPM2_`; undefined if none was sent, or its name is unknown. */
  readonly command: string | undefined;
  /** The decoded response code of the TPM or of a layer in front of it; undefined if there was none. */
  readonly responseCode: ResponseCode | undefined;
  /** Seconds until the TPM accepts one more try, after `tpm-lockout` or a wrong password; undefined if unknown. */
  readonly retryAfterSeconds: number | undefined;
  /**
   * What the missing, wrong or blocked password belongs to, unless that is a user's key; with the names of
   * `HierarchyAuth`.
   */
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

/** Tells whether a TPM refused a command that was sent, with response code `base` (no layer or position bits). */
export function isTpmError(error: unknown, base?: number): error is TpmRefusal {
  if (!(error instanceof TpmError) || error.command === undefined) return false;
  return error.responseCode !== undefined && (base === undefined || error.responseCode.base === base);
}
