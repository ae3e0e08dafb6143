import { MfaError } from '../errors/mfa-error.ts';
import type { ServiceError } from '../errors/service-error.ts';
import { isKeyprovError, rethrowAs } from '../errors.ts';
import { requestInvalid } from '../formats/x509/in-request.ts';
import { JsonMembers } from '../json.ts';
import { answerError, statusError } from './answer-error.ts';
import { exchange } from './exchange.ts';
import { jsonOf } from './json-service.ts';
import { peerTime } from './peer-time.ts';
import type { ServiceOptions } from './service-message.ts';

/** Tokens from a service. */
export interface IssuedTokens {
  readonly accessToken: string;
  readonly refreshToken?: string;
  readonly idToken?: string;
  /** When the access token expires, by our clock; absent if the service does not say. */
  readonly expires?: Date;
  /** When the response came. */
  readonly received: Date;
}

/** AADSTS numbers that mean: let the user do MFA. */
const MFA_NEEDED: ReadonlyMap<number, string> = new Map([
  [50072, 'the user must enrol for MFA'],
  [50074, 'the user did not pass the required MFA'],
  [50076, 'MFA is required'],
  [50078, 'the MFA is too old'],
  [50079, 'the user must enrol for MFA'],
  [50203, 'the user must enrol for MFA'],
]);

/**
 * Sends a form and reads the members of the response.
 * @param secrets of the form, which must not appear in an error.
 * @throws MfaError `mfa-failed` if the service demands MFA; else as `getJson` does, also for a member of a wrong type.
 */
export async function postForm<T>(
  url: URL,
  form: URLSearchParams,
  secrets: readonly string[],
  options: ServiceOptions & { readonly now?: (() => Date) | undefined },
  read: (members: JsonMembers) => T,
): Promise<T> {
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const answer = await exchange({ method: 'POST', url, headers, body: form.toString(), secrets }, options);
  if (!answer.ok) throw withMfa(statusError(answer));
  return rethrowAs(
    () => read(new JsonMembers('the response', jsonOf(answer), requestInvalid)),
    (error) => (isKeyprovError(error, 'request-invalid') ? answerError(answer, error.message) : undefined),
  );
}

/** Reads seconds, which version 1 of Entra ID writes as text. Returns milliseconds, within bounds. */
export function secondsIn(
  members: JsonMembers,
  name: string,
  kind: Parameters<typeof peerTime>[0],
): number | undefined {
  if (!members.has(name)) return undefined;
  const value = typeof members.value(name) === 'number' ? `${members.integer(name)}` : members.text(name);
  if (!/^\d+$/.test(value)) throw members.wrong(name, 'not a number of seconds');
  return peerTime(kind, Number(value) * 1000);
}

/** The members of RFC 6749, 5.1. */
export function issuedTokens(members: JsonMembers, received: Date): IssuedTokens {
  const lifetime = secondsIn(members, 'expires_in', 'token-lifetime');
  return {
    accessToken: members.text('access_token'),
    ...(members.has('refresh_token') && { refreshToken: members.text('refresh_token') }),
    ...(members.has('id_token') && { idToken: members.text('id_token') }),
    ...(lifetime !== undefined && { expires: new Date(received.getTime() + lifetime) }),
    received,
  };
}

function withMfa(error: ServiceError): ServiceError | MfaError {
  const { code, errorCodes = [] } = error.details ?? {};
  const number = errorCodes.find((one) => MFA_NEEDED.has(one));
  if (number === undefined && code !== 'interaction_required') return error;
  const why = number === undefined ? 'the user must sign in' : `${MFA_NEEDED.get(number)} (AADSTS${number})`;
  return new MfaError('mfa-failed', why, { cause: error, remedy: 'have the user sign in with MFA' });
}
