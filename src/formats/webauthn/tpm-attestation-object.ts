import { type Bytes, checkObject, view } from '../../bytes.ts';
import { type CborMap, type CborValue, decodeCbor, encodeCbor, isMap } from '../../crypto/cbor.ts';
import { DerNode } from '../../crypto/der-read.ts';
import { TAG } from '../../crypto/der-write.ts';
import type { HashName } from '../../crypto/kdf.ts';
import { decode } from '../../tpm/codec/index.ts';
import { HASHES, type HashAlg, TPM_ALG } from '../../tpm/constants.ts';
import { TPMT_SIGNATURE } from '../../tpm/structures/algorithm.ts';
import { TPMS_ATTEST } from '../../tpm/structures/attest.ts';
import { TPMT_PUBLIC } from '../../tpm/structures/object.ts';
import type { AkScheme } from '../tcg/certified-ak.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';
import { COSE_ALG } from './cose-key.ts';

/** A WebAuthn attestation object of the format `tpm` (Level 3, 8.3), which ACME uses too. */
export interface TpmAttestationObject {
  /** `alg`: the algorithm of the signature, see {@link COSE_ALG}. */
  readonly algorithm: number;
  /** `x5c`: certificates in DER, the attestation key's first. */
  readonly certificates: readonly Uint8Array[];
  /** `sig`: bare for WebAuthn verifiers, a TPMT_SIGNATURE for ACME servers. */
  readonly signature: Uint8Array;
  /** TPMS_ATTEST of TPM2_Certify. */
  readonly certInfo: Uint8Array;
  /** TPMT_PUBLIC of the key. */
  readonly pubArea: Uint8Array;
  /** Absent in ACME. */
  readonly authData?: Uint8Array;
}

const VERSION = '2.0';
const WHAT = 'attestation object';

/**
 * Writes the object in CBOR, in the CTAP2 canonical form.
 *
 * @throws RangeError for an algorithm that is not an integer of at most 53 bits.
 *
 * @example
 * ```ts
 * import { decodeTpmAttestationObject, encodeTpmAttestationObject } from 'keyprov/formats/webauthn';
 * import { findCoseAlgorithm } from 'keyprov/formats/webauthn';
 *
 * declare const received: Uint8Array; // in CBOR
 * const object = decodeTpmAttestationObject(received);
 * console.log(object.certificates.length, encodeTpmAttestationObject(object).length);
 * if (object.authData === undefined) console.log(findCoseAlgorithm(object.signature).hash); // ACME only
 * ```
 */
export function encodeTpmAttestationObject(object: TpmAttestationObject): Bytes {
  checkObject(object, 'an attestation object', 'algorithm', 'certificates:list', 'signature', 'certInfo', 'pubArea');
  const { algorithm, certificates, signature, certInfo, pubArea, authData } = object;
  const statement = new Map<string, CborValue>([
    ['alg', algorithm],
    ['sig', signature],
    ['ver', VERSION],
    ['x5c', certificates],
    ['pubArea', pubArea],
    ['certInfo', certInfo],
  ]);
  const outer = new Map<string, CborValue>([
    ['fmt', 'tpm'],
    ['attStmt', statement],
  ]);
  if (authData !== undefined) outer.set('authData', authData);
  return encodeCbor(outer);
}

/**
 * Reads an attestation object of the format `tpm`. Refuses unknown members, and bytes left over in any structure.
 * Verifies nothing.
 *
 * @throws KeyprovError `request-invalid` for anything else.
 */
export function decodeTpmAttestationObject(bytes: Uint8Array): TpmAttestationObject {
  return inRequest(WHAT, () => {
    const outer = members(decodeCbor(bytes), WHAT, ['fmt', 'attStmt', 'authData']);
    if (outer.get('fmt') !== 'tpm')
      throw requestInvalid(`${WHAT}: fmt`, `${JSON.stringify(outer.get('fmt'))}, not "tpm"`);
    const names = ['alg', 'sig', 'ver', 'x5c', 'pubArea', 'certInfo'];
    const statement = members(outer.get('attStmt'), `${WHAT}: attStmt`, names);
    const ver = statement.get('ver');
    if (ver !== VERSION) throw requestInvalid(`${WHAT}: ver`, `${JSON.stringify(ver)}, not "${VERSION}"`);
    const algorithm = statement.get('alg');
    if (typeof algorithm !== 'number') throw requestInvalid(`${WHAT}: alg`, 'not a number');
    const certInfo = bytesAt(statement, 'certInfo');
    const pubArea = bytesAt(statement, 'pubArea');
    inRequest(`${WHAT}: certInfo`, () => decode(TPMS_ATTEST, certInfo));
    inRequest(`${WHAT}: pubArea`, () => decode(TPMT_PUBLIC, pubArea));
    return {
      algorithm,
      certificates: certificatesIn(statement.get('x5c')),
      signature: bytesAt(statement, 'sig'),
      certInfo,
      pubArea,
      ...(outer.has('authData') && { authData: bytesAt(outer, 'authData') }),
    };
  });
}

