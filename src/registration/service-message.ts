import type { Bytes } from '../bytes.ts';

/** Options of everything that speaks to a service. */
export interface ServiceOptions {
  /** For one exchange, from its beginning to the last byte of the answer, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number | undefined;
  /**
   * What sends the requests: `createServiceFetch` makes one with a proxy, further TLS roots, or a client certificate.
   * Default: one without options, which always verifies the certificate of the service (further roots: the environment
   * variable NODE_EXTRA_CA_CERTS). The global fetch of Node does not where NODE_TLS_REJECT_UNAUTHORIZED is 0.
   */
  readonly fetch?: typeof fetch | undefined;
  /** Further headers, such as one with a token. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One request. */
export interface ServiceRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Bytes of an answer that are read at most. Default: 4 MiB. */
  readonly limit?: number;
  /** What must not be in an error, besides the value of the header `authorization`. */
  readonly secrets?: readonly string[];
  /** For errors of which no more exact one is known. */
  readonly windowsCode?: number;
  /** The same was sent before, and may have taken effect: no answer to this one changes that. */
  readonly outcomeUnknown?: boolean;
  /** The clock. */
  readonly now?: () => Date;
}

/** An answer, whatever its status. */
export interface ServiceAnswer {
  readonly request: ServiceRequest;
  /** Method and address without the query, which may hold what is not for a log. */
  readonly where: string;
  readonly status: number;
  /** The status is 2xx. */
  readonly ok: boolean;
  readonly headers: Headers;
  readonly bytes: Bytes;
  /** The bytes as UTF-8. */
  readonly text: string;
  readonly received: Date;
  /** Takes the secrets of the request out of a text. */
  readonly redact: (text: string) => string;
}
