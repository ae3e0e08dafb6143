import { accessAnswer, refreshedAnswer } from './access-answer.ts';
import { askDeviceCode } from './device-code.ts';
import { formOf, type RouteAnswer, type RouteRequest } from './http.ts';
import { oauthError } from './oauth-error.ts';
import type { ServiceContext } from './service-context.ts';
import { signIn } from './sign-in.ts';
import { isPassword } from './users.ts';

const SIGN_IN_NONCE_MS = 300_000;

/** `POST /{tenant}/oauth2/token`. */
export async function tokenEndpoint(context: ServiceContext, request: RouteRequest): Promise<RouteAnswer> {
  const form = formOf(request);
  switch (form.get('grant_type')) {
    case 'srv_challenge':
      return {
        status: 200,
        body: { Nonce: context.state.nonces.give('sign-in', undefined, context.now(), SIGN_IN_NONCE_MS) },
      };
    case 'device_code':
    case 'urn:ietf:params:oauth:grant-type:device_code':
      return await askDeviceCode(context, request, form);
    case 'urn:ietf:params:oauth:grant-type:jwt-bearer':
      return await signIn(context, form.get('request') ?? '');
    case 'refresh_token':
      return await refreshedAnswer(context, form);
    case 'password':
      return await withPassword(context, request, form);
    default:
      return oauthError(
        { error: 'unsupported_grant_type', description: 'this grant_type is unknown', aadsts: 70003 },
        context.now(),
      );
  }
}

/** Tokens for the first factor only, to join a device or to ask the Graph look-alike. */
async function withPassword(
  context: ServiceContext,
  { device }: RouteRequest,
  form: URLSearchParams,
): Promise<RouteAnswer> {
  const user = context.users.find(form.get('username') ?? '');
  if (user === undefined || !isPassword(user, form.get('password') ?? '')) {
    const description = 'Error validating credentials due to invalid username or password.';
    return oauthError({ error: 'invalid_grant', description, aadsts: 50126 }, context.now());
  }
  if (form.has('amr_values')) {
    const description = 'Due to a configuration change, you must use multi-factor authentication.';
    return oauthError({ error: 'interaction_required', description, aadsts: 50076 }, context.now());
  }
  return await accessAnswer(context, {
    ...{ user, amr: ['pwd'], authTime: context.now(), device },
    resource: form.get('resource') ?? '',
    clientId: form.get('client_id') ?? undefined,
  });
}
