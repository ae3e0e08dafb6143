import { randomBytes } from 'node:crypto';
import { isChallenge } from '../attestation/challenge.ts';
import { type Bytes, fromBase64, utf8, view } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { ServiceError } from '../errors/service-error.ts';
import { requestInvalid } from '../formats/x509/in-request.ts';
import { JsonMembers } from '../json.ts';
import { checkMembers } from '../known-members.ts';
import type { SignalOptions } from '../signal.ts';
import { DISCOVERY_MEMBERS, type DiscoverServicesOptions, discoverServices } from './discovery.ts';
import type { DiscoveredService } from './discovery-document.ts';
import { isEntraHost } from './entra-hosts.ts';
import type { GraphOptions } from './graph.ts';
import { getJson } from './json-service.ts';
import type { KeyRegistrar } from './key-registrar.ts';
import { type RegisterKeyOptions, registerKey } from './register-key.ts';
import { SERVICE_MEMBERS, type ServiceOptions } from './service-message.ts';
import { type RegisteredKeyId, takeBackKey } from './take-back.ts';

/** Options of {@link openKeyRegistrar}. */
export interface OpenKeyRegistrarOptions
  extends DiscoverServicesOptions,
    Pick<RegisterKeyOptions, 'apiVersionIn' | 'maxAttempts' | 'maxDelayMs' | 'lookup' | 'sleep'> {
  /** The server, such as `https://enterpriseregistration.windows.net` or an AD FS. */
  readonly url: string | URL;
  /**
   * Access to Microsoft Graph, through which keys are unregistered, after it has shown that they are ours. Absent: no
   * key can be unregistered.
   */
  readonly graph?: Pick<GraphOptions, 'token' | 'graphUrl'> | undefined;
}

/** The key registration of Entra ID, if its discovery does not name it. */
const ENTRA: DiscoveredService = {
  endpoint: new URL('https://enterpriseregistration.windows.net/EnrollmentServer/key/'),
  resource: 'urn:ms-drs:enterpriseregistration.windows.net',
  version: '1.0',
};

/**
 * Finds a server's key registration service with {@link discoverServices}, and returns a registrar for it.
 *
 * The challenge comes from the server's nonce service: the decoded base64 if that has 1 to 64 bytes, otherwise the
 * SHA-256 of the text. Without a nonce service, it is 32 random bytes, which the server cannot check.
 *
 * @throws as {@link discoverServices}; ServiceError `service-answer` if the server has no key registration service,
 * such as an AD FS before 2016; TypeError for an unknown option.
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
export async function openKeyRegistrar(given: OpenKeyRegistrarOptions): Promise<KeyRegistrar> {
  given = checkMembers(
    'openKeyRegistrar',
    given,
    'url graph apiVersionIn:=query|header? maxAttempts:number? maxDelayMs:number? lookup:function? sleep:function?',
    DISCOVERY_MEMBERS,
    SERVICE_MEMBERS,
  );
  const { url, graph, ...options } = given;
  if (graph !== undefined) checkMembers('graph of openKeyRegistrar', graph, 'token:function graphUrl');
  const { apiVersionIn, maxAttempts, maxDelayMs, lookup, sleep, ...service } = options;
  const services = await discoverServices(url, service);
  const isEntra = new URL(url).hostname === ENTRA.endpoint.hostname;
  const keys = services.keyProvisioning ?? (isEntra ? ENTRA : undefined);
  if (keys === undefined) {
    throw new ServiceError(
      'service-answer',
      `the discovery document of ${new URL(url).origin} has no key registration service`,
      {
        remedy: 'use AD FS 2016 or newer, or Entra ID',
      },
    );
  }
  const { nonce } = services;
  const sending = { timeoutMs: service.timeoutMs, fetch: service.fetch };
  return {
    address: keys.endpoint.href,
    resource: keys.resource,
    tenant: service.tenant ?? '',
    // Entra ID accepts the body of MS-KPP and no other member.
    profile: isEntraHost(keys.endpoint.hostname) ? 'strict' : undefined,
    challenge: ({ signal }) =>
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
    throw new ServiceError('service-answer', `GET ${url.origin}${url.pathname}: the response has no nonce`, { cause });
  }
  return challengeOf(value);
}

function challengeOf(nonce: string): Bytes {
  try {
    const bytes = fromBase64(nonce);
    if (isChallenge(bytes)) return bytes;
  } catch {
    // It is opaque, and need not be base64.
  }
  return digest('sha256', utf8(nonce));
}
