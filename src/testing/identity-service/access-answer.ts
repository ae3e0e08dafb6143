import type { ServiceDevice } from './device-table.ts';
import type { RouteAnswer } from './http.ts';
import { oauthError } from './oauth-error.ts';
import { GRAPH_RESOURCE, REGISTRATION_RESOURCE, type ServiceContext } from './service-context.ts';
import type { ServiceUser } from './service-options.ts';
import { userIdOf } from './users.ts';

/** A successful sign-in. */
export interface SignedIn {
  readonly user: ServiceUser;
  readonly amr: readonly string[];
  /** When the user signed in. */
  readonly authTime: Date;
  /** The authenticated device. */
  readonly device: ServiceDevice | undefined;
  /** The resource that the token is for. */
  readonly resource: string;
  readonly clientId: string | undefined;
}

/** The response with an access token. RFC 6749, 5.1, in the form of Entra ID's version 1. */
export async function accessAnswer(context: ServiceContext, signedIn: SignedIn): Promise<RouteAnswer> {
  const { user, amr, authTime, device, clientId } = signedIn;
  const audience = audienceOf(context, signedIn.resource);
  if (audience === undefined) {
    const description = 'The resource principal was not found in the tenant.';
    return oauthError({ error: 'invalid_resource', description, aadsts: 500011 }, context.now());
  }
  const content = { upn: user.upn, userId: userIdOf(user), amr, authTime, deviceId: device?.deviceId, clientId };
  const expires = Math.floor(context.now().getTime() / 1000) + context.tokens.lifetimeS;
  return {
    status: 200,
    body: {
      token_type: 'Bearer',
      resource: audience,
      expires_in: String(context.tokens.lifetimeS),
      expires_on: String(expires),
      access_token: await context.tokens.issue({ ...content, use: 'access', audience }),
      id_token: await context.tokens.issue({ ...content, use: 'id', audience: clientId ?? audience }),
    },
  };
}

/** Audience of tokens for a resource; undefined for an unknown one. Empty: the registration service. */
function audienceOf(context: ServiceContext, resource: string): string | undefined {
  const name = resource.replace(/\/$/, '');
  if (name === '' || name === REGISTRATION_RESOURCE) return REGISTRATION_RESOURCE;
  return name === GRAPH_RESOURCE || name === `${context.origin()}/graph` ? GRAPH_RESOURCE : undefined;
}

/** Audience of primary refresh tokens. */
const REFRESH_AUDIENCE = 'urn:keyprov:refresh';
const REFRESH_LIFETIME_S = 14 * 86_400;

/**
 * The response to a sign-in with a key, including a refresh token of the device. MS-OAPXBC 3.2.5.1.2.2, without session
 * key.
 */
export async function primaryAnswer(context: ServiceContext, signedIn: SignedIn): Promise<RouteAnswer> {
  const { user, amr, authTime, device, clientId } = signedIn;
  const answer = await accessAnswer(context, signedIn);
  const refreshToken = await context.tokens.issue(
    {
      ...{ use: 'refresh' as const, audience: REFRESH_AUDIENCE, upn: user.upn, userId: userIdOf(user), amr, authTime },
      ...{ deviceId: device?.deviceId, clientId },
    },
    REFRESH_LIFETIME_S,
  );
  return {
    status: answer.status,
    body: {
      ...Object(answer.body),
      token_type: 'pop',
      refresh_token: refreshToken,
      refresh_token_expires_in: REFRESH_LIFETIME_S,
    },
  };
}

/**
 * `grant_type=refresh_token`: a token for another resource, while the device of the sign-in is enabled. RFC 6749, 6.
 */
export async function refreshedAnswer(context: ServiceContext, form: URLSearchParams): Promise<RouteAnswer> {
  const claims = await context.tokens.verify(form.get('refresh_token') ?? '', 'refresh', [REFRESH_AUDIENCE]);
  const good = typeof claims === 'string' ? undefined : claims;
  const user = context.users.find(String(good?.upn));
  const device = context.state.devices.find(String(good?.deviceid));
  if (good === undefined || user === undefined || device?.enabled !== true) {
    const description = 'The refresh token is not valid, or its user or device is not.';
    return oauthError({ error: 'invalid_grant', description, aadsts: 70000 }, context.now());
  }
  return await accessAnswer(context, {
    ...{ user, device },
    amr: Array.isArray(good.amr) ? good.amr.map(String) : [],
    authTime: new Date(Number(good.auth_time) * 1000),
    resource: form.get('resource') ?? '',
    clientId: form.get('client_id') ?? undefined,
  });
}
