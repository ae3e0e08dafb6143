import { type Bytes, checkObject, view } from '../../bytes.ts';
import { type CborMap, type CborValue, decodeCbor, encodeCbor, isMap } from '../../crypto/cbor.ts';
import type { Curve } from '../../crypto/curve.ts';
import { checkPublicKey, type PublicKey } from '../../crypto/public-key.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';

/** Signature algorithms by their numbers. IANA, COSE Algorithms; RFC 9053, 2.1; RFC 8230, 2; RFC 8812, 2. */
export const COSE_ALG = {
  ES256: -7,
  ES384: -35,
  ES512: -36,
  PS256: -37,
  PS384: -38,
  PS512: -39,
  RS256: -257,
  RS384: -258,
  RS512: -259,
  RS1: -65535,
} as const;

/** A public key as COSE_Key (RFC 9052, 7). */
export interface CoseKey {
  readonly publicKey: PublicKey;
  /** The only algorithm of the key, see {@link COSE_ALG}. */
  readonly algorithm?: number;
}

/** Labels of COSE_Key: RFC 9052, 7.1; RFC 9053, 7.1.1; RFC 8230, 4. */
const KTY = 1;
const ALG = 3;
const EC2 = { kty: 2, crv: -1, x: -2, y: -3 } as const;
const RSA = { kty: 3, n: -1, e: -2 } as const;
const CURVE_NUMBERS: readonly (readonly [Curve, number])[] = [
  ['P-256', 1],
  ['P-384', 2],
  ['P-521', 3],
];

/**
 * Writes the key as COSE_Key in CBOR: kty RSA (RFC 8230, 4), or EC2 with both coordinates, each as long as the field
 * (RFC 9053, 7.1.1). @throws KeyprovError `key-invalid` for an invalid key.
 *
 * @example
 * ```ts
 * import { COSE_ALG, decodeCoseKey, encodeCoseKey } from 'keyprov/formats/webauthn';
 * import type { PublicKey } from 'keyprov/formats/x509';
 *
 * declare const publicKey: PublicKey;
 * const key = encodeCoseKey({ publicKey, algorithm: COSE_ALG.ES256 });
 * console.log(decodeCoseKey(key).algorithm); // -7
 * ```
 */
export function encodeCoseKey(coseKey: CoseKey): Bytes {
  const { publicKey, algorithm } = checkObject(coseKey, 'a COSE key', 'publicKey');
  checkPublicKey(publicKey);
  const key = new Map<number, CborValue>();
  if (algorithm !== undefined) key.set(ALG, algorithm);
  if (publicKey.kty === 'RSA') {
    key.set(KTY, RSA.kty).set(RSA.n, publicKey.n).set(RSA.e, publicKey.e);
  } else {
    const curve = CURVE_NUMBERS.find(([crv]) => crv === publicKey.crv)?.[1] ?? 0;
    key.set(KTY, EC2.kty).set(EC2.crv, curve).set(EC2.x, publicKey.x).set(EC2.y, publicKey.y);
  }
  return encodeCbor(key);
}

/**
 * Reads a COSE_Key in CBOR: a public RSA, P-256, P-384 or P-521 key, with or without its algorithm, and without other
 * parameters, as WebAuthn demands (Level 3, 6.5.1.1).
 *
 * @throws KeyprovError `request-invalid` for anything else, including compressed points and private keys.
 */
export function decodeCoseKey(bytes: Uint8Array): CoseKey {
  return inRequest('COSE key', () => readCoseKey(decodeCbor(bytes)));
}

/** The algorithms that a credential key may have. WebAuthn Level 3, 5.8.5. */
const CREDENTIAL_ALGORITHMS: Readonly<Record<'RSA' | Curve, readonly number[]>> = {
  RSA: [COSE_ALG.RS256, COSE_ALG.RS384, COSE_ALG.RS512, COSE_ALG.PS256, COSE_ALG.PS384, COSE_ALG.PS512],
  'P-256': [COSE_ALG.ES256],
  'P-384': [COSE_ALG.ES384],
  'P-521': [COSE_ALG.ES512],
};

/**
 * Why the key cannot be a credential's: WebAuthn wants an algorithm (Level 3, 6.5.1.1), one that suits the key, and one of
 * `allowed` (7.1).
 */
export function findCredentialAlgorithmProblem(
  { publicKey, algorithm }: CoseKey,
  allowed?: readonly number[],
): string | undefined {
  if (algorithm === undefined) return 'the credential key has no alg';
  const suitable = CREDENTIAL_ALGORITHMS[publicKey.kty === 'RSA' ? 'RSA' : publicKey.crv];
  if (!suitable.includes(algorithm)) return `the credential key cannot be used with alg ${algorithm}`;
  if (allowed === undefined || allowed.includes(algorithm)) return undefined;
  return `the credential key's alg ${algorithm} is not allowed; allowed: ${allowed.join(', ') || 'none'}`;
}

/** {@link decodeCoseKey} for decoded CBOR. */
export function readCoseKey(value: CborValue): CoseKey {
  if (!isMap(value)) throw requestInvalid('COSE key', 'not a map');
  const kty = value.get(KTY);
  const algorithm = value.get(ALG);
  if (algorithm !== undefined && typeof algorithm !== 'number') throw requestInvalid('COSE key', 'alg is not a number');
  if (kty !== RSA.kty && kty !== EC2.kty) throw requestInvalid('COSE key', `kty ${String(kty)} is unknown`);
  const labels: readonly number[] = [KTY, ALG, ...Object.values(kty === RSA.kty ? RSA : EC2).slice(1)];
  const other = [...value.keys()].find((label) => typeof label !== 'number' || !labels.includes(label));
  if (other !== undefined) throw requestInvalid('COSE key', `parameter ${other} is not allowed`);
  const publicKey = kty === RSA.kty ? readRsa(value) : readEc(value);
  inRequest('COSE key', () => checkPublicKey(publicKey));
  return algorithm === undefined ? { publicKey } : { publicKey, algorithm };
}

const readRsa = (key: CborMap): PublicKey => ({ kty: 'RSA', n: bytesAt(key, RSA.n), e: bytesAt(key, RSA.e) });

function readEc(key: CborMap): PublicKey {
  const crv = CURVE_NUMBERS.find(([, number]) => number === key.get(EC2.crv))?.[0];
  if (crv === undefined) throw requestInvalid('COSE key', `crv ${String(key.get(EC2.crv))} is unknown`);
  return { kty: 'EC', crv, x: bytesAt(key, EC2.x), y: bytesAt(key, EC2.y) };
}

function bytesAt(key: CborMap, label: number): Bytes {
  const value = key.get(label);
  if (!(value instanceof Uint8Array)) throw requestInvalid('COSE key', `parameter ${label} is not a byte string`);
  return view(value);
}
