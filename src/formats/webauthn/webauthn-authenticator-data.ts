import {
  type Bytes,
  byteCount,
  checkBytes,
  checkObject,
  checkText,
  concat,
  copy,
  fromHex,
  isGuid,
  toHex,
  uint16,
  uint16At,
  uint32,
  uint32At,
  utf8,
} from '../../bytes.ts';
import { type CborMap, decodeCborPrefix, encodeCbor, isMap } from '../../crypto/cbor.ts';
import { digest } from '../../crypto/kdf.ts';
import { checkSize, LIMIT } from '../../limits.ts';
import { inRequest, requestInvalid } from '../x509/in-request.ts';
import { type CoseKey, encodeCoseKey, findCredentialAlgorithmProblem, readCoseKey } from './cose-key.ts';

/** A new credential in authenticator data. WebAuthn Level 3, 6.5.1. */
export interface AttestedCredential {
  /** 16 bytes: the model of the authenticator; zeros for none. */
  readonly aaguid: Uint8Array;
  /** 1 to 1023 bytes that identify the credential to the relying party. */
  readonly credentialId: Uint8Array;
  /** With its algorithm, which WebAuthn requires (Level 3, 6.5.1.1). */
  readonly key: CoseKey;
}

/** Authenticator data. WebAuthn Level 3, 6.1. */
export interface AuthenticatorData {
  /** SHA-256 of the relying party's id, 32 bytes: see {@link computeRpIdHash}. */
  readonly rpIdHash: Uint8Array;
  readonly userPresent: boolean;
  readonly userVerified: boolean;
  readonly backupEligible: boolean;
  readonly backedUp: boolean;
  /** UINT32. */
  readonly signCount: number;
  readonly credential?: AttestedCredential;
  readonly extensions?: CborMap;
}

const FLAGS = { userPresent: 0x01, userVerified: 0x04, backupEligible: 0x08, backedUp: 0x10 } as const;
const HAS_CREDENTIAL = 0x40;
const HAS_EXTENSIONS = 0x80;
const RESERVED = 0x22;
/** rpIdHash, flags, signCount. */
const HEAD_SIZE = 37;
const AAGUID_SIZE = 16;
/** WebAuthn Level 3, 4, Credential ID. */
const MAX_CREDENTIAL_ID = 1023;

/** The AAGUID of Windows Hello's hardware authenticator. */
export const WINDOWS_HELLO_AAGUID = '08987058-cadc-4b81-b6e1-30de50dcbe96';

/**
 * The 16 bytes of an AAGUID from its text with hyphens.
 * @throws TypeError for other text.
 *
 * @example
 * ```ts
 * import { decodeAaguid, encodeAaguid } from 'keyprov/formats/webauthn';
 *
 * const bytes = encodeAaguid('08987058-cadc-4b81-b6e1-30de50dcbe96'); // 16 bytes, in the same order as the text
 * console.log(decodeAaguid(bytes)); // 08987058-cadc-4b81-b6e1-30de50dcbe96
 * ```
 */
export function encodeAaguid(text: string): Bytes {
  if (!isGuid(text)) throw new TypeError(`${JSON.stringify(text)} is not an AAGUID`);
  return fromHex(text.replaceAll('-', ''));
}

