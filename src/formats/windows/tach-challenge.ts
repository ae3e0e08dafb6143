import type { Credential } from '../../attestation/credential.ts';
import { type Bytes, checkObject, concat, copy, equal, utf8 } from '../../bytes.ts';
import { KeyprovError } from '../../errors.ts';
import { checkSize, LIMIT } from '../../limits.ts';
import { decodeSizedCredential, encodeSizedCredential } from '../services/credential-encodings.ts';
import { littleEndian32s } from '../tcg/counted-parts.ts';

/** A CA's challenge for a Windows attestation key. */
export interface TachChallenge extends Credential {
  /** Bytes of the CA or the provider after the credential; empty if there are none. */
  readonly aikOpaque: Uint8Array;
}

const MAGIC = utf8('TACH');
const HEADER_SIZE = 24;

/**
 * The content of the attestation challenge (szOID_ENROLL_ATTESTATION_CHALLENGE) as one open-source CA writes it. MS-WCCE
 * does not define it, so this layout has a single source: `TACH`, then UINT32s, little endian: 1, 2 (1 without
 * aikOpaque), 24, size of the credential, size of aikOpaque; then both.
 * @throws TypeError without `aikOpaque`; RangeError if it is too long; CodecError if a part of the credential is missing.
 *
 * @example
 * ```ts
 * import { type CredentialInput, makeCredential } from 'keyprov/attestation';
 * import { decodeTachChallenge, encodeTachChallenge } from 'keyprov/formats/windows';
 *
 * declare const input: CredentialInput;
 * const challenge = encodeTachChallenge({ ...makeCredential(input), aikOpaque: new Uint8Array(0) });
 * console.log(decodeTachChallenge(challenge).credentialBlob.length);
 * ```
 */
export function encodeTachChallenge(challenge: TachChallenge): Bytes {
  const { aikOpaque } = checkObject(challenge, 'a challenge', 'aikOpaque:bytes');
  const sized = encodeSizedCredential(challenge);
  const bytes = concat(headerOf(sized.length, aikOpaque.length), sized, aikOpaque);
  checkSize(bytes, LIMIT.structure, (problem) => new RangeError(`TACH challenge: ${problem}`));
  return bytes;
}

/** The inverse of {@link encodeTachChallenge}. @throws KeyprovError `credential-invalid` for anything else. */
export function decodeTachChallenge(bytes: Uint8Array): TachChallenge {
  checkSize(bytes, LIMIT.structure, invalid);
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [size, tail] = bytes.length < HEADER_SIZE ? [0, 0] : [header.getUint32(16, true), header.getUint32(20, true)];
  const fits =
    bytes.length === HEADER_SIZE + size + tail && equal(bytes.subarray(0, HEADER_SIZE), headerOf(size, tail));
  if (!fits) throw invalid('its header does not match its content');
  const end = HEADER_SIZE + size;
  return { ...decodeSizedCredential(bytes.subarray(HEADER_SIZE, end)), aikOpaque: copy(bytes.subarray(end)) };
}

const invalid = (problem: string): KeyprovError => new KeyprovError('credential-invalid', `TACH challenge: ${problem}`);

const headerOf = (size: number, tail: number): Bytes =>
  concat(MAGIC, littleEndian32s(1, tail > 0 ? 2 : 1, HEADER_SIZE, size, tail));
