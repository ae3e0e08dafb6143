import { type JsonValue, parseJson } from '../json.ts';
import { LIMIT } from '../limits.ts';
import { answerError, type StatusMeaning, statusError } from './answer-error.ts';
import { exchange } from './exchange.ts';
import type { ServiceAnswer, ServiceOptions, ServiceRequest } from './service-message.ts';

/**
 * Gets JSON with GET. Follows no redirection.
 *
 * @throws TypeError for a URL without https; http is for loopback addresses only.
 * @throws ServiceError `service-unreachable` (also status 429 and 5xx), `service-timeout`, `service-refused` (any other
 * status but 2xx), `service-answer` (not JSON, or too long). The reason of `signal` when it aborts.
 */
export async function getJson(url: URL, options: ServiceOptions = {}): Promise<unknown> {
  return await ask({ method: 'GET', url }, options);
}

/**
 * Sends `body` as JSON with POST and returns the JSON of the response. It throws as {@link getJson} does.
 * @param meaning the meaning of a status in this protocol.
 */
export async function postJson(
  url: URL,
  body: object,
  options: ServiceOptions = {},
  meaning?: (status: number) => StatusMeaning,
): Promise<unknown> {
  const headers = { 'content-type': 'application/json' };
  return await ask({ method: 'POST', url, headers, body: JSON.stringify(body) }, options, meaning);
}

async function ask(
  request: ServiceRequest,
  options: ServiceOptions,
  meaning?: (status: number) => StatusMeaning,
): Promise<unknown> {
  const answer = await exchange(request, options);
  if (!answer.ok) throw statusError(answer, meaning);
  return jsonOf(answer);
}

/** Parses the JSON of a response. @throws ServiceError `service-answer` if it is not JSON. */
export function jsonOf(answer: ServiceAnswer): JsonValue {
  const refuse = (where: string, problem: string) => answerError(answer, `${where}: ${problem}`);
  return parseJson('the response', answer.text, refuse, LIMIT.file);
}
