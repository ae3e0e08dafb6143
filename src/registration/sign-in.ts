import { checkObject, toBase64, utf8 } from '../bytes.ts';
import { buildJws, type JwsAlgorithm, type SigningKey } from '../formats/services/jws.ts';
import { buildNgcAssertion } from '../formats/windows/ngc-assertion.ts';
import { checkMembers } from '../known-members.ts';
import { isEntraHost } from './entra-hosts.ts';
import { SERVICE_MEMBERS, type ServiceOptions } from './service-message.ts';
import { absoluteUrl } from './service-url.ts';
import { postForm, secondsIn } from './token-endpoint.ts';

/** The user who signs in, and the key and device to use. */
export interface SignInRequest {
  /** `tokenEndpoint` of discovery. */
  readonly tokenEndpoint: URL | string;
  /** User principal name. */
  readonly user: string;
  /**
   * The assertion's `aud`: `common` or the tenant; for AD FS, the issuer's identifier. Default `common`, but only for
   * Entra ID hosts: another host could otherwise use the assertion to sign in to Entra ID.
   */
  readonly audience?: string | undefined;
  /** The registered key of the user, RSA. */
  readonly key: SigningKey;
  /** The key of the device, and its certificates in DER, its own first. */
  readonly device: { readonly key: SigningKey; readonly certificates: readonly Uint8Array[] };
  /** Default: the client id that Windows uses. */
  readonly clientId?: string | undefined;
  /** Default `openid aza ugs`. */
  readonly scope?: string | undefined;
}

/** Options of {@link signInWithKey}. */
export interface SignInOptions extends ServiceOptions {
  /** How long the assertion is valid, in seconds. Default 300. */
  readonly lifetime?: number | undefined;
  /** The clock. */
  readonly now?: (() => Date) | undefined;
}

/** The service's response to a sign-in with a key. MS-OAPXBC 3.2.5.1.2.2. */
export interface SignIn {
  /** `pop` */
  readonly tokenType: string;
  /** The primary refresh token. */
  readonly refreshToken: string;
  readonly refreshTokenExpires?: Date;
  readonly idToken?: string;
  /** The session key as JWE, encrypted to the transport key of the device, if the device has one. */
  readonly sessionKeyJwe?: string;
}

const CLIENT_ID = '38aa3b87-a06d-4817-b275-7a316988d93b';
const SCOPE = 'openid aza ugs';
const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

/**
 * Signs in with a registered key. Success proves that the key is registered, because the service looks it up and
 * verifies its signature over a fresh nonce. MS-OAPXBC 3.2.5.1.1 and 3.2.5.1.2.
 *
 * @throws TypeError for a token endpoint without https, a missing `audience` if the endpoint is not at Entra ID, a user
 * key that is not RSA, or a device without a certificate.
 * @throws MfaError `mfa-failed` if the service demands MFA.
 * @throws ServiceError `service-refused` if the service does not accept the key (`details.code` `invalid_grant`); else
 * a `service-…` code. Errors of the signers.
 */
export async function signInWithKey(request: SignInRequest, options: SignInOptions = {}): Promise<SignIn> {
  checkObject(request, 'the request for signInWithKey', 'tokenEndpoint', 'user', 'key', 'device');
  const members = 'tokenEndpoint user:text audience:text? key device clientId:text? scope:text?';
  request = checkMembers('the request for signInWithKey', request, members);
  options = checkMembers('signInWithKey', options, 'lifetime:number? now:function?', SERVICE_MEMBERS);
  const { user, key, device, clientId = CLIENT_ID, scope = SCOPE } = request;
  const { lifetime = 300, now = () => new Date(), signal } = options;
  if (device.certificates.length === 0) throw new TypeError('the device has no certificate');
  const url = absoluteUrl(request.tokenEndpoint, 'tokenEndpoint');
  const audience = request.audience ?? (isEntraHost(url.hostname) ? 'common' : undefined);
  if (audience === undefined) throw new TypeError(`the sign-in at ${url.origin} needs an audience`);
  const challenge = new URLSearchParams({ grant_type: 'srv_challenge' });
  const nonce = await postForm(url, challenge, [], options, (members) => members.text('Nonce'));

  const issuedAt = Math.floor(now().getTime() / 1000);
  const expires = issuedAt + lifetime;
  const assertion = await buildNgcAssertion(
    { issuer: user, audience, issuedAt, expires, nonce, scope },
    { key, signal },
  );
  const claims = {
    client_id: clientId,
    request_nonce: nonce,
    scope,
    group_sids: [],
    grant_type: GRANT,
    username: user,
    assertion,
  };
  const jwt = await buildJws({
    key: device.key,
    algorithm: algorithmOf(device.key),
    header: { typ: 'JWT', x5c: device.certificates.map(toBase64) },
    payload: utf8(JSON.stringify(claims)),
    signal,
  });
  const form = new URLSearchParams({ grant_type: GRANT, request: jwt });
  return await postForm(url, form, [jwt, assertion], options, (members) => {
    const lasts = secondsIn(members, 'refresh_token_expires_in', 'token-lifetime');
    return {
      tokenType: members.text('token_type'),
      refreshToken: members.text('refresh_token'),
      ...(lasts !== undefined && { refreshTokenExpires: new Date(now().getTime() + lasts) }),
      ...(members.has('id_token') && { idToken: members.text('id_token') }),
      ...(members.has('session_key_jwe') && { sessionKeyJwe: members.text('session_key_jwe') }),
    };
  });
}

function algorithmOf({ publicKey }: SigningKey): JwsAlgorithm {
  if (publicKey.kty === 'RSA') return 'RS256';
  if (publicKey.crv === 'P-256') return 'ES256';
  if (publicKey.crv === 'P-384') return 'ES384';
  throw new TypeError(`a ${publicKey.crv} key cannot sign this request`);
}
