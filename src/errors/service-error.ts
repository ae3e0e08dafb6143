import { KeyprovError, type KeyprovErrorOptions, SUBCLASS } from '../errors.ts';

/** What the body of an error answer says. Texts are from the service: for people and logs, cut and made printable. */
export interface ErrorDetails {
  /**
   * How it was written: `error-details` MS-KPP 2.2.3.1; `nested` the same or part of it below `error`;
   * `device-registration` MS-DVRJ 2.2.3.1; `oauth` RFC 6749, 5.2; `json` other JSON; `text`, also HTML; `empty`.
   */
  readonly form: 'error-details' | 'nested' | 'device-registration' | 'oauth' | 'json' | 'text' | 'empty';
  /** `code`, `ErrorType`, or `error`: for programs, but no list of them is published. */
  readonly code?: string;
  readonly message?: string;
  /** Of Entra ID's registration service: what exactly the matter is, and what was asked for. */
  readonly subcode?: string;
  readonly operation?: string;
  /** `ERROR_FAIL` by MS-KPP. */
  readonly response?: string;
  /** The resource. */
  readonly target?: string;
  readonly clientRequestId?: string;
  /** What Microsoft's support asks for: `TraceId`, `trace_id`, `requestId`. */
  readonly traceId?: string;
  /** As the service wrote it; forms differ. */
  readonly time?: string;
  /** The numbers of Entra ID, such as 50076 for AADSTS50076. */
  readonly errorCodes?: readonly number[];
}

/**
 * Whether to try again: `backoff` the same may work later; `mfa` with a new token, for which the user is asked; `none`
 * something must be mended first.
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

/** A key that the service says to have registered for somebody else. */
export interface MisplacedKey {
  readonly kid: string;
  /** User principal name. */
  readonly upn: string;
}

/** Something went wrong with a service. No token and nothing else that is secret is in it. */
export class ServiceError extends KeyprovError {
  declare readonly code:
    | 'service-untrusted'
    | 'service-unreachable'
    | 'service-timeout'
    | 'service-refused'
    | 'service-answer';
  /** The HTTP status, where there was an answer. */
  readonly status: number | undefined;
  /** What the body of the error answer says. */
  readonly details: ErrorDetails | undefined;
  readonly retry: RetryClass;
  /** How long the service wants to be left alone, in milliseconds, where it said so. */
  readonly retryAfterMs: number | undefined;
  /** The service may have done what was asked for: look before asking for it in another way. */
  readonly outcomeUnknown: boolean;
  /** The code that Windows gives in this situation, where it is more than `code` says. Unsigned 32 bits. */
  readonly windowsCode: number | undefined;
  /** Set when the service says that it has registered the key for another user. That is its word only. */
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
}
