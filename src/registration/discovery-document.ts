import { isJsonObject, JsonMembers } from '../json.ts';
import { parseXml, type XmlElement, XmlError } from '../policy/xml.ts';

/** A service that discovery found. */
export interface DiscoveredService {
  readonly endpoint: URL;
  /** The `aud` of the token. From `discoverServices`, only a resource whose token may be sent to the endpoint. */
  readonly resource: string;
  /** The version of its protocol; `1.0` if the response has none. */
  readonly version: string;
}

/** The addresses of a tenant's or an AD FS's services. Services that the response does not list are absent. */
export interface DiscoveredServices {
  /** Registers keys. MS-DVRD 2.2.4.11. */
  readonly keyProvisioning?: DiscoveredService;
  /** Joins devices. */
  readonly deviceJoin?: DiscoveredService;
  /** Issues nonces, for device join and attestation; Entra ID only. */
  readonly nonce?: DiscoveredService;
  /** Issues tokens. */
  readonly authentication?: { readonly authorizeEndpoint?: URL; readonly tokenEndpoint?: URL };
  /** The complete response, including unknown members. Its addresses are not checked. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** Thrown for a text that is not a discovery response. */
export class DiscoveryFormError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'DiscoveryFormError';
  }
}

type Members = Readonly<Record<string, unknown>>;

/** Reads a discovery response in JSON or XML (MS-DVRD 4.2, 4.3). @throws DiscoveryFormError for anything else. */
export function readDiscoveryDocument(text: string, contentType: string): DiscoveredServices {
  const isXml = /[/+]xml\b/i.test(contentType) || (!/json/i.test(contentType) && text.trimStart().startsWith('<'));
  const raw = isXml ? parseXmlForm(text) : parseJsonForm(text);
  const service = (name: string, endpoint: string, resource: string) => readService(raw, name, endpoint, resource);
  const keyProvisioning = service('KeyProvisioningService', 'KeyProvisionEndpoint', 'KeyProvisionResourceId');
  const deviceJoin = service('DeviceJoinService', 'JoinEndpoint', 'JoinResourceId');
  const nonce = service('NonceService', 'Endpoint', 'ResourceId');
  const oauth = member(member(raw, 'AuthenticationService'), 'OAuth2');
  const authorizeEndpoint = oauth && address(oauth, 'AuthCodeEndpoint');
  const tokenEndpoint = oauth && address(oauth, 'TokenEndpoint');
  return {
    ...(keyProvisioning && { keyProvisioning }),
    ...(deviceJoin && { deviceJoin }),
    ...(nonce && { nonce }),
    ...((authorizeEndpoint ?? tokenEndpoint) && {
      authentication: { ...(authorizeEndpoint && { authorizeEndpoint }), ...(tokenEndpoint && { tokenEndpoint }) },
    }),
    raw,
  };
}

/** Every service of the result, with its name. */
export function servicesOf({ keyProvisioning, deviceJoin, nonce }: DiscoveredServices): [string, DiscoveredService][] {
  return named([
    ['KeyProvisioningService', keyProvisioning],
    ['DeviceJoinService', deviceJoin],
    ['NonceService', nonce],
  ]);
}

/** Every address of the result, with its name. */
export function endpointsOf(services: DiscoveredServices): [string, URL][] {
  return [
    ...servicesOf(services).map(([name, { endpoint }]): [string, URL] => [name, endpoint]),
    ...named([
      ['AuthCodeEndpoint', services.authentication?.authorizeEndpoint],
      ['TokenEndpoint', services.authentication?.tokenEndpoint],
    ]),
  ];
}

const named = <T>(all: readonly (readonly [string, T | undefined])[]): [string, T][] =>
  all.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));

/** Reads a service; undefined without an address or a resource, which make it useless. */
function readService(raw: Members, name: string, endpointName: string, resourceName: string) {
  const members = member(raw, name);
  const endpoint = members && address(members, endpointName);
  const resource = members && textOf(members, resourceName);
  if (members === undefined || endpoint === undefined || resource === undefined) return undefined;
  return { endpoint, resource, version: textOf(members, 'ServiceVersion') ?? '1.0' };
}

function member(of: Members | undefined, name: string): Members | undefined {
  const value = of?.[name] ?? undefined;
  if (value === undefined || isJsonObject(value)) return value;
  throw new DiscoveryFormError(`${name} is not an object`);
}

function textOf(members: Members, name: string): string | undefined {
  const value = members[name] ?? undefined;
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'string') return value;
  if (typeof value === 'number' && name === 'ServiceVersion') return value.toFixed(1); // xs:decimal
  throw new DiscoveryFormError(`${name} is not a string`);
}

function address(members: Members, name: string): URL | undefined {
  const text = textOf(members, name);
  if (text === undefined) return undefined;
  if (!URL.canParse(text)) throw new DiscoveryFormError(`${name} is not a URL`);
  return new URL(text);
}

function parseJsonForm(text: string): Members {
  return JsonMembers.parse('discovery', text, (_, problem) => new DiscoveryFormError(problem)).all();
}

/**
 * Reads XML into the members of the JSON form. MS-DVRD 6: the element is `Discovery`, or `DiscoverResponse` of that
 * type.
 */
function parseXmlForm(text: string): Members {
  let roots: readonly XmlElement[];
  try {
    roots = parseXml(text);
  } catch (error) {
    if (!(error instanceof XmlError)) throw error;
    throw new DiscoveryFormError(`not XML: ${error.message}`);
  }
  const [root, second] = roots;
  if (root === undefined || second !== undefined || !/^(Discovery|DiscoverResponse)$/.test(root.name)) {
    throw new DiscoveryFormError('the root element is not Discovery');
  }
  return Object.fromEntries(root.children.map((child) => [child.name, contentOf(child)]));
}

/** A list if it holds `anyURI`; null if it is empty, since the XML reader cannot tell the two apart. */
function contentOf({ text, children }: XmlElement): unknown {
  if (children.length === 0) return text.trim() === '' ? null : text.trim();
  if (children.every(({ name }) => name === 'anyURI')) return children.map(contentOf);
  return Object.fromEntries(children.map((child) => [child.name, contentOf(child)]));
}
