/** A request for logs and fault injection, without secrets. */
export interface RequestInfo {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  /** The number of earlier requests. */
  readonly index: number;
}

/**
 * The fault to inject for a request. `drop-before`: cuts the connection without handling the request. `drop-after`:
 * handles the request, then cuts the connection instead of responding. An object: the response to send instead.
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

/** Returns the fault to inject for a request. */
export type Intercept = (request: RequestInfo) => RequestFault | Promise<RequestFault>;
