import { checkObject, utf8 } from '../../bytes.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { requestInvalid } from '../../formats/x509/in-request.ts';
import { JsonMembers } from '../../json.ts';
import { checkMembers } from '../../known-members.ts';
import { buildJws, parseJws, type SigningKey, verifyJws } from '../services/jws.ts';
import { computeKeyIdText } from './cng-blob.ts';
import { encodePublicBlob } from './key-registration.ts';

/** The claims of a sign-in assertion of a registered key. MS-OAPXBC 3.2.5.1.2.1. */
export interface NgcAssertion {
  /** `iss`: the user principal name. */
  readonly issuer: string;
  /** `aud`: `common` or the tenant; for AD FS the identifier of the issuer. */
  readonly audience: string;
  /** `iat`, in seconds since 1970. */
  readonly issuedAt: number;
  /** `exp`, in seconds since 1970. */
  readonly expires: number;
  /** `request_nonce`: the Nonce of the service's response to `grant_type=srv_challenge`. */
  readonly nonce: string;
  /** Default `openid aza ugs`. */
  readonly scope?: string;
}

/** Expectations of {@link findNgcAssertionProblem}. */
export interface NgcExpectations {
  readonly publicKey: PublicKey;
  readonly nonce: string;
  /** The time of the check, in seconds since 1970. */
  readonly now: number;
}

const SCOPE = 'openid aza ugs';

/**
 * Signs the assertion with which a registered RSA key signs in: a JWT with RS256, its Key ID as `kid`, and `use` `ngc`.
 * @throws TypeError for a key that is not RSA; errors of the signer.
 *
 * @example
 * ```ts
 * import { buildNgcAssertion, findNgcAssertionProblem, parseNgcAssertion } from 'keyprov/formats/windows';
 * import type { SigningKey } from 'keyprov/formats/x509';
 *
 * declare const [key, nonce]: [SigningKey, string]; // an RSA key, the service's nonce
 * const now = Math.floor(Date.now() / 1000);
 * const claims = { issuer: 'ada@example.org', audience: 'common', issuedAt: now, expires: now + 300, nonce };
 * const jwt = await buildNgcAssertion(claims, { key });
 * console.log(findNgcAssertionProblem(jwt, { publicKey: key.publicKey, nonce, now }) ?? parseNgcAssertion(jwt).keyId);
 * ```
 */
export async function buildNgcAssertion(
  assertion: NgcAssertion,
  options: { readonly key: SigningKey; readonly signal?: AbortSignal | undefined },
): Promise<string> {
  const { key, signal } = checkMembers('buildNgcAssertion', options, 'key signal');
  checkObject(assertion, 'an assertion', 'issuer', 'audience', 'issuedAt', 'expires', 'nonce');
  checkObject(key, 'the key of buildNgcAssertion', 'publicKey', 'sign:function');
  const { issuer, audience, issuedAt, expires, nonce, scope = SCOPE } = assertion;
  const header = { typ: 'JWT', alg: 'RS256', kid: computeKeyIdText(encodePublicBlob(key.publicKey)), use: 'ngc' };
  const claims = { iss: issuer, aud: audience, iat: issuedAt, exp: expires, request_nonce: nonce, scope };
  return await buildJws({ key, algorithm: 'RS256', header, payload: utf8(JSON.stringify(claims)), signal });
}

/**
 * Reads an assertion, without verifying it. `keyId` is its Key ID (padded base64). Ignores unknown claims (RFC 7519,
 * 4).
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function parseNgcAssertion(jwt: string): Required<NgcAssertion> & { readonly keyId: string } {
  const { header, payload } = parseJws(jwt);
  const head = new JsonMembers('NGC assertion header', header, requestInvalid);
  for (const [name, value] of [
    ['alg', 'RS256'],
    ['use', 'ngc'],
  ] as const) {
    if (head.text(name) !== value) throw head.wrong(name, `not ${value}`);
  }
  const claims = JsonMembers.parse('NGC assertion', payload, requestInvalid);
  if (head.base64('kid').length !== 32) throw head.wrong('kid', 'not a Key ID');
  return {
    keyId: head.text('kid'),
    issuer: claims.text('iss'),
    audience: claims.text('aud'),
    issuedAt: claims.integer('iat'),
    expires: claims.integer('exp'),
    nonce: claims.text('request_nonce'),
    scope: claims.text('scope'),
  };
}

/**
 * Checks an assertion as a service does, MS-OAPXBC 3.2.5.1.2.3: Key ID, nonce, time, and signature.
 * @returns the problem; `undefined` if there is none. @throws KeyprovError `request-invalid` if it cannot be read.
 */
export function findNgcAssertionProblem(jwt: string, expected: NgcExpectations): string | undefined {
  const { publicKey, nonce, now } = checkMembers(
    'findNgcAssertionProblem',
    expected,
    'publicKey nonce:text now:number',
  );
  const assertion = parseNgcAssertion(jwt);
  if (assertion.keyId !== computeKeyIdText(encodePublicBlob(publicKey))) return 'it is for another key';
  if (assertion.nonce !== nonce) return 'it is for another nonce';
  if (assertion.issuedAt > now) return 'it was issued in the future';
  if (assertion.expires <= now) return 'it has expired';
  return verifyJws(parseJws(jwt), publicKey, 'RS256') ? undefined : 'its signature does not verify';
}
