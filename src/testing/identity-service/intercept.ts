/** A request as the service log and a fault see it: nothing secret. */
export interface RequestInfo {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  /** How many requests came before it. */
  readonly index: number;
}

/**
 * What happens to a request: `drop-before` cuts the connection without looking at it, `drop-after` does all that is
 * asked and then cuts the connection instead of answering. Or the answer that it gets instead.
 */
export type RequestFault =
  | 'continue'
  | 'drop-before'
  | 'drop-after'
  | {
      readonly status: number;
      /** Sent as JSON, text as it is. */
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
    };

/** Decides what happens to a request. */
export type Intercept = (request: RequestInfo) => RequestFault | Promise<RequestFault>;
