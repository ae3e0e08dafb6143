/** A request as the service's log and faults see it, without secrets. */
export interface RequestInfo {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  /** Number of requests before it. */
  readonly index: number;
}

/**
 * Fault of a request. `drop-before`: cuts the connection without handling the request. `drop-after`: handles the
 * request, then cuts the connection instead of answering. Or the answer to send instead.
 */
export type RequestFault =
  | 'continue'
  | 'drop-before'
  | 'drop-after'
  | {
      readonly status: number;
      /** Sent as JSON; text is sent unchanged. */
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
    };

/** Decides on the fault of a request. */
export type Intercept = (request: RequestInfo) => RequestFault | Promise<RequestFault>;
