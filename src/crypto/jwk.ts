import { type Bytes, toBase64Url, utf8 } from '../bytes.ts';
import { KeyprovError } from '../errors.ts';
import { JsonMembers, type JsonRefusal, showJson } from '../json.ts';
import { type Curve, isCurve } from './curve.ts';
import { digest } from './kdf.ts';
import { checkPublicKey, type EcPublicKey, type PublicKey, type RsaPublicKey } from './public-key.ts';

/** A public key as a JSON Web Key (RFC 7517; RFC 7518, 6.2 and 6.3), with its required members only. */
export type PublicJwk =
  | { readonly kty: 'RSA'; readonly n: string; readonly e: string }
  | { readonly kty: 'EC'; readonly crv: Curve; readonly x: string; readonly y: string };

/** Members that only a private or symmetric key has. */
export const PRIVATE_JWK_MEMBERS: readonly string[] = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/**
 * The key as a JSON Web Key.
 *
 * @throws KeyprovError `key-invalid` for an invalid key.
 *
 * @example
 * ```ts
 * import { computeJwkThumbprint, decodeJwk, encodeJwk } from 'keyprov/formats/services';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const publicKey: PublicKey;
 * console.log(encodeJwk(publicKey).kty, computeJwkThumbprint(decodeJwk(encodeJwk(publicKey))).length); // such as RSA 32
 * ```
 */
export function encodeJwk(key: PublicKey): PublicJwk {
  checkPublicKey(key);
  return key.kty === 'RSA'
    ? { kty: 'RSA', n: toBase64Url(key.n), e: toBase64Url(key.e) }
    : { kty: 'EC', crv: key.crv, x: toBase64Url(key.x), y: toBase64Url(key.y) };
}

/**
 * Reads a JSON Web Key, parsed or as text. Ignores members that describe its use (RFC 7517, 4).
 * @throws KeyprovError `key-invalid` for anything but a public RSA, P-256, P-384 or P-521 key.
 */
export function decodeJwk(jwk: unknown): PublicKey {
  const members = JsonMembers.parse('JWK', jwk, invalid);
  const secret = PRIVATE_JWK_MEMBERS.find((name) => members.has(name));
  if (secret !== undefined) {
    throw members.wrong(secret, 'belongs to a private or symmetric key, but a public key is expected');
  }
  const key = members.value('kty') === 'RSA' ? readRsa(members) : readEc(members);
  checkPublicKey(key);
  return key;
}

/**
 * The JWK thumbprint of the key (RFC 7638): SHA-256, 32 bytes.
 * @throws KeyprovError `key-invalid` for an invalid key.
 */
export function computeJwkThumbprint(key: PublicKey): Bytes {
  const sorted = Object.fromEntries(Object.entries(encodeJwk(key)).sort(([a], [b]) => (a < b ? -1 : 1)));
  return digest('sha256', utf8(JSON.stringify(sorted)));
}

const invalid: JsonRefusal = (where, problem, cause) =>
  new KeyprovError('key-invalid', `${where}: ${problem}`, { cause });

function readRsa(members: JsonMembers): RsaPublicKey {
  return { kty: 'RSA', n: members.base64Url('n'), e: members.base64Url('e') };
}

function readEc(members: JsonMembers): EcPublicKey {
  const [kty, crv] = [members.value('kty'), members.value('crv')];
  if (kty !== 'EC' || !isCurve(crv)) {
    throw new KeyprovError('key-invalid', `JWK: kty ${showJson(kty)} with crv ${showJson(crv)} is not supported`, {
      remedy: 'use an RSA, P-256, P-384 or P-521 key',
    });
  }
  return { kty: 'EC', crv, x: members.base64Url('x'), y: members.base64Url('y') };
}
