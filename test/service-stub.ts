/** A request that a {@link serviceStub} received. */
export interface StubbedRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Answers with JSON or a given response. An exception becomes a connection error. */
export type StubbedAnswer = Response | object | (() => Response | Promise<Response>);

/** A service without a network. Returns its answers in turn, and repeats the last one. */
export function serviceStub(...answers: readonly StubbedAnswer[]): {
  readonly fetch: typeof fetch;
  readonly sent: readonly StubbedRequest[];
} {
  const sent: StubbedRequest[] = [];
  const fetch = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const answer = answers[sent.length] ?? answers.at(-1) ?? {};
    const headers = Object.fromEntries(new Headers(init.headers));
    sent.push({ url: String(input), method: init.method ?? '', headers, body: String(init.body ?? '') });
    if (typeof answer === 'function') return await answer();
    return answer instanceof Response ? answer.clone() : Response.json(answer);
  };
  return { fetch, sent };
}

/** An error response as in RFC 6749, 5.2. */
export function oauthRefusal(error: string, further: object = {}): Response {
  return Response.json({ error, ...further }, { status: 400 });
}
