import { ServiceError } from '../errors/service-error.ts';
import { NGC_CLAIMS } from '../registration/authorize-request.ts';
import { authenticateWithDeviceCode, type DeviceCodeOptions } from '../registration/device-code.ts';
import { type DiscoverServicesOptions, discoverServices } from '../registration/discovery.ts';
import type { MfaPrompt } from './mfa-gate.ts';

/** Microsoft Authentication Broker, which device-bound sign-ins for registrations are made with. */
const AUTHENTICATION_BROKER = '29d9ed98-a469-4536-ade2-f981bc1d605e';

/** Options of {@link createMfaPrompt}. */
export interface MfaPromptOptions
  extends Pick<DiscoverServicesOptions, 'tenant' | 'fetch'>,
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
  const { url, tenant, fetch, onCode, clientId = AUTHENTICATION_BROKER } = options;
  return async ({ user: loginHint, resource, maxAgeSeconds: mfaMaxAge }, { signal }) => {
    const { authentication } = await discoverServices(url, { tenant, fetch, signal });
    const { tokenEndpoint } = authentication ?? {};
    if (tokenEndpoint === undefined) {
      throw new ServiceError('service-answer', `${new URL(url).origin} does not say where users sign in`, {
        remedy: 'give an MfaPrompt of your own',
      });
    }
    const demand = { tokenEndpoint, clientId, resource, loginHint, mfaMaxAge, claims: NGC_CLAIMS };
    const { accessToken: token } = await authenticateWithDeviceCode(demand, { fetch, onCode, signal });
    return { status: 'passed', token };
  };
}
