import { checkMembers } from '../known-members.ts';
import { absoluteUrl } from './service-url.ts';
/** Requirements for a sign-in at a version 1 endpoint. Version 2 ignores `amr_values`. */
export interface SignInDemand {
  readonly clientId: string;
  /** The token's audience: `resource` from discovery. */
  readonly resource: string;
  /**
   * `amr_values`: demands MFA that a Windows Hello key does not satisfy. Default `ngcmfa`, the only value. MS-OAPX
   * 2.2.3.
   */
  readonly amrValues?: 'ngcmfa' | undefined;
  /** Maximum age of the MFA, in seconds. */
  readonly mfaMaxAge?: number | undefined;
  /** `claims`: further demands on Entra ID. See {@link NGC_CLAIMS}. */
  readonly claims?: string | undefined;
  /** User principal name. */
  readonly loginHint?: string | undefined;
}

/** The members of {@link SignInDemand}, for `checkMembers`. */
const DEMAND_MEMBERS = 'clientId:text resource:text amrValues:=ngcmfa? mfaMaxAge:number? claims:text? loginHint:text?';

/** Options of {@link authorizeUrl}. */
export interface AuthorizeDemand extends SignInDemand {
  /** `authorizeEndpoint` of discovery. */
  readonly endpoint: URL | string;
  readonly redirectUri: string;
  readonly prompt?: 'none' | 'login' | undefined;
  /** Returned with the response. Compare it. */
  readonly state?: string | undefined;
  /** PKCE: base64url of the SHA-256 of the verifier. RFC 7636, 4.2. */
  readonly codeChallenge?: string | undefined;
}

/** Options of {@link deviceCodeRequest}. */
export interface DeviceCodeDemand extends SignInDemand {
  /** `tokenEndpoint` of discovery. The endpoint for device codes is next to it. */
  readonly tokenEndpoint: URL | string;
}

/**
 * The value of `claims` that makes Entra ID, including version 2, put the authentication methods into the access token.
 */
export const NGC_CLAIMS: string = '{"access_token":{"amr":{"values":["ngcmfa","mfa"]}}}';

/**
 * Returns the URL to open in the browser. Send the code that it yields to the token endpoint. RFC 6749, 4.1.1.
 * @throws TypeError if the endpoint is not a URL, or for an unknown member.
 */
export function authorizeUrl(given: AuthorizeDemand): URL {
  given = checkMembers(
    'authorizeUrl',
    given,
    'endpoint redirectUri:text prompt:=none|login? state:text? codeChallenge:text?',
    DEMAND_MEMBERS,
  );
  const { endpoint, redirectUri, prompt, state, codeChallenge, ...demand } = given;
  const url = absoluteUrl(endpoint, 'endpoint');
  const parameters = {
    response_type: 'code',
    ...parametersOf(demand),
    redirect_uri: redirectUri,
    prompt,
    state,
    code_challenge: codeChallenge,
    code_challenge_method: codeChallenge && 'S256',
  };
  for (const [name, value] of entriesOf(parameters)) url.searchParams.set(name, value);
  return url;
}

/**
 * Builds the request for a device code, a form for POST. RFC 8628, 3.1, with the parameters of version 1.
 * @throws TypeError if the path of the token endpoint does not end with `/token`, or for an unknown member.
 */
export function deviceCodeRequest(given: DeviceCodeDemand): { readonly url: URL; readonly form: URLSearchParams } {
  const { tokenEndpoint, ...demand } = checkMembers('deviceCodeRequest', given, 'tokenEndpoint', DEMAND_MEMBERS);
  const url = absoluteUrl(tokenEndpoint, 'tokenEndpoint');
  if (!url.pathname.endsWith('/token')) throw new TypeError(`${url.origin}${url.pathname} does not end with /token`);
  url.pathname = url.pathname.replace(/token$/, 'devicecode');
  return { url, form: new URLSearchParams(entriesOf(parametersOf(demand))) };
}

const parametersOf = ({ clientId, resource, amrValues = 'ngcmfa', mfaMaxAge, claims, loginHint }: SignInDemand) => ({
  client_id: clientId,
  resource,
  amr_values: amrValues,
  mfa_max_age: mfaMaxAge?.toString(),
  claims,
  login_hint: loginHint,
});

function entriesOf(parameters: Readonly<Record<string, string | undefined>>): [string, string][] {
  return Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== undefined);
}
