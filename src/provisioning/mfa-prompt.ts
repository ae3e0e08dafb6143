import { ServiceError } from '../errors/service-error.ts';
import { NGC_CLAIMS } from '../registration/authorize-request.ts';
import { authenticateWithDeviceCode, type DeviceCodeOptions } from '../registration/device-code.ts';
import { type DiscoverServicesOptions, discoverServices } from '../registration/discovery.ts';
import type { SignalOptions } from '../signal.ts';
import type { MfaPrompt, MfaRequest } from './mfa-gate.ts';

/** Microsoft Authentication Broker, which device-bound sign-ins for registrations are made with. */
export const AUTHENTICATION_BROKER = '29d9ed98-a469-4536-ade2-f981bc1d605e';

/** Options of {@link createMfaPrompt}. */
export interface MfaPromptOptions
  extends Pick<DiscoverServicesOptions, 'tenant' | 'fetch' | 'trustedHosts' | 'trustedResources'>,
    Pick<DeviceCodeOptions, 'onCode'> {
  /** The server, as for `openKeyRegistrar`. */
  readonly url: string | URL;
  /** Default: that of Windows' own client. */
  readonly clientId?: string | undefined;
}

/**
 * A prompt for multi-factor authentication that needs no window: the user signs in with a code on a page of the service,
 * in any browser. For a token that names this device, `fetch` must have the device certificate.
 *
 * It rejects with what `discoverServices` and `authenticateWithDeviceCode` throw, and with ServiceError `service-answer`
 * if the server does not say where users sign in.
 */
export function createMfaPrompt(options: MfaPromptOptions): MfaPrompt {
  return async (request, { signal }) => ({
    status: 'passed',
    token: await tokenByCode(request, { ...options, signal }),
  });
}

/** What a token is asked for: the resource is the caller's word, never that of the server that gives the token. */
export type TokenDemand = Pick<MfaRequest, 'user' | 'resource'> & Partial<Pick<MfaRequest, 'maxAgeSeconds'>>;

/** A token for any resource, by the sign-in of {@link createMfaPrompt}, with the same errors. */
export async function tokenByCode(
  { user: loginHint, resource, maxAgeSeconds: mfaMaxAge }: TokenDemand,
  { url, clientId = AUTHENTICATION_BROKER, onCode, ...options }: MfaPromptOptions & SignalOptions,
): Promise<string> {
  const { authentication } = await discoverServices(url, options);
  const { tokenEndpoint } = authentication ?? {};
  if (tokenEndpoint === undefined) {
    throw new ServiceError('service-answer', `${new URL(url).origin} does not say where users sign in`, {
      remedy: 'give a token, or a prompt, of your own',
    });
  }
  const demand = { tokenEndpoint, clientId, resource, loginHint, mfaMaxAge, claims: NGC_CLAIMS };
  const { fetch, trustedHosts, signal } = options;
  return (await authenticateWithDeviceCode(demand, { fetch, trustedHosts, onCode, signal })).accessToken;
}
