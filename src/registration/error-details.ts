import type { ErrorDetails } from '../errors/service-error.ts';
import { isJsonObject, parseJson } from '../json.ts';

const MAX_TEXT = 1000;
/** Longer answers come from proxies and web servers, and their beginning is enough. */
const MAX_BODY = 64 * 1024;

type Members = ReadonlyMap<string, unknown>;

/**
 * Reads the first 64 Ki characters of the body of an error response. Never throws: keeps an unknown form as text.
 */
export function parseErrorDetails(body: string): ErrorDetails {
  const beginning = body.slice(0, MAX_BODY);
  const text = asciiLine(beginning);
  if (text === '') return { form: 'empty' };
  let parsed: unknown;
  try {
    parsed = parseJson('body', beginning);
  } catch {
    // Proxies and web servers answer with their own pages.
    const words = asciiLine(textOfPage(asciiLine(beginning, MAX_BODY)));
    return { form: 'text', message: words === '' ? text : words };
  }
  const members = membersOf(parsed);
  const nested = membersOf(members.get('error'));
  if (nested.size > 0) return { form: 'nested', ...errorDetails(nested) };
  if (members.has('ErrorType') || members.has('TraceId')) {
    return {
      form: 'device-registration',
      ...texts(members, { code: 'ErrorType', message: 'Message', traceId: 'TraceId', time: 'Time' }),
    };
  }
  if (typeof members.get('error') === 'string') return { form: 'oauth', ...oauthError(members) };
  if (members.has('code') || members.has('message')) return { form: 'error-details', ...errorDetails(members) };
  return { form: 'json', message: text };
}

/** Begin, in lower case, and end of the invisible parts of a page. */
const UNSEEN: readonly (readonly [begin: string, end: string])[] = [
  ['<!--', '--'],
  ['<script', '</script'],
  ['<style', '</style'],
  ['<', ''],
];

/**
 * The text of an ASCII page, with a blank for each invisible part, up to a part that does not end. Takes linear time.
 */
function textOfPage(page: string): string {
  const small = page.toLowerCase();
  let text = '';
  let at = 0;
  for (let tag = page.indexOf('<'); tag >= 0; tag = page.indexOf('<', at)) {
    const [begin, end] = UNSEEN.find(([begin]) => small.startsWith(begin, tag)) ?? ['<', ''];
    const last = small.indexOf(end, tag + begin.length);
    const close = last < 0 ? -1 : page.indexOf('>', last);
    if (close < 0) break;
    text += `${page.slice(at, tag)} `;
    at = close + 1;
  }
  return text + page.slice(at);
}

const errorDetails = (members: Members) => ({
  // As Microsoft Graph writes it.
  ...texts(membersOf(members.get('innerError')), {
    clientRequestId: 'client-request-id',
    traceId: 'request-id',
    time: 'date',
  }),
  ...texts(members, {
    code: 'code',
    message: 'message',
    response: 'response',
    target: 'target',
    clientRequestId: 'clientrequestid',
    time: 'time',
    // As Entra ID's registration service writes it.
    subcode: 'subcode',
    operation: 'operation',
    traceId: 'requestId',
  }),
});

function oauthError(members: Members) {
  const found = texts(members, {
    code: 'error',
    message: 'error_description',
    clientRequestId: 'correlation_id',
    traceId: 'trace_id',
    time: 'timestamp',
  });
  const listed = members.get('error_codes');
  const named = [...(found.message ?? '').matchAll(/\bAADSTS(\d{1,9})\b/g)].map(([, number]) => Number(number));
  const numbers = Array.isArray(listed) ? listed.filter((code): code is number => Number.isSafeInteger(code)) : [];
  const errorCodes = [...new Set([...numbers, ...named])];
  return { ...found, ...(errorCodes.length > 0 && { errorCodes }) };
}

function membersOf(value: unknown): Members {
  return new Map(isJsonObject(value) ? Object.entries(value) : []);
}

/** The members that are numbers or text, which an empty text is not, under our names. */
function texts<Name extends string>(members: Members, names: Readonly<Record<Name, string>>) {
  const found: Partial<Record<Name, string>> = {};
  for (const ours in names) {
    const value = members.get(names[ours]);
    const text = typeof value === 'string' || typeof value === 'number' ? asciiLine(`${value}`) : '';
    if (text !== '') found[ours] = text;
  }
  return found;
}

/** The beginning of an external text, in one line of ASCII. */
export function asciiLine(text: string, length: number = MAX_TEXT): string {
  return text
    .slice(0, length)
    .replace(/[^!-~]+/g, ' ')
    .trim();
}
