import { MfaError } from '../errors/mfa-error.ts';
import { ServiceError } from '../errors/service-error.ts';
import { type DeviceCodeDemand, deviceCodeRequest } from './authorize-request.ts';
import type { ServiceOptions } from './service-message.ts';
import { type Sleep, sleepFor } from './sleep.ts';
import { type IssuedTokens, issuedTokens, postForm, readMembers, seconds } from './token-endpoint.ts';

/** What the user is shown. */
export interface DeviceCodePrompt {
  /** What to type in there. */
  readonly userCode: string;
  /** Where. */
  readonly verificationUrl: string;
  /** Both in a sentence of the service; empty where it sends none. */
  readonly message: string;
  /** Until when, by our clock. */
  readonly expires: Date;
}

/** Options of {@link authenticateWithDeviceCode}. */
export interface DeviceCodeOptions extends ServiceOptions {
  /** Shows the code to the user. What it throws ends the sign-in. */
  readonly onCode: (prompt: DeviceCodePrompt) => void | Promise<void>;
  readonly sleep?: Sleep | undefined;
  /** The clock. */
  readonly now?: (() => Date) | undefined;
}

const SLOW_DOWN_MS = 5000;
const DEFAULT_INTERVAL_S = 5;
const DEFAULT_LIFETIME_S = 900;
const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/**
 * Has the user sign in with MFA on another page or device, and waits for that: RFC 8628. For a token that names this
 * device, `fetch` must have the device certificate as client certificate.
 *
 * @throws TypeError for a token endpoint that is not of https, or whose path does not end with `/token`.
 * @throws ServiceError `mfa-failed` when the user refuses, or must do more than that; `mfa-timeout` when nobody signs in
 * in time; else a `service-…` code. The reason of `signal` when that aborts.
 */
export async function authenticateWithDeviceCode(
  demand: DeviceCodeDemand,
  options: DeviceCodeOptions,
): Promise<IssuedTokens> {
  const { onCode, sleep = sleepFor, now = () => new Date(), signal } = options;
  const { url, form } = deviceCodeRequest(demand);
  const answer = await postForm(url, form, [], options);
  const asked = now().getTime();
  const { deviceCode, interval, prompt } = readMembers(url, answer, (members) => {
    const address = members.has('verification_url') ? 'verification_url' : 'verification_uri';
    const lifetime = seconds(members, 'expires_in') ?? DEFAULT_LIFETIME_S;
    return {
      deviceCode: members.text('device_code'),
      interval: seconds(members, 'interval') ?? DEFAULT_INTERVAL_S,
      prompt: {
        userCode: members.text('user_code'),
        verificationUrl: members.text(address),
        message: members.has('message') ? members.text('message') : '',
        expires: new Date(asked + lifetime * 1000),
      },
    };
  });
  await onCode(prompt);

  const tokenUrl = new URL(demand.tokenEndpoint);
  const poll = new URLSearchParams({
    grant_type: GRANT,
    client_id: demand.clientId,
    resource: demand.resource,
    code: deviceCode, // Entra ID's first version
    device_code: deviceCode, // RFC 8628 and AD FS
  });
  let waitMs = interval * 1000;
  let problem: unknown;
  while (now().getTime() + waitMs < prompt.expires.getTime()) {
    await sleep(waitMs, { signal });
    try {
      const tokens = await postForm(tokenUrl, poll, [deviceCode], options);
      return readMembers(tokenUrl, tokens, (members) => issuedTokens(members, now()));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      problem = error;
      waitMs = nextWait(error, waitMs);
    }
  }
  throw timeOut('nobody signed in with the code in time', problem);
}

/** How long to wait before the next look. @throws what ends the sign-in. */
function nextWait(error: ServiceError, waitMs: number): number {
  switch (error.details?.code) {
    case 'authorization_pending':
      return waitMs;
    case 'slow_down':
      return waitMs + SLOW_DOWN_MS;
    case 'expired_token':
    case 'code_expired':
      throw timeOut('the code has expired before somebody signed in', error);
    case 'access_denied':
    case 'authorization_declined':
      throw new MfaError('mfa-failed', 'the sign-in was refused by the user, or by the rules of the service', {
        cause: error,
        remedy: 'let the user try again',
      });
  }
  if (error.retry !== 'backoff') throw error;
  return Math.max(waitMs * 2, error.retryAfterMs ?? 0); // RFC 8628, 3.5
}

function timeOut(message: string, cause: unknown): MfaError {
  return new MfaError('mfa-timeout', message, { cause, remedy: 'let the user try again' });
}
