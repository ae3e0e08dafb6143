import { randomBytes, randomInt } from 'node:crypto';
import { accessAnswer } from './access-answer.ts';
import type { DeviceCodeRecord } from './device-code-table.ts';
import { formOf, type RouteAnswer, type RouteRequest } from './http.ts';
import { type OauthProblem, oauthError } from './oauth-error.ts';
import type { ServiceContext } from './service-context.ts';

const INTERVAL_S = 5;
const LIFETIME_S = 900;
/** Letters of user codes, without those that look alike, as in Entra ID. */
const LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789';

/**
 * `POST /{tenant}/oauth2/devicecode`. Asks the user of `login_hint` or `username`, else the user who joined the device
 * of the connection, else the only user.
 */
export function startDeviceCode(context: ServiceContext, request: RouteRequest): RouteAnswer {
  const form = formOf(request);
  const { pollIntervalS = INTERVAL_S, deviceCodeLifetimeS = LIFETIME_S } = context.options;
  const hint = form.get('login_hint') ?? form.get('username') ?? request.device?.upn;
  const user = hint === undefined ? context.users.only() : context.users.find(hint);
  if (user === undefined) {
    const description = 'The user account does not exist in the directory, or none was given.';
    return oauthError({ error: 'invalid_request', description, aadsts: 50034 }, context.now());
  }
  const code = randomBytes(32).toString('base64url');
  const userCode = Array.from({ length: 9 }, () => LETTERS[randomInt(LETTERS.length)]).join('');
  context.state.deviceCodes.add({
    ...{ code, userCode, upn: user.upn },
    resource: form.get('resource') ?? '',
    clientId: form.get('client_id') ?? '',
    methods: (form.get('amr_values') ?? '').split(' ').filter(Boolean),
    ...{ created: context.now(), answer: undefined, lastPoll: undefined },
  });
  const verification = `${context.origin()}/common/oauth2/deviceauth`;
  return {
    status: 200,
    body: {
      user_code: userCode,
      device_code: code,
      verification_url: verification,
      verification_uri: verification,
      expires_in: String(deviceCodeLifetimeS),
      interval: String(pollIntervalS),
      message: `To sign in, use a web browser to open the page ${verification} and enter the code ${userCode} to authenticate.`,
    },
  };
}

const PENDING: OauthProblem = {
  error: 'authorization_pending',
  description: 'OAuth 2.0 device flow error. Authorization is pending. Continue polling.',
  aadsts: 70016,
};

/** `grant_type=device_code`. RFC 8628, 3.4 and 3.5. A code gives a token once. */
export async function askDeviceCode(
  context: ServiceContext,
  { device }: RouteRequest,
  form: URLSearchParams,
): Promise<RouteAnswer> {
  const now = context.now();
  const { deviceCodes } = context.state;
  const record = deviceCodes.find(form.get('device_code') ?? form.get('code') ?? '');
  const user = record && context.users.find(record.upn);
  if (record === undefined || user === undefined || record.clientId !== (form.get('client_id') ?? '')) {
    const description = 'Invalid verification code or the client does not match.';
    return oauthError({ error: 'invalid_grant', description, aadsts: 70018 }, now);
  }
  const answer = context.mfa.answerTo(record);
  const problem = problemOf(record, answer, context);
  deviceCodes.setPolled(record.code, now);
  if (problem !== undefined || answer === undefined) {
    if (problem?.error === 'access_denied') deviceCodes.remove(record.code);
    return oauthError(problem ?? PENDING, now);
  }
  deviceCodes.remove(record.code);
  const amr = ['pwd', 'mfa', ...(record.methods.includes('ngcmfa') ? ['ngcmfa'] : [])];
  const { resource, clientId } = record;
  return await accessAnswer(context, { user, amr, authTime: answer.time, device, resource, clientId });
}

function problemOf(
  { created, lastPoll }: DeviceCodeRecord,
  answer: { readonly approved: boolean; readonly time: Date } | undefined,
  { now, options }: ServiceContext,
): OauthProblem | undefined {
  const { pollIntervalS = INTERVAL_S, deviceCodeLifetimeS = LIFETIME_S } = options;
  const expires = created.getTime() + deviceCodeLifetimeS * 1000;
  if (now().getTime() >= expires || (answer !== undefined && answer.time.getTime() >= expires)) {
    return { error: 'expired_token', description: 'The device code has expired.', aadsts: 70019 };
  }
  // A tenth less, since requests differ in their time on the way.
  if (lastPoll !== undefined && now().getTime() - lastPoll.getTime() < pollIntervalS * 900) {
    return { error: 'slow_down', description: `The interval between two requests is ${pollIntervalS} seconds.` };
  }
  if (answer?.approved === false) return { error: 'access_denied', description: 'The user has denied the request.' };
  return undefined;
}
