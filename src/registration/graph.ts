import { checkText } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import { ServiceError } from '../errors/service-error.ts';
import { causedBy, isKeyprovError, type KeyprovError, rethrowAs } from '../errors.ts';
import { encodeGuid } from '../formats/windows/guid.ts';
import { KEY_CREDENTIAL_USAGE, type KeyCredential } from '../formats/windows/key-credential-link.ts';
import { inRequest, requestInvalid } from '../formats/x509/in-request.ts';
import { JsonMembers } from '../json.ts';
import { checkMembers } from '../known-members.ts';
import { type SignalOptions, unlessAborted } from '../signal.ts';
import { statusError } from './answer-error.ts';
import { bearer, exchange } from './exchange.ts';
import { getJson } from './json-service.ts';
import { isRegistrationId } from './peer-text.ts';
import type { ServiceOptions } from './service-message.ts';
import { baseUrl, pathSegment } from './service-url.ts';
import type { DirectoryReader } from './sync-status.ts';

/** Longest list, in pages, to stop at a server that always names one more. */
const MAX_PAGES = 100;

/** Options of all calls to Microsoft Graph. */
export interface GraphOptions extends Omit<ServiceOptions, 'headers'> {
  /**
   * Returns an access token for Microsoft Graph with permission for the call: to read users, or to read or remove their
   * authentication methods.
   */
  readonly token: () => Promise<string>;
  /** Default `https://graph.microsoft.com/`; national clouds have other URLs. */
  readonly graphUrl?: string | URL | undefined;
}

/** The members of {@link GraphOptions}, for `checkMembers`. */
export const GRAPH_MEMBERS = 'token:function graphUrl timeoutMs:number? fetch:function? signal';

/** Options of {@link graphReader}. */
export interface GraphReaderOptions extends GraphOptions {
  /** Called with the reason for each item left out. */
  readonly onIgnored?: ((reason: string) => void) | undefined;
}

/** A Windows Hello for Business key, with the member names of Microsoft Graph 1.0. */
export interface HelloMethod {
  /** Identifies the registration; not the Key ID of the directory. */
  readonly id: string;
  /** Name of the device. */
  readonly displayName: string;
  /** ISO 8601; like the other texts, empty if the service does not send it. */
  readonly createdDateTime: string;
  readonly keyStrength: string;
}

/**
 * Returns a reader of the user's `deviceKeys` in Entra ID, which uses the Microsoft Graph beta. They show that the key
 * is registered there, not that it is on premises. It leaves out malformed items.
 * @throws TypeError for a wrong option.
 */
export function graphReader(options: GraphReaderOptions): DirectoryReader {
  options = checkMembers('graphReader', options, 'onIgnored:function?', GRAPH_MEMBERS);
  const { onIgnored = () => {} } = options;
  return {
    place: 'entra',
    read: async (user, { signal = options.signal } = {}) => {
      const path = `beta/users/${pathSegment(user)}?$select=deviceKeys`;
      const answer = await ask(graphUrl(path, options), { ...options, signal });
      return listOf(answer, 'deviceKeys').flatMap((item) => {
        try {
          return [readDeviceKey(item)];
        } catch (error) {
          if (!isKeyprovError(error, 'request-invalid')) throw error;
          onIgnored(error.message);
          return [];
        }
      });
    },
  };
}

/**
 * Lists the user's Windows Hello for Business keys in Entra ID.
 * @throws TypeError for a user that is empty or of dots only. @throws ServiceError a `service-…` code, also for more
 * than 100 pages.
 */
export async function listHelloMethods(user: string, options: GraphOptions): Promise<HelloMethod[]> {
  options = checkMembers('listHelloMethods', options, GRAPH_MEMBERS);
  const methods: HelloMethod[] = [];
  let pages = 0;
  for (let url: URL | undefined = graphUrl(methodsOf(user), options); url !== undefined; ) {
    if (++pages > MAX_PAGES) throw understandingFailed(`more than ${MAX_PAGES} pages`);
    const answer = await ask(url, options);
    methods.push(...listOf(answer, 'value').map((item) => understood(() => readMethod(item))));
    url = nextPage(answer, url);
  }
  return methods;
}

/**
 * Removes a user's registered key from Entra ID. Synchronization then removes it from the on-premises directory.
 *
 * @param id the `id` from {@link listHelloMethods}; not the Key ID of the directory.
 * @returns `absent` if there is no such key, for example after a removal whose response was lost.
 * @throws TypeError for a user or an id that is empty or of dots only. @throws ServiceError a `service-…` code.
 */
