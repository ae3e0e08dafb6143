import type { webcrypto } from 'node:crypto';
import { factsOf } from './algorithms.ts';
import { domError } from './dom-error.ts';
import type { NormalizedAlgorithm, WantedKey, WebKeyAlgorithm } from './key-types.ts';

/** `kty` of the kinds of algorithm. */
const KEY_TYPES = { rsa: 'RSA', ec: 'EC', okp: 'OKP', aes: 'oct', hmac: 'oct', kdf: 'oct', digest: 'oct' } as const;

/** `alg` of a key, if it has one (RFC 7518, 3.1 and 4.1; the registry of the Web Cryptography API). */
export function jwkAlgorithm({ name, hash, length }: Omit<WebKeyAlgorithm, 'namedCurve'>): { alg?: string } {
  const bits = hash?.name.slice(4);
  switch (name) {
    case 'RSASSA-PKCS1-v1_5':
      return { alg: `RS${bits}` };
    case 'RSA-PSS':
      return { alg: `PS${bits}` };
    case 'RSA-OAEP':
      return { alg: hash?.name === 'SHA-1' ? 'RSA-OAEP' : `RSA-OAEP-${bits}` };
    case 'HMAC':
      return { alg: `HS${bits}` };
    case 'Ed25519':
      return { alg: name };
    case 'AES-CBC':
    case 'AES-CTR':
    case 'AES-GCM':
    case 'AES-KW':
      return { alg: `A${length}${name.slice(4)}` };
    default:
      return {};
  }
}

/** `alg` of an ECDSA key, which WebCrypto reads but does not write. */
const ECDSA_ALG: Readonly<Record<string, string>> = { 'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512' };

/**
 * Checks that a JSON Web Key may be imported as a key of that algorithm, for those usages.
 * @throws Error that names the contradiction
 */
export function checkJwk(
  jwk: webcrypto.JsonWebKey,
  algorithm: NormalizedAlgorithm,
  { extractable, usages }: WantedKey,
): void {
  const { name, namedCurve } = algorithm;
  const { kind } = factsOf(name);
  const wrong = (member: string) => new Error(`JWK: ${member} is missing or does not match the arguments`);
  if (jwk.kty !== KEY_TYPES[kind]) throw wrong('kty');
  if (kind === 'ec' && jwk.crv !== namedCurve) throw wrong('crv');
  if (kind === 'okp' && jwk.crv !== name) throw wrong('crv');
  if (KEY_TYPES[kind] === 'oct' && jwk.k === undefined) throw wrong('k');
  if (jwk.d !== undefined && jwk.oth !== undefined)
    throw domError('NotSupportedError', 'JWK: RSA keys with more than two primes are not supported');
  if (jwk.alg !== undefined && !isAlgorithmOf(jwk, algorithm)) throw wrong('alg');
  const isSigning = name === 'HMAC' || name === 'Ed25519' || name === 'ECDSA' || /^RSA(SSA|-PSS)/.test(name);
  if (usages.length > 0 && jwk.use !== undefined && jwk.use !== (isSigning ? 'sig' : 'enc')) throw wrong('use');
  if (jwk.key_ops !== undefined) {
    const operations = new Set<string>(jwk.key_ops);
    if (operations.size !== jwk.key_ops.length || !usages.every((usage) => operations.has(usage))) {
      throw wrong('key_ops');
    }
  }
  if (extractable && jwk.ext === false) throw wrong('ext');
}

function isAlgorithmOf(jwk: webcrypto.JsonWebKey, algorithm: NormalizedAlgorithm): boolean {
  switch (algorithm.name) {
    case 'ECDH':
    case 'X25519':
      return true; // the standard ignores it
    case 'ECDSA':
      return jwk.alg === ECDSA_ALG[algorithm.namedCurve ?? ''];
    case 'Ed25519':
      return jwk.alg === 'Ed25519' || jwk.alg === 'EdDSA';
    default: {
      const length = Math.floor(((jwk.k ?? '').length * 3) / 4) * 8; // of the bytes in k
      return jwk.alg === jwkAlgorithm({ ...algorithm, length }).alg;
    }
  }
}
