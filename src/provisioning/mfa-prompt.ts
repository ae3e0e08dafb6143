import { ServiceError } from '../errors/service-error.ts';
import { checkMembers } from '../known-members.ts';
import { NGC_CLAIMS } from '../registration/authorize-request.ts';
import { authenticateWithDeviceCode, type DeviceCodeOptions } from '../registration/device-code.ts';
import { type DiscoverServicesOptions, discoverServices } from '../registration/discovery.ts';
import { absoluteUrl } from '../registration/service-url.ts';
import type { SignalOptions } from '../signal.ts';
import type { MfaPrompt, MfaRequest } from './mfa-gate.ts';

/** Client id of Microsoft Authentication Broker, the client of device-bound sign-ins for registrations. */
export const AUTHENTICATION_BROKER = '29d9ed98-a469-4536-ade2-f981bc1d605e';

/** Options of {@link createMfaPrompt}. */
export interface MfaPromptOptions
  extends Pick<DiscoverServicesOptions, 'tenant' | 'fetch' | 'trustedHosts' | 'trustedResources'>,
    Pick<DeviceCodeOptions, 'onCode'> {
  /** The server, as for `openKeyRegistrar`. */
  readonly url: string | URL;
  /** Default: the client id that Windows uses. */
  readonly clientId?: string | undefined;
}

/**
 * Creates a prompt for multi-factor authentication that needs no window: the user signs in with a code on the service's
 * page, in any browser. If the token must contain this device's ID, `fetch` needs the device certificate.
 *
 * The prompt rejects with the errors of `discoverServices` and `authenticateWithDeviceCode`, and with ServiceError
 * `service-answer` if the server's discovery document has no sign-in address.
 * @throws TypeError for an unknown option.
 */
export function createMfaPrompt(options: MfaPromptOptions): MfaPrompt {
  options = checkMembers(
    'createMfaPrompt',
    options,
    'url tenant:text? fetch:function? onCode:function clientId:text? trustedHosts:texts? trustedResources:texts?',
  );
  absoluteUrl(options.url, 'url');
  return async (request, { signal }) => ({
    status: 'passed',
    token: await tokenByCode(request, { ...options, signal }),
  });
}

/** What a token must be for. The resource comes from the caller, never from the server that issues the token. */
export type TokenDemand = Pick<MfaRequest, 'user' | 'resource'> & Partial<Pick<MfaRequest, 'maxAgeSeconds'>>;

/** Gets a token for any resource, by the sign-in of {@link createMfaPrompt}, with the same errors. */
export async function tokenByCode(
  { user: loginHint, resource, maxAgeSeconds: mfaMaxAge }: TokenDemand,
  { url, clientId = AUTHENTICATION_BROKER, onCode, ...options }: MfaPromptOptions & SignalOptions,
): Promise<string> {
  const { authentication } = await discoverServices(url, options);
  const { tokenEndpoint } = authentication ?? {};
  if (tokenEndpoint === undefined) {
    const problem = `the discovery document of ${new URL(url).origin} has no sign-in address`;
    throw new ServiceError('service-answer', problem, { remedy: 'provide your own token or prompt' });
  }
  const demand = { tokenEndpoint, clientId, resource, loginHint, mfaMaxAge, claims: NGC_CLAIMS };
  const { fetch, trustedHosts, signal } = options;
  return (await authenticateWithDeviceCode(demand, { fetch, trustedHosts, onCode, signal })).accessToken;
}
