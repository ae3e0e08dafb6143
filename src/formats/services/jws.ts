import { type Bytes, checkObject, fromBase64Url, toBase64Url, utf8 } from '../../bytes.ts';
import type { PublicKey } from '../../crypto/public-key.ts';
import { type SignatureFormat, verifySignature } from '../../crypto/verify-signature.ts';
import { TpmError } from '../../errors/tpm-error.ts';
import { JsonMembers } from '../../json.ts';
import type { SignOptions } from '../../keys/provider.ts';
import { checkMembers } from '../../known-members.ts';
import { checkTextSize, LIMIT } from '../../limits.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';

/** A signature algorithm of RFC 7518, 3.1, that TPM keys support. */
export type JwsAlgorithm = 'RS256' | 'PS256' | 'ES256' | 'ES384';

/** Signs with a key: `(options) => provider.sign(key, { ...options, pin })`. */
export type Signer = (options: SignOptions) => Promise<Bytes>;

/** A key that signs. */
export interface SigningKey {
  readonly publicKey: PublicKey;
  readonly sign: Signer;
}

/** The parts of a JWS, unverified. */
export interface Jws {
  /** The members of the JOSE header (RFC 7515, 4.1). */
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: Bytes;
  readonly signature: Bytes;
  /** The ASCII bytes that are signed: `header.payload`, both in base64url. */
  readonly signingInput: Bytes;
}

/** Options of {@link buildJws}. */
export interface JwsOptions {
  readonly key: SigningKey;
  readonly algorithm: JwsAlgorithm;
  /** The members of the header besides `alg`. If they include `alg`, it keeps its place, and must equal `algorithm`. */
  readonly header?: Readonly<Record<string, unknown>> | undefined;
  readonly payload: Uint8Array;
  readonly signal?: AbortSignal | undefined;
}

interface Algorithm {
  readonly options: Pick<SignOptions, 'padding' | 'format'> & { readonly hash: 'sha256' | 'sha384' };
  readonly format: SignatureFormat;
  readonly fits: (key: PublicKey) => boolean;
}

const isRsa = (key: PublicKey): boolean => key.kty === 'RSA';
const isOn = (crv: string) => (key: PublicKey) => key.kty === 'EC' && key.crv === crv;
const ALGORITHMS: Readonly<Record<JwsAlgorithm, Algorithm>> = {
  RS256: { options: { hash: 'sha256', padding: 'pkcs1' }, format: 'pkcs1', fits: isRsa },
  PS256: { options: { hash: 'sha256', padding: 'pss' }, format: 'pss-digest', fits: isRsa },
  ES256: { options: { hash: 'sha256', format: 'raw' }, format: 'raw', fits: isOn('P-256') },
  ES384: { options: { hash: 'sha384', format: 'raw' }, format: 'raw', fits: isOn('P-384') },
};

/**
 * Signs a JWS in compact serialization (RFC 7515, 7.1), and verifies it, so a faulty signer is noticed here, not by the
 * recipient.
 *
 * @throws TypeError if the algorithm is not for the key. @throws KeyprovError `tpm-unsupported` if the signature does
 * not verify. With PS256, this happens if the TPM's salts are longer than the digest, which RFC 7518, 3.5 forbids.
 *
 * @example
 * ```ts
 * import type { UserKey } from 'keyprov';
 * import { buildJws, parseJws, type SigningKey, verifyJws } from 'keyprov/formats/services';
 *
 * declare const [userKey, pin]: [UserKey, Uint8Array]; // a P-256 key from openKey
 * const key: SigningKey = { publicKey: userKey.publicKey, sign: (options) => userKey.sign({ ...options, pin }) };
 * const jws = await buildJws({ key, algorithm: 'ES256', payload: new TextEncoder().encode('{}') });
 * console.log(verifyJws(parseJws(jws), key.publicKey, 'ES256')); // true
 * ```
 */
export async function buildJws(given: JwsOptions): Promise<string> {
  const { key, algorithm, header, payload, signal } = checkMembers(
    'buildJws',
    given,
    'key algorithm:=RS256|PS256|ES256|ES384 header payload:bytes signal',
  );
  const { options, fits } = ALGORITHMS[algorithm];
  checkObject(key, 'the key of buildJws', 'publicKey:object', 'sign:function');
  if (header !== undefined) checkObject(header, 'the header of buildJws');
  if (!fits(key.publicKey)) throw new TypeError(`${algorithm} cannot be used with this ${key.publicKey.kty} key`);
  const head = header !== undefined && 'alg' in header ? header : { alg: algorithm, ...header };
  if (head.alg !== algorithm) throw new TypeError(`the alg in the header is not ${algorithm}`);
  const signingInput = `${toBase64Url(utf8(JSON.stringify(head)))}.${toBase64Url(payload)}`;
  const signature = await key.sign({ data: utf8(signingInput), ...options, signal });
  const jws = `${signingInput}.${toBase64Url(signature)}`;
  if (!verifyJws(parseJws(jws), key.publicKey, algorithm)) {
    // r and s together have 64 or 96 bytes, and a signature in DER almost never has.
    const isDer = algorithm.startsWith('ES') && signature[0] === 0x30 && ![64, 96].includes(signature.length);
    throw new TpmError('tpm-unsupported', `${algorithm}: the signature does not verify`, {
      ...(isDer && { remedy: "make the key's `sign` obey `format: 'raw'`: it returned DER" }),
      ...(algorithm === 'PS256' && { remedy: "use RS256: this TPM's PSS salts are not as long as the digest" }),
    });
  }
  return jws;
}

/**
 * Parses a JWS in compact serialization, without verifying it.
 * @throws KeyprovError `request-invalid` for anything else, or a header that is not a JSON object or has `crit`.
 */
export function parseJws(compact: string): Jws {
  checkTextSize(compact, LIMIT.message, (problem) => requestInvalid('JWS', problem));
  const [head = '', payload = '', signature = '', ...more] = compact.split('.', 4);
  if (head === '' || signature === '' || more.length > 0) throw requestInvalid('JWS', 'it must have three parts');
  const decode = (part: string, text: string) => inRequest(`JWS: ${part}`, () => fromBase64Url(text));
  const header = JsonMembers.parse('JWS header', decode('header', head), requestInvalid);
  // RFC 7515, 4.1.11: extensions that must be understood. None is supported.
  if (header.has('crit')) throw header.wrong('crit', 'extensions are not supported');
  return {
    header: header.all(),
    payload: decode('payload', payload),
    signature: decode('signature', signature),
    signingInput: utf8(`${head}.${payload}`),
  };
}

/**
 * Tells whether the JWS's header has this algorithm, and whether the private key of `publicKey` signed it with that
 * algorithm.
 * @throws TypeError for an algorithm that is not a {@link JwsAlgorithm}; KeyprovError `key-invalid` for an invalid key.
 */
export function verifyJws(jws: Jws, publicKey: PublicKey, algorithm: JwsAlgorithm): boolean {
  checkObject(jws, 'a JWS', 'header', 'signature');
  checkMembers('verifyJws', { algorithm }, 'algorithm:=RS256|PS256|ES256|ES384');
  const { options, format, fits } = ALGORITHMS[algorithm];
  if (jws.header.alg !== algorithm || !fits(publicKey)) return false;
  return verifySignature(publicKey, options.hash, jws.signingInput, jws.signature, format);
}
