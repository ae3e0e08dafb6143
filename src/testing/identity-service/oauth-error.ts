import { randomUUID } from 'node:crypto';
import type { RouteAnswer } from './http.ts';

/** Why a token is refused: an error of RFC 6749, 5.2 or RFC 8628, 3.5. */
export interface OauthProblem {
  readonly error: string;
  /** For people; nothing secret. */
  readonly description: string;
  /** The number after AADSTS, if Entra ID has one. */
  readonly aadsts?: number;
}

/** The refusal as Entra ID writes it. */
export function oauthError({ error, description, aadsts }: OauthProblem, now: Date): RouteAnswer {
  return {
    status: 400,
    body: {
      error,
      error_description: aadsts === undefined ? description : `AADSTS${aadsts}: ${description}`,
      ...(aadsts !== undefined && { error_codes: [aadsts] }),
      timestamp: now.toISOString().replace('T', ' ').replace(/\.\d+/, ''),
      trace_id: randomUUID(),
      correlation_id: randomUUID(),
    },
  };
}
