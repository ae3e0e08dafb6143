import { MfaError } from '../errors/mfa-error.ts';
import { ServiceError } from '../errors/service-error.ts';
import { checkMembers } from '../known-members.ts';
import { unlessAborted } from '../signal.ts';
import { type DeviceCodeDemand, deviceCodeRequest } from './authorize-request.ts';
import { isEntraHost } from './entra-hosts.ts';
import { peerLine } from './peer-text.ts';
import { peerTime } from './peer-time.ts';
import { SERVICE_MEMBERS, type ServiceOptions } from './service-message.ts';
import { absoluteUrl, isSafeUrl, isTrustedAddress, trustRemedy } from './service-url.ts';
import { type Sleep, sleepFor } from './sleep.ts';
import { type IssuedTokens, issuedTokens, postForm, secondsIn } from './token-endpoint.ts';

/** The code and the page to show to the user. */
export interface DeviceCodePrompt {
  /** The code to type in, in printable ASCII. */
  readonly userCode: string;
  /** The page: https, or http at a loopback address. */
  readonly verificationUrl: string;
  /** The service's message with both, in printable text; empty if it sends none. */
  readonly message: string;
  /** When the code expires, by our clock. */
  readonly expires: Date;
}

/** Options of {@link authenticateWithDeviceCode}. */
export interface DeviceCodeOptions extends ServiceOptions {
  /** Shows the code to the user. An error ends the sign-in. */
  readonly onCode: (prompt: DeviceCodePrompt) => void | Promise<void>;
  /**
   * Further hosts allowed for the page, besides the token endpoint's host and, for Entra ID, any host that it gives.
   * Other hosts are refused: a service could otherwise show the user a code that it got from another service. RFC 8628,
   * 5.4.
   */
  readonly trustedHosts?: readonly string[] | undefined;
  readonly sleep?: Sleep | undefined;
  /** The clock. */
  readonly now?: (() => Date) | undefined;
}

const SLOW_DOWN_MS = 5000;
const DEFAULT_INTERVAL_MS = 5000;
const DEFAULT_LIFETIME_MS = 900_000;
/** Longest code or address that a user types, in characters. */
const MAX_TYPED = 300;
const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';

/**
 * Has the user sign in with MFA on another page or device, and waits for that. RFC 8628. If the token must contain this
 * device's ID, `fetch` needs the device certificate as its client certificate.
 *
 * @throws TypeError for a token endpoint without https, or whose path does not end with `/token`.
 * @throws MfaError `mfa-failed` if the user refuses, or the service demands more; `mfa-timeout` if nobody signs in in
 * time.
 * @throws ServiceError `service-untrusted` for a page at an untrusted host; else a `service-…` code. The reason of
 * `signal` when it aborts.
 */
export async function authenticateWithDeviceCode(
  demand: DeviceCodeDemand,
  options: DeviceCodeOptions,
): Promise<IssuedTokens> {
  options = checkMembers(
    'authenticateWithDeviceCode',
    options,
    'onCode:function trustedHosts:texts? sleep:function? now:function?',
    SERVICE_MEMBERS,
  );
  const { onCode, sleep = sleepFor, now = () => new Date(), trustedHosts = [], signal } = options;
  const { url, form } = deviceCodeRequest(demand);
  const { deviceCode, interval, prompt } = await postForm(url, form, [], options, (members) => {
    const address = members.has('verification_url') ? 'verification_url' : 'verification_uri';
    const lifetime = secondsIn(members, 'expires_in', 'device-code-lifetime') ?? DEFAULT_LIFETIME_MS;
    return {
      deviceCode: members.text('device_code'),
      interval: secondsIn(members, 'interval', 'device-code-interval') ?? DEFAULT_INTERVAL_MS,
      prompt: {
        userCode: members.read('user_code', asUserCode),
        verificationUrl: members.read(address, asPage),
        message: members.has('message') ? peerLine(members.text('message')) : '',
        expires: new Date(now().getTime() + lifetime),
      },
    };
  });
  const page = new URL(prompt.verificationUrl);
  if (!isEntraHost(url.hostname) && !isTrustedAddress(page, url, trustedHosts)) {
    throw new ServiceError(
      'service-untrusted',
      `POST ${url.origin}${url.pathname}: the sign-in page is at ${page.origin}`,
      {
        remedy: trustRemedy(page),
      },
    );
  }
  await unlessAborted(async () => onCode(prompt), signal);

  const tokenUrl = absoluteUrl(demand.tokenEndpoint, 'tokenEndpoint');
  const poll = new URLSearchParams({
    grant_type: GRANT,
    client_id: demand.clientId,
    resource: demand.resource,
    code: deviceCode, // version 1 of Entra ID
    device_code: deviceCode, // RFC 8628 and AD FS
  });
  let waitMs = interval;
  let problem: unknown;
  while (now().getTime() + waitMs < prompt.expires.getTime()) {
    await unlessAborted(() => sleep(waitMs, { signal }), signal);
    try {
      return await postForm(tokenUrl, poll, [deviceCode], options, (members) => issuedTokens(members, now()));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      problem = error;
      waitMs = nextWait(error, waitMs);
    }
  }
  throw timeOut('nobody signed in with the code in time', problem);
}

/** How long to wait before the next poll. @throws the error that ends the sign-in. */
function nextWait(error: ServiceError, waitMs: number): number {
  switch (error.details?.code) {
    case 'authorization_pending':
      return waitMs;
    case 'slow_down':
      return peerTime('device-code-interval', waitMs + SLOW_DOWN_MS); // RFC 8628, 3.5
    case 'expired_token':
    case 'code_expired':
      throw timeOut('the code expired before the user signed in', error);
    case 'access_denied':
    case 'authorization_declined':
      throw new MfaError('mfa-failed', 'the user or a service policy refused the sign-in', {
        cause: error,
        remedy: 'have the user try again',
      });
  }
  if (error.retry !== 'backoff') throw error;
  return peerTime('device-code-interval', Math.max(waitMs * 2, error.retryAfterMs ?? 0)); // RFC 8628, 3.5
}

/** Checks that a user can type the code. @throws TypeError if not. */
function asUserCode(text: string): string {
  if (text.length > MAX_TYPED || !/^[ -~]+$/.test(text)) throw new TypeError('not a code that a user can type');
  return text;
}

/**
 * The page of the service, in ASCII.
 * @throws TypeError without TLS: anyone on the network could then ask for anything.
 */
function asPage(text: string): string {
  const url = text.length <= MAX_TYPED && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !isSafeUrl(url) || url.username !== '' || url.password !== '') {
    throw new TypeError('not an https address');
  }
  return url.href;
}

function timeOut(message: string, cause: unknown): MfaError {
  return new MfaError('mfa-timeout', message, { cause, remedy: 'have the user try again' });
}
