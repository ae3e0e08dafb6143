import { type Bytes, checkObject, concat, EMPTY } from '../../bytes.ts';
import { decode } from '../../tpm/codec/index.ts';
import { TPMS_ATTEST } from '../../tpm/structures/attest.ts';
import { CountedParts, littleEndian32s } from '../tcg/counted-parts.ts';
import { decodePcpKeyBlob, encodePcpKeyBlob, type PcpKeyBlob } from './pcp-key-blob.ts';

/** The certification of a key in a KeyAttestationStatement: "KADS", MS-WCCE 2.2.2.5. For TPM 2.0 only. */
export interface Kads {
  /** TPMS_ATTEST of TPM2_Certify, without a length. */
  readonly certInfo: Uint8Array;
  /** The bare RSASSA signature over `certInfo`. It does not say which hash it uses. */
  readonly signature: Uint8Array;
  readonly keyBlob: PcpKeyBlob;
}

const MAGIC = 0x5344414b;
const TPM_2_0 = 2;
const HEADER_SIZE = 24;

/**
 * The bytes of a KADS. @throws CodecError for a part of the key that is too long.
 *
 * @example
 * ```ts
 * import { decodeKads, encodeKads, type PcpKeyBlob } from 'keyprov/formats/windows';
 *
 * declare const [certInfo, signature, keyBlob]: [Uint8Array, Uint8Array, PcpKeyBlob];
 * const kads = encodeKads({ certInfo, signature, keyBlob });
 * console.log(decodeKads(kads).keyBlob.form);
 * ```
 */
export function encodeKads(kads: Kads): Bytes {
  const { certInfo, signature, keyBlob } = checkObject(kads, 'a KADS', 'certInfo:bytes', 'signature:bytes', 'keyBlob');
  const parts = [certInfo, signature, encodePcpKeyBlob(keyBlob)];
  return concat(littleEndian32s(MAGIC, TPM_2_0, HEADER_SIZE, ...parts.map(({ length }) => length)), ...parts);
}

/** The inverse of {@link encodeKads}. @throws KeyprovError `request-invalid` for anything else. */
export function decodeKads(bytes: Uint8Array): Kads {
  const reader = new CountedParts('KADS', bytes);
  const [magic, platform, headerSize, ...sizes] = reader.header(HEADER_SIZE / 4);
  if (magic !== MAGIC) throw reader.invalid('it does not begin with the bytes "KADS"');
  if (platform !== TPM_2_0) throw reader.invalid(`its platform is ${platform}, not ${TPM_2_0} (TPM 2.0)`);
  if (headerSize !== HEADER_SIZE) throw reader.invalid(`the size of its header is ${headerSize}, not ${HEADER_SIZE}`);
  const [certInfo = EMPTY, signature = EMPTY, keyBlob = EMPTY] = reader.parts(HEADER_SIZE, sizes);
  return reader.read(() => {
    decode(TPMS_ATTEST, certInfo);
    return { certInfo, signature, keyBlob: decodePcpKeyBlob(keyBlob) };
  });
}
