import { createPublicKey, type KeyObject, randomUUID } from 'node:crypto';
import { toBase64Url, view } from '../../bytes.ts';
import { digest } from '../../crypto/kdf.ts';
import { loadPackage } from '../../registration/load-package.ts';

/**
 * Use of a token: to access a resource, to learn who has signed in, or to get other tokens. The audience does not tell
 * them apart, since an id token's audience is the client id that the client names. RFC 8725, 3.11 and 3.12.
 */
type TokenUse = 'access' | 'id' | 'refresh';

/** Content of a token. */
interface TokenContent {
  readonly use: TokenUse;
  readonly audience: string;
  readonly upn: string;
  /** GUID of the user. */
  readonly userId: string;
  /** How the user signed in: `pwd`, `mfa`, `ngcmfa`, `rsa`. */
  readonly amr: readonly string[];
  /** When the user signed in. */
  readonly authTime: Date;
  /** The device to which the token is bound. */
  readonly deviceId?: string | undefined;
  readonly clientId?: string | undefined;
}

/** The claims of a verified token. */
export type Claims = Readonly<Record<string, unknown>>;

/** Issues and verifies tokens: JWTs with RS256. */
export interface TokenIssuer {
  /** Lifetime of an access token in seconds. */
  readonly lifetimeS: number;
  /** Issues a token for `lifetimeS` seconds; default {@link TokenIssuer.lifetimeS}. */
  issue(content: TokenContent, lifetimeS?: number): Promise<string>;
  /** Verifies that this issuer made a token for that use. Returns its claims, or the problem. */
  verify(jwt: string, use: TokenUse, audiences: readonly string[]): Promise<Claims | string>;
  /** The public keys as JSON Web Key Set. RFC 7517, 5. */
  keySet(): Promise<object>;
}

/** Options of {@link createTokenIssuer}. */
export interface TokenIssuerOptions {
  readonly key: KeyObject;
  readonly issuer: () => string;
  readonly tenantId: string;
  readonly now: () => Date;
}

const LIFETIME_S = 3600;

/** @throws KeyprovError `library-missing` without the package jose. */
export async function createTokenIssuer({ key, issuer, tenantId, now }: TokenIssuerOptions): Promise<TokenIssuer> {
  const jose = await loadPackage('jose', () => import('jose'));
  const publicKey = createPublicKey(key);
  const kid = toBase64Url(digest('sha256', view(publicKey.export({ type: 'spki', format: 'der' }))));
  const seconds = (date: Date) => Math.floor(date.getTime() / 1000);
  return {
    lifetimeS: LIFETIME_S,
    issue: async ({ use, audience, upn, userId, amr, authTime, deviceId, clientId }, lifetimeS = LIFETIME_S) =>
      await new jose.SignJWT({
        ver: '1.0',
        token_use: use,
        tid: tenantId,
        oid: userId,
        upn,
        amr: [...amr],
        auth_time: seconds(authTime),
        ...(deviceId !== undefined && { deviceid: deviceId }),
        ...(clientId !== undefined && { appid: clientId }),
      })
        .setProtectedHeader({ typ: 'JWT', alg: 'RS256', kid })
        .setIssuer(issuer())
        .setAudience(audience)
        .setSubject(userId)
        .setJti(randomUUID())
        .setIssuedAt(seconds(now()))
        .setNotBefore(seconds(now()))
        .setExpirationTime(seconds(now()) + lifetimeS)
        .sign(key),
    verify: async (jwt, use, audiences) => {
      try {
        const { payload } = await jose.jwtVerify(jwt, publicKey, {
          issuer: issuer(),
          audience: [...audiences],
          algorithms: ['RS256'],
          requiredClaims: ['exp', 'nbf', 'token_use'],
          currentDate: now(),
        });
        return payload.token_use === use ? payload : `the token's use is ${payload.token_use}, not ${use}`;
      } catch (error) {
        if (error instanceof jose.errors.JOSEError) return `${error.code}: ${error.message}`;
        throw error;
      }
    },
    keySet: async () => ({ keys: [{ ...(await jose.exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' }] }),
  };
}