export async function deleteHelloMethod(
  user: string,
  id: string,
  options: GraphOptions,
): Promise<'deleted' | 'absent'> {
  const { token, ...service } = checkMembers('deleteHelloMethod', options, GRAPH_MEMBERS);
  const url = graphUrl(`${methodsOf(user)}/${pathSegment(id)}`, options);
  const headers = await authorized(token, service);
  const answer = await exchange({ method: 'DELETE', url, headers }, service);
  if (answer.status === 404) return 'absent';
  if (!answer.ok) throw statusError(answer);
  return 'deleted';
}

/**
 * Reads the GUID of the device of a registered key from Microsoft Graph.
 *
 * @param id the `id` from {@link listHelloMethods}.
 * @returns undefined if the key has no device; `absent` if there is no such key.
 * @throws TypeError for a user or an id that is empty or of dots only. @throws ServiceError a `service-…` code.
 */
export async function readMethodDevice(
  user: string,
  id: string,
  options: GraphOptions,
): Promise<string | undefined | 'absent'> {
  options = checkMembers('readMethodDevice', options, GRAPH_MEMBERS);
  const url = graphUrl(`${methodsOf(user)}/${pathSegment(id)}?$expand=device`, options);
  let method: JsonMembers;
  try {
    method = await ask(url, options);
  } catch (error) {
    if (error instanceof ServiceError && error.status === 404) return 'absent';
    throw error;
  }
  return understood(() => {
    const device = method.has('device') ? method.members('device') : undefined;
    return device?.has('deviceId') ? device.text('deviceId') : undefined;
  });
}

function readDeviceKey(item: unknown): KeyCredential {
  const key = new JsonMembers('deviceKey', item, requestInvalid);
  const keyMaterial = key.base64('keyMaterial');
  const deviceId = key.text('deviceId');
  inRequest('deviceKey: deviceId', () => encodeGuid(deviceId));
  const usage = key.text('keyType') === 'NGC' ? KEY_CREDENTIAL_USAGE.NGC : KEY_CREDENTIAL_USAGE.OTHER;
  return { keyId: digest('sha256', keyMaterial), keyMaterial, usage, deviceId };
}

function readMethod(item: unknown): HelloMethod {
  const method = new JsonMembers('windowsHelloForBusinessAuthenticationMethod', item, requestInvalid);
  const text = (name: string) => (method.has(name) ? method.text(name) : '');
  const id = method.text('id');
  if (!isRegistrationId(id)) throw method.wrong('id', 'not an id');
  return {
    id,
    displayName: text('displayName'),
    createdDateTime: text('createdDateTime'),
    keyStrength: text('keyStrength'),
  };
}

const methodsOf = (user: string): string =>
  `v1.0/users/${pathSegment(user)}/authentication/windowsHelloForBusinessMethods`;

const graphUrl = (path: string, { graphUrl = 'https://graph.microsoft.com/' }: Pick<GraphOptions, 'graphUrl'>): URL =>
  new URL(path, baseUrl(graphUrl, 'graphUrl'));

async function authorized(ask: GraphOptions['token'], { signal }: SignalOptions): Promise<{ authorization: string }> {
  const token = await unlessAborted(ask, signal);
  checkText(token, 'the result of token');
  return { authorization: bearer(token) };
}

async function ask(url: URL, { token, ...options }: GraphOptions): Promise<JsonMembers> {
  const answer = await getJson(url, { ...options, headers: await authorized(token, options) });
  return understood(() => new JsonMembers('the response', answer, requestInvalid));
}

function listOf(answer: JsonMembers, name: string): readonly unknown[] {
  return understood(() => answer.list(name));
}

/** The next page. The token goes only to the server of the first page. */
function nextPage(answer: JsonMembers, { origin }: URL): URL | undefined {
  if (answer.value('@odata.nextLink') === undefined) return undefined;
  const link = understood(() => answer.text('@odata.nextLink'));
  const next = URL.canParse(link) ? new URL(link) : undefined;
  if (next?.origin !== origin) throw understandingFailed('the next page is on another server');
  return next;
}

function understood<T>(read: () => T): T {
  return rethrowAs(read, (cause) =>
    isKeyprovError(cause, 'request-invalid') ? understandingFailed(cause.message, cause) : undefined,
  );
}

function understandingFailed(problem: string, cause?: unknown): KeyprovError {
  return new ServiceError('service-answer', `Microsoft Graph: ${problem}`, causedBy(cause));
}
