import { attest, certify } from './attestation-ca.ts';
import { startDeviceCode } from './device-code.ts';
import { handleDeviceJoin } from './device-join.ts';
import { discoverAdfs, discoverEntra, giveNonce } from './discovery.ts';
import { deleteMethod, listMethods, readMethod, readUser } from './graph.ts';
import type { Handler, Route, RouteAnswer, RouteRequest } from './http.ts';
import { handleKeyRegistration } from './key-registration.ts';
import { oauthError } from './oauth-error.ts';
import type { ServiceContext } from './service-context.ts';
import { tokenEndpoint } from './token-endpoint.ts';

type Handle = (context: ServiceContext, request: RouteRequest) => RouteAnswer | Promise<RouteAnswer>;

const METHODS = '/graph/v1.0/users/{user}/authentication/windowsHelloForBusinessMethods';

/** All routes of the service. */
const ROUTES: readonly (readonly [method: string, path: string, handle: Handle])[] = [
  ['GET', '/{tenant}/Discover', discoverEntra],
  ['GET', '/EnrollmentServer/contract', discoverAdfs],
  ['GET', '/{tenant}/discovery/keys', ({ tokens }) => tokens.keySet().then((body) => ({ status: 200, body }))],
  ['GET', '/EnrollmentServer/nonce/{tenant}', giveNonce],
  ['POST', '/EnrollmentServer/device', handleDeviceJoin],
  ['POST', '/EnrollmentServer/key', handleKeyRegistration],
  ['POST', '/{tenant}/oauth2/devicecode', startDeviceCode],
  ['POST', '/{tenant}/oauth2/token', tokenEndpoint],
  ['POST', '/attestation/attest', attest],
  ['POST', '/attestation/secret', certify],
  ['GET', METHODS, listMethods],
  ['GET', `${METHODS}/{id}`, readMethod],
  ['DELETE', `${METHODS}/{id}`, deleteMethod],
  ['GET', '/graph/beta/users/{user}', readUser],
];

/** The routes with their context. */
export const routesOf = (context: ServiceContext): Route[] =>
  ROUTES.map(([method, path, handle]): Route => {
    const handler: Handler = (request) => {
      const { tenant } = request.params;
      return tenant === undefined || isTenant(context, tenant) ? handle(context, request) : noTenant(context);
    };
    return [method, path, handler];
  });

/** Whether the name is this tenant: its GUID, one of its domains, or `common`. */
const isTenant = ({ tenantId, users }: ServiceContext, name: string): boolean =>
  name === 'common' || name.toLowerCase() === tenantId.toLowerCase() || users.hasDomain(name);

const noTenant = ({ now }: ServiceContext): RouteAnswer =>
  oauthError({ error: 'invalid_request', description: 'Tenant not found.', aadsts: 90002 }, now());
