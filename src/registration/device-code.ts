import { MfaError } from '../errors/mfa-error.ts';
import { ServiceError } from '../errors/service-error.ts';
import { type DeviceCodeDemand, deviceCodeRequest } from './authorize-request.ts';
import { isEntraHost } from './entra-hosts.ts';
import { peerLine } from './peer-text.ts';
import { peerTime } from './peer-time.ts';
import type { ServiceOptions } from './service-message.ts';
import { isSafeUrl } from './service-url.ts';
import { type Sleep, sleepFor } from './sleep.ts';
import { type IssuedTokens, issuedTokens, postForm, readMembers, secondsIn } from './token-endpoint.ts';

/** What the user is shown. */
export interface DeviceCodePrompt {
  /** What to type in there: printable ASCII, as all texts here are printable. */
  readonly userCode: string;
  /** Where: https, or http at a loopback address. */
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
  /**
   * Hosts that the page for the user may be at, besides that of the token endpoint and wherever Entra ID names one. A
   * service could else show the user a code that it has got from another one. RFC 8628, 5.4.
   */
  readonly trustedHosts?: readonly string[] | undefined;
  readonly sleep?: Sleep | undefined;
  /** The clock. */
  readonly now?: (() => Date) | undefined;
}

const SLOW_DOWN_MS = 5000;
const DEFAULT_INTERVAL_MS = 5000;
const DEFAULT_LIFETIME_MS = 900_000;
/** Of a code or an address, which the user types. */
const MAX_TYPED = 300;
const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/**
 * Has the user sign in with MFA on another page or device, and waits for that: RFC 8628. For a token that names this
 * device, `fetch` must have the device certificate as client certificate.
 *
 * @throws TypeError for a token endpoint that is not of https, or whose path does not end with `/token`.
 * @throws ServiceError `mfa-failed` when the user refuses, or must do more than that; `mfa-timeout` when nobody signs in
 * in time; `service-untrusted` for a page at a host that is not trusted; else a `service-…` code. The reason of `signal` when that aborts.
 */
export async function authenticateWithDeviceCode(
  demand: DeviceCodeDemand,
  options: DeviceCodeOptions,
): Promise<IssuedTokens> {
  const { onCode, sleep = sleepFor, now = () => new Date(), trustedHosts = [], signal } = options;
  const { url, form } = deviceCodeRequest(demand);
  const answer = await postForm(url, form, [], options);
  const asked = now().getTime();
  const { deviceCode, interval, prompt } = readMembers(url, answer, (members) => {
    const address = members.has('verification_url') ? 'verification_url' : 'verification_uri';
    const lifetime = secondsIn(members, 'expires_in', 'device-code-lifetime') ?? DEFAULT_LIFETIME_MS;
    return {
      deviceCode: members.text('device_code'),
      interval: secondsIn(members, 'interval', 'device-code-interval') ?? DEFAULT_INTERVAL_MS,
      prompt: {
        userCode: members.read('user_code', asUserCode),
        verificationUrl: members.read(address, asPage),
        message: members.has('message') ? peerLine(members.text('message')) : '',
        expires: new Date(asked + lifetime),
      },
    };
  });
  const page = new URL(prompt.verificationUrl);
  if (page.hostname !== url.hostname && !isEntraHost(url.hostname) && !trustedHosts.includes(page.hostname)) {
    throw new ServiceError('service-untrusted', `POST ${url.origin}${url.pathname}: the page is at ${page.origin}`, {
      remedy: 'where that host is known, name it in trustedHosts',
    });
  }
  await onCode(prompt);

  const tokenUrl = new URL(demand.tokenEndpoint);
  const poll = new URLSearchParams({
    grant_type: GRANT,
    client_id: demand.clientId,
    resource: demand.resource,
    code: deviceCode, // Entra ID's first version
    device_code: deviceCode, // RFC 8628 and AD FS
  });
  let waitMs = interval;
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
      return peerTime('device-code-interval', waitMs + SLOW_DOWN_MS); // RFC 8628, 3.5
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
  return peerTime('device-code-interval', Math.max(waitMs * 2, error.retryAfterMs ?? 0)); // RFC 8628, 3.5
}

/** What a user can type. @throws TypeError for anything else. */
function asUserCode(text: string): string {
  if (text.length > MAX_TYPED || !/^[ -~]+$/.test(text)) throw new TypeError('not a code that can be typed');
  return text;
}

/** The page of the service, in ASCII. @throws TypeError for one without TLS, where anybody on the way could ask for anything. */
function asPage(text: string): string {
  const url = text.length <= MAX_TYPED && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !isSafeUrl(url) || url.username !== '' || url.password !== '') {
    throw new TypeError('not an address of https');
  }
  return url.href;
}

function timeOut(message: string, cause: unknown): MfaError {
  return new MfaError('mfa-timeout', message, { cause, remedy: 'let the user try again' });
}
