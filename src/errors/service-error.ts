import { KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';

/**
 * The body of an error response. Its texts come from the service; they are truncated and printable, for people and
 * logs.
 */
export interface ErrorDetails {
  /**
   * The form of the body: `error-details` MS-KPP 2.2.3.1; `nested` all or part of that below `error`;
   * `device-registration` MS-DVRJ 2.2.3.1; `oauth` RFC 6749, 5.2; `json` other JSON; `text`, also HTML; `empty`.
   */
  readonly form: 'error-details' | 'nested' | 'device-registration' | 'oauth' | 'json' | 'text' | 'empty';
  /** `code`, `ErrorType`, or `error`: for programs, but no list of the values is published. */
  readonly code?: string;
  readonly message?: string;
  /** From Entra ID's registration service: the exact reason. */
  readonly subcode?: string;
  /** From Entra ID's registration service: what was requested. */
  readonly operation?: string;
  /** `ERROR_FAIL` in MS-KPP. */
  readonly response?: string;
  /** The resource. */
  readonly target?: string;
  readonly clientRequestId?: string;
  /** What Microsoft's support asks for: `TraceId`, `trace_id`, `requestId`, `request-id`, else the header `request-id`. */
  readonly traceId?: string;
  /** As written by the service; forms differ. */
  readonly time?: string;
  /** Entra ID's error numbers, such as 50076 for AADSTS50076. */
  readonly errorCodes?: readonly number[];
}

/**
 * Whether to try again. `backoff`: the same request may work later. `mfa`: with a new token, after asking the user.
 * `none`: something must be repaired first.
 */
export type RetryClass = 'none' | 'backoff' | 'mfa';

/** What a {@link ServiceError} can carry besides its message. */
export interface ServiceErrorOptions extends KeyprovErrorOptions {
  readonly status?: number | undefined;
  readonly details?: ErrorDetails | undefined;
  /** Default `none`. */
  readonly retry?: RetryClass | undefined;
  readonly retryAfterMs?: number | undefined;
  /** Default false. */
  readonly outcomeUnknown?: boolean | undefined;
  readonly windowsCode?: number | undefined;
  readonly misplaced?: MisplacedKey | undefined;
}

/** A key that the service says it registered for another user. */
export interface MisplacedKey {
  readonly kid: string;
  /** User principal name. */
  readonly upn: string;
}

/** Thrown if a request to a service failed. Contains no token and no other secret. */
export class ServiceError extends KeyprovError {
  declare readonly code:
    | 'service-untrusted'
    | 'service-unreachable'
    | 'service-timeout'
    | 'service-refused'
    | 'service-answer';
  /** The HTTP status; undefined without a response. */
  readonly status: number | undefined;
  /** The body of the error response. */
  readonly details: ErrorDetails | undefined;
  readonly retry: RetryClass;
  /** How long the service asks you to wait, in milliseconds; undefined if it does not say. */
  readonly retryAfterMs: number | undefined;
  /** True if the service may have done what was requested. Check that before you request it in another way. */
  readonly outcomeUnknown: boolean;
  /** The code that Windows reports in this situation, if it says more than `code`. Unsigned 32 bits. */
  readonly windowsCode: number | undefined;
  /** Set if the service says that it registered the key for another user. This is not verified. */
  readonly misplaced: MisplacedKey | undefined;

  constructor(code: ServiceError['code'], message: string, options: ServiceErrorOptions = {}) {
    super(code, message, options, SUBCLASS);
    this.status = options.status;
    this.details = options.details;
    this.retry = options.retry ?? 'none';
    this.retryAfterMs = options.retryAfterMs;
    this.outcomeUnknown = options.outcomeUnknown ?? false;
    this.windowsCode = options.windowsCode;
    this.misplaced = options.misplaced;
  }

  /** Does the same as for other errors, but writes `windowsCode` as Windows does: `0x801C0012`. */
  override toJSON(): Record<string, unknown> {
    const { windowsCode } = this;
    const hex = windowsCode?.toString(16).toUpperCase().padStart(8, '0');
    return { ...super.toJSON(), ...(hex !== undefined && { windowsCode: `0x${hex}` }) };
  }
}