/** The text of an AAGUID, in lower case. @throws KeyprovError `request-invalid` if it does not have 16 bytes. */
export function decodeAaguid(bytes: Uint8Array): string {
  checkBytes(bytes, 'an AAGUID');
  if (bytes.length !== AAGUID_SIZE)
    throw requestInvalid('AAGUID', `${byteCount(bytes.length)}; an AAGUID has ${AAGUID_SIZE}`);
  return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** SHA-256 of the id of a relying party, such as `login.example`. @throws TypeError for anything but text. */
export function computeRpIdHash(rpId: string): Bytes {
  checkText(rpId, 'rpId');
  return digest('sha256', utf8(rpId));
}

/**
 * The bytes of authenticator data. @throws RangeError for a part of a wrong length or size; TypeError for a credential
 * key without an algorithm that suits it (Level 3, 6.5.1.1).
 *
 * @example
 * ```ts
 * import { type AttestedCredential, computeRpIdHash, encodeAuthenticatorData } from 'keyprov/formats/webauthn';
 * import { decodeAuthenticatorData } from 'keyprov/formats/webauthn';
 *
 * declare const credential: AttestedCredential;
 * const flags = { userPresent: true, userVerified: true, backupEligible: false, backedUp: false };
 * const rpIdHash = computeRpIdHash('login.example');
 * const authData = encodeAuthenticatorData({ rpIdHash, ...flags, signCount: 0, credential });
 * console.log(decodeAuthenticatorData(authData).userVerified); // true
 * ```
 */
export function encodeAuthenticatorData(data: AuthenticatorData): Bytes {
  const { credential, extensions, signCount } = checkObject(
    data,
    'authenticator data',
    'rpIdHash:bytes',
    'signCount',
    'credential:object?',
  );
  if (data.rpIdHash.length !== 32) throw new RangeError(`an rpIdHash has 32 bytes, not ${data.rpIdHash.length}`);
  if (!(Number.isInteger(signCount) && signCount >= 0 && signCount < 2 ** 32)) {
    throw new RangeError(`signCount must be an integer from 0 to 2^32 - 1, not ${signCount}`);
  }
  const flags =
    (data.userPresent ? FLAGS.userPresent : 0) |
    (data.userVerified ? FLAGS.userVerified : 0) |
    (data.backupEligible ? FLAGS.backupEligible : 0) |
    (data.backedUp ? FLAGS.backedUp : 0) |
    (credential === undefined ? 0 : HAS_CREDENTIAL) |
    (extensions === undefined ? 0 : HAS_EXTENSIONS);
  return concat(
    data.rpIdHash,
    Uint8Array.of(flags),
    uint32(signCount),
    ...(credential === undefined ? [] : encodeCredential(credential)),
    ...(extensions === undefined ? [] : [encodeCbor(extensions)]),
  );
}

function encodeCredential(credential: AttestedCredential): Uint8Array[] {
  const { aaguid, credentialId, key } = checkObject(credential, 'a credential', 'aaguid:bytes', 'credentialId:bytes');
  if (aaguid.length !== AAGUID_SIZE) throw new RangeError(`an AAGUID has 16 bytes, not ${aaguid.length}`);
  const { length } = credentialId;
  if (length < 1 || length > MAX_CREDENTIAL_ID)
    throw new RangeError(`a credential id has 1 to 1023 bytes, not ${length}`);
  const coseKey = encodeCoseKey(key);
  const problem = findCredentialAlgorithmProblem(key);
  if (problem !== undefined) throw new TypeError(problem);
  return [aaguid, uint16(length), credentialId, coseKey];
}

/**
 * Reads authenticator data to its exact end.
 * @throws KeyprovError `request-invalid` for anything else, including reserved flags.
 */
export function decodeAuthenticatorData(bytes: Uint8Array): AuthenticatorData {
  checkSize(bytes, LIMIT.message, invalid);
  if (bytes.length < HEAD_SIZE) throw invalid(`length ${bytes.length}, at least ${HEAD_SIZE} bytes expected`);
  const flags = bytes[32] ?? 0;
  if ((flags & RESERVED) !== 0) throw invalid(`reserved flags are set in 0x${flags.toString(16)}`);
  const head = {
    rpIdHash: copy(bytes.subarray(0, 32)),
    userPresent: (flags & FLAGS.userPresent) !== 0,
    userVerified: (flags & FLAGS.userVerified) !== 0,
    backupEligible: (flags & FLAGS.backupEligible) !== 0,
    backedUp: (flags & FLAGS.backedUp) !== 0,
    signCount: uint32At(bytes, 33),
  };
  let rest = bytes.subarray(HEAD_SIZE);
  let credential: AttestedCredential | undefined;
  if ((flags & HAS_CREDENTIAL) !== 0) {
    const read = decodeCredential(rest);
    credential = read.credential;
    rest = rest.subarray(read.length);
  }
  let extensions: CborMap | undefined;
  if ((flags & HAS_EXTENSIONS) !== 0) {
    const { value, length } = inRequest('authenticator data: extensions', () => decodeCborPrefix(rest));
    if (!isMap(value)) throw invalid('the extensions are not a map');
    extensions = value;
    rest = rest.subarray(length);
  }
  if (rest.length > 0) throw invalid(`${byteCount(rest.length)} left over`);
  return { ...head, ...(credential && { credential }), ...(extensions && { extensions }) };
}

function decodeCredential(bytes: Uint8Array): { credential: AttestedCredential; length: number } {
  const idSize = uint16At(bytes, AAGUID_SIZE);
  const keyAt = AAGUID_SIZE + 2 + idSize;
  if (bytes.length <= keyAt) throw invalid('cut off in the credential');
  if (idSize < 1 || idSize > MAX_CREDENTIAL_ID) throw invalid(`the credential id has ${byteCount(idSize)}`);
  const cose = inRequest('authenticator data: key', () => decodeCborPrefix(bytes.subarray(keyAt)));
  const credential = {
    aaguid: copy(bytes.subarray(0, AAGUID_SIZE)),
    credentialId: copy(bytes.subarray(AAGUID_SIZE + 2, keyAt)),
    key: readCoseKey(cose.value),
  };
  return { credential, length: keyAt + cose.length };
}

const invalid = (problem: string): Error => requestInvalid('authenticator data', problem);
