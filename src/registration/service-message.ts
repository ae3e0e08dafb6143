import type { Bytes } from '../bytes.ts';

/** Options of all calls to a service. */
export interface ServiceOptions {
  /** Time limit for one request, until the last byte of the response, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number | undefined;
  /**
   * Sends the requests. `createServiceFetch` makes one with a proxy, further TLS roots, or a client certificate.
   * Default: `createServiceFetch` without options, which always verifies the service's certificate; NODE_EXTRA_CA_CERTS
   * adds roots. Node's global fetch does not verify it if NODE_TLS_REJECT_UNAUTHORIZED is 0.
   */
  readonly fetch?: typeof fetch | undefined;
  /** Further headers, such as one with a token. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The members of {@link ServiceOptions}, for `checkMembers`. */
export const SERVICE_MEMBERS = 'timeoutMs:number? fetch:function? headers signal';

/** One request. */
export interface ServiceRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Longest answer in bytes. Default: 4 MiB. */
  readonly limit?: number;
  /** Texts that must not appear in an error, besides the value of the header `authorization`. */
  readonly secrets?: readonly string[];
  /** Windows code for errors that do not have a more specific one. */
  readonly windowsCode?: number;
  /** The same request was sent before, and may have taken effect whatever the response to this one. */
  readonly outcomeUnknown?: boolean;
  /** The clock. */
  readonly now?: () => Date;
}

/** A response with any status. */
export interface ServiceAnswer {
  readonly request: ServiceRequest;
  /** Method and address, without the query, which may hold data that must not be logged. */
  readonly where: string;
  readonly status: number;
  /** The status is 2xx. */
  readonly ok: boolean;
  readonly headers: Headers;
  readonly bytes: Bytes;
  /** The bytes as UTF-8. */
  readonly text: string;
  readonly received: Date;
  /** Removes the secrets of the request from a text. */
  readonly redact: (text: string) => string;
}
