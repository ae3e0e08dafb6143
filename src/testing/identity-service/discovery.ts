import type { RouteAnswer, RouteRequest } from './http.ts';
import { headerOf } from './http.ts';
import { REGISTRATION_RESOURCE, type ServiceContext } from './service-context.ts';

/** `GET /{tenant}/Discover`: the response of Entra ID. */
export function discoverEntra(context: ServiceContext, { url, params }: RouteRequest): RouteAnswer {
  if (!url.searchParams.has('api-version')) return wrongVersion();
  const { tenantId } = context;
  const origin = context.origin();
  const service = (name: string, path: string, version: string) => ({
    [`${name}Endpoint`]: `${origin}${path}`,
    [`${name}ResourceId`]: REGISTRATION_RESOURCE,
    ServiceVersion: version,
  });
  return {
    status: 200,
    body: {
      DiscoveryService: { DiscoveryEndpoint: `${origin}/${params.tenant}/Discover`, ServiceVersion: '1.9' },
      AuthenticationService: { OAuth2: authentication(origin, tenantId) },
      IdentityProviderService: { Federated: false },
      DeviceJoinService: service('Join', '/EnrollmentServer/device/', '2.0'),
      KeyProvisioningService: service('KeyProvision', '/EnrollmentServer/key/', '1.0'),
      NonceService: {
        Endpoint: `${origin}/EnrollmentServer/nonce/${tenantId}/`,
        ResourceId: REGISTRATION_RESOURCE,
        ServiceVersion: '1.0',
      },
    },
  };
}

/** `GET /enrollmentserver/contract`: the response of AD FS. MS-DVRD 3.1.5.1; only version 1.2 has keys. */
export function discoverAdfs(context: ServiceContext, request: RouteRequest): RouteAnswer {
  const version = request.url.searchParams.get('api-version');
  if (version !== '1.0' && version !== '1.2') return wrongVersion();
  const origin = context.origin();
  const contract = {
    DeviceRegistrationService: {
      RegistrationEndpoint: `${origin}/EnrollmentServer/DeviceEnrollmentWebService.svc`,
      RegistrationResourceId: REGISTRATION_RESOURCE,
      ServiceVersion: '1.0',
    },
    AuthenticationService: { OAuth2: authentication(origin, context.tenantId) },
    IdentityProviderService: { PassiveAuthEndpoint: `${origin}/adfs/ls` },
    ...(version === '1.2' && {
      DeviceJoinService: {
        JoinEndpoint: `${origin}/EnrollmentServer/device/`,
        JoinResourceId: REGISTRATION_RESOURCE,
        ServiceVersion: '2.0',
      },
      KeyProvisioningService: {
        KeyProvisionEndpoint: `${origin}/EnrollmentServer/key/`,
        KeyProvisionResourceId: REGISTRATION_RESOURCE,
        ServiceVersion: '1.0',
      },
    }),
  };
  if (!/\bapplication\/xml\b|\btext\/xml\b/i.test(headerOf(request, 'accept') ?? '')) {
    return { status: 200, body: contract };
  }
  const body = `<?xml version="1.0" encoding="utf-8"?>\n<Discovery>${toXml(contract)}</Discovery>`;
  return { status: 200, headers: { 'content-type': 'application/xml; charset=utf-8' }, body };
}

/** `GET /EnrollmentServer/nonce/{tenant}/`: for an attestation or a join. The misspelling is Microsoft's. */
export function giveNonce(context: ServiceContext, { url, device, requestId }: RouteRequest): RouteAnswer {
  if (url.searchParams.get('api-version') !== '1.0') return wrongVersion();
  const time = context.now();
  return {
    status: 200,
    body: {
      ReponseStatus: { message: 'Successfully created a nonce', traceId: requestId, time: time.toISOString() },
      Value: context.state.nonces.give('registration', device?.deviceId, time, NONCE_LIFETIME_MS),
    },
  };
}

const NONCE_LIFETIME_MS = 300_000;

const authentication = (origin: string, tenantId: string) => ({
  AuthCodeEndpoint: `${origin}/${tenantId}/oauth2/authorize`,
  TokenEndpoint: `${origin}/${tenantId}/oauth2/token`,
});

const wrongVersion = (): RouteAnswer => ({
  status: 400,
  body: { code: 'InvalidApiVersion', message: 'the parameter api-version is missing or unknown' },
});

/** Writes members as elements. None of the values has a character to escape in XML. */
function toXml(value: object): string {
  return Object.entries(value)
    .map(([name, member]) => `<${name}>${typeof member === 'object' ? toXml(member) : String(member)}</${name}>`)
    .join('');
}
