import { type Bytes, concat, utf8 } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import type { AttestationStatement } from './statement.ts';

/**
 * How well it is proved that a private key cannot be copied, from the least to the best. Each is worth what it rests on:
 *
 * - `software`: somebody has the private key now. Nothing says where it is.
 * - `virtual`: it is in a TPM that is known to be an emulator or a hypervisor's: whoever runs the host can copy it.
 * - `tpm-no-ek-certificate`: it is in the TPM of an endorsement key that the verifier's own list names.
 * - `ek-certificate`: it is in a TPM of a known maker, by the word of an authority that certified the attestation key.
 * - `activated`: it is in a TPM of a known maker, by the endorsement key certificate of that maker, and the verifier itself
 *   has seen the TPM prove that the attestation key is in it too.
 */
export type Tier = (typeof TIERS)[number];

/** All tiers, from the least to the best. */
export const TIERS = ['software', 'virtual', 'tpm-no-ek-certificate', 'ek-certificate', 'activated'] as const;

/** Evidence of a key that is in no TPM, as plain data. */
export interface SoftwareKeyEvidence {
  readonly version: 1;
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array;
  /** Over {@link computeSoftwareKeyMessage} with SHA-256: RSASSA-PKCS1-v1_5, or of a key on a curve an Ecdsa-Sig-Value in DER. */
  readonly signature: Uint8Array;
}

/** What a client sends to show where its key is. */
export type Evidence = AttestationStatement | SoftwareKeyEvidence;

/** What a software key signs to show that its holder answers the challenge. */
export function computeSoftwareKeyMessage(challenge: Uint8Array, spki: Uint8Array): Bytes {
  return concat(utf8('keyprov software key\0'), digest('sha256', spki), challenge);
}
