import { randomBytes } from 'node:crypto';
import { isChallenge } from '../attestation/challenge.ts';
import { type Bytes, fromBase64, utf8, view } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { ServiceError } from '../errors/service-error.ts';
import { requestInvalid } from '../formats/x509/in-request.ts';
import { JsonMembers } from '../json.ts';
import type { SignalOptions } from '../signal.ts';
import { type DiscoverServicesOptions, discoverServices } from './discovery.ts';
import type { DiscoveredService } from './discovery-document.ts';
import { isEntraHost } from './entra-hosts.ts';
import type { GraphOptions } from './graph.ts';
import { getJson } from './json-service.ts';
import type { KeyRegistrar } from './key-registrar.ts';
import { type RegisterKeyOptions, registerKey } from './register-key.ts';
import type { ServiceOptions } from './service-message.ts';
import { type RegisteredKeyId, takeBackKey } from './take-back.ts';

/** Options of {@link openKeyRegistrar}. */
export interface OpenKeyRegistrarOptions
  extends DiscoverServicesOptions,
    Pick<RegisterKeyOptions, 'apiVersionIn' | 'maxAttempts' | 'maxDelayMs' | 'lookup' | 'sleep'> {
  /** The server, such as `https://enterpriseregistration.windows.net` or an AD FS. */
  readonly url: string | URL;
  /** Microsoft Graph, which takes keys back that it has shown to be ours. Absent: nothing can be unregistered. */
  readonly graph?: Pick<GraphOptions, 'token' | 'graphUrl'> | undefined;
}

/** Where keys are registered with Entra ID, when its discovery does not say. */
const ENTRA: DiscoveredService = {
  endpoint: new URL('https://enterpriseregistration.windows.net/EnrollmentServer/key/'),
  resource: 'urn:ms-drs:enterpriseregistration.windows.net',
  version: '1.0',
};

/**
 * Asks a server where keys are registered, by {@link discoverServices}, and gives the one who registers them there.
 *
 * Its challenge is what the server's nonce service gives: the bytes that its base64 stands for where they are 1 to 64,
 * else the SHA-256 of its text. Without a nonce service it is 32 random bytes, which nobody but us can check.
 *
 * @throws what {@link discoverServices} does; ServiceError or KeyprovError `service-answer` for a server that names no key
 * registration, such as an AD FS of before 2016.
 *
 * @example
 * ```ts
 * import { createServiceFetch, openKeyRegistrar } from 'keyprov/registration';
 *
 * await using fetch = createServiceFetch();
 * const registrar = await openKeyRegistrar({ url: 'https://sts.contoso.test', fetch });
 * console.log(registrar.address); // for `provision({ registrar, … })`
 * ```
 */
export async function openKeyRegistrar({ url, graph, ...options }: OpenKeyRegistrarOptions): Promise<KeyRegistrar> {
  const { apiVersionIn, maxAttempts, maxDelayMs, lookup, sleep, ...service } = options;
  const services = await discoverServices(url, service);
  const isEntra = new URL(url).hostname === ENTRA.endpoint.hostname;
  const keys = services.keyProvisioning ?? (isEntra ? ENTRA : undefined);
  if (keys === undefined) {
    throw new ServiceError('service-answer', `${new URL(url).origin} names no service that registers keys`, {
      remedy: 'use a server of 2016 or newer, or Entra ID',
    });
  }
  const { nonce } = services;
  const sending = { timeoutMs: service.timeoutMs, fetch: service.fetch };
  return {
    address: keys.endpoint.href,
    resource: keys.resource,
    tenant: service.tenant ?? '',
    // Entra ID takes the body of MS-KPP and no other member.
    profile: isEntraHost(keys.endpoint.hostname) ? 'strict' : undefined,
    challenge: ({ signal } = {}) =>
      nonce === undefined ? Promise.resolve(view(randomBytes(32))) : askNonce(nonce, { ...sending, signal }),
    register: (request, more = {}) =>
      registerKey(keys, request, { ...sending, apiVersionIn, maxAttempts, maxDelayMs, lookup, sleep, ...more }),
    ...(graph !== undefined && {
      unregister: (key: RegisteredKeyId, { signal }: SignalOptions = {}) =>
        takeBackKey(key, { ...sending, ...graph, signal }),
    }),
  };
}

async function askNonce({ endpoint, version }: DiscoveredService, options: ServiceOptions): Promise<Bytes> {
  const url = new URL(endpoint);
  url.searchParams.set('api-version', version);
  const answer = await getJson(url, options);
  let value: string;
  try {
    value = new JsonMembers('nonce', answer, requestInvalid).text('Value');
  } catch (cause) {
    throw new ServiceError('service-answer', `GET ${url.origin}${url.pathname}: the answer has no nonce`, { cause });
  }
  return challengeOf(value);
}

function challengeOf(nonce: string): Bytes {
  try {
    const bytes = fromBase64(nonce);
    if (isChallenge(bytes)) return bytes;
  } catch {
    // It is opaque, and need be no base64.
  }
  return digest('sha256', utf8(nonce));
}
