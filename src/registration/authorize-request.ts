/** What a sign-in is asked for, at an endpoint of version 1: that of version 2 ignores `amr_values`. */
export interface SignInDemand {
  readonly clientId: string;
  /** What the token shall be for: `resource` of discovery. */
  readonly resource: string;
  /** `amr_values`: MFA that a key of Windows Hello does not satisfy. Default `ngcmfa`, its only value. MS-OAPX 2.2.3. */
  readonly amrValues?: 'ngcmfa' | undefined;
  /** Seconds since the MFA, at most. */
  readonly mfaMaxAge?: number | undefined;
  /** `claims`: what Entra ID may be asked for besides. See {@link NGC_CLAIMS}. */
  readonly claims?: string | undefined;
  /** User principal name. */
  readonly loginHint?: string | undefined;
}

/** What {@link authorizeUrl} needs. */
export interface AuthorizeDemand extends SignInDemand {
  /** `authorizeEndpoint` of discovery. */
  readonly endpoint: URL | string;
  readonly redirectUri: string;
  readonly prompt?: 'none' | 'login' | undefined;
  /** Comes back with the answer: what the caller then compares. */
  readonly state?: string | undefined;
  /** PKCE: base64url of the SHA-256 of the verifier. RFC 7636, 4.2. */
  readonly codeChallenge?: string | undefined;
}

/** What {@link deviceCodeRequest} needs. */
export interface DeviceCodeDemand extends SignInDemand {
  /** `tokenEndpoint` of discovery: the one for device codes is beside it. */
  readonly tokenEndpoint: URL | string;
}

/** As `claims`, demands the methods in the access token from Entra ID, also from its version 2. */
export const NGC_CLAIMS: string = '{"access_token":{"amr":{"values":["ngcmfa","mfa"]}}}';

/** Where the browser is sent to. The code that comes back is for the token endpoint. RFC 6749, 4.1.1. */
export function authorizeUrl({ endpoint, redirectUri, prompt, state, codeChallenge, ...demand }: AuthorizeDemand): URL {
  const url = new URL(endpoint);
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
 * The request for a device code: a form for POST. RFC 8628, 3.1, in the words of version 1.
 * @throws TypeError for a token endpoint whose path does not end with `/token`.
 */
export function deviceCodeRequest({ tokenEndpoint, ...demand }: DeviceCodeDemand): {
  readonly url: URL;
  readonly form: URLSearchParams;
} {
  const url = new URL(tokenEndpoint);
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