/** The algorithm of a signature. */
export interface CoseAlgorithm {
  /** See {@link COSE_ALG}. */
  readonly algorithm: number;
  readonly hash: HashName;
}

/** The algorithm of a TPMT_SIGNATURE. @throws KeyprovError `request-invalid` if COSE has no number for it. */
export function findCoseAlgorithm(signature: Uint8Array): CoseAlgorithm {
  const { sigAlg, ...rest } = inRequest(`${WHAT}: signature`, () => decode(TPMT_SIGNATURE, signature));
  const hashAlg = 'signature' in rest && 'hash' in rest.signature ? rest.signature.hash : undefined;
  const found = ALGORITHMS.find(([scheme, hash]) => scheme === sigAlg && hash === hashAlg);
  if (found === undefined) throw requestInvalid(WHAT, 'the signature algorithm and hash have no COSE number');
  return { algorithm: found[2], hash: HASHES[found[1]].name };
}

/** The scheme and hash of a COSE number; `undefined` if TPMs do not have it. */
export function findCoseScheme(algorithm: number): AkScheme | undefined {
  const [scheme, hashAlg] = ALGORITHMS.find((one) => one[2] === algorithm) ?? [];
  return scheme === undefined || hashAlg === undefined ? undefined : { scheme, hashAlg };
}

/** Pairs of scheme and hash, with their COSE number. */
const ALGORITHMS: readonly (readonly [scheme: AkScheme['scheme'], hash: HashAlg, algorithm: number])[] = [
  [TPM_ALG.RSASSA, TPM_ALG.SHA1, COSE_ALG.RS1],
  [TPM_ALG.RSASSA, TPM_ALG.SHA256, COSE_ALG.RS256],
  [TPM_ALG.RSASSA, TPM_ALG.SHA384, COSE_ALG.RS384],
  [TPM_ALG.RSASSA, TPM_ALG.SHA512, COSE_ALG.RS512],
  [TPM_ALG.RSAPSS, TPM_ALG.SHA256, COSE_ALG.PS256],
  [TPM_ALG.RSAPSS, TPM_ALG.SHA384, COSE_ALG.PS384],
  [TPM_ALG.RSAPSS, TPM_ALG.SHA512, COSE_ALG.PS512],
  [TPM_ALG.ECDSA, TPM_ALG.SHA256, COSE_ALG.ES256],
  [TPM_ALG.ECDSA, TPM_ALG.SHA384, COSE_ALG.ES384],
  [TPM_ALG.ECDSA, TPM_ALG.SHA512, COSE_ALG.ES512],
];

function members(value: CborValue | undefined, what: string, known: readonly string[]): CborMap {
  if (!isMap(value)) throw requestInvalid(what, 'not a map');
  const other = [...value.keys()].find((name) => !known.includes(String(name)));
  if (other !== undefined) throw requestInvalid(what, `unknown member ${JSON.stringify(other)}`);
  return value;
}

function bytesAt(map: CborMap, name: string): Bytes {
  const value = map.get(name);
  if (!(value instanceof Uint8Array) || value.length === 0)
    throw requestInvalid(`${WHAT}: ${name}`, 'it must be a non-empty byte string');
  return view(value);
}

function certificatesIn(value: CborValue | undefined): Bytes[] {
  const what = `${WHAT}: x5c`;
  if (!Array.isArray(value) || value.length === 0) throw requestInvalid(what, 'not an array of certificates');
  return value.map((certificate: CborValue) => {
    if (!(certificate instanceof Uint8Array)) throw requestInvalid(what, 'a certificate is not a byte string');
    return inRequest(what, () => view(DerNode.strict(certificate, 'certificate').expect(TAG.SEQUENCE).der));
  });
}
