import { type Bytes, concat, utf8 } from '../bytes.ts';
import { digest } from '../crypto/kdf.ts';
import type { AttestationStatement } from './statement.ts';

/**
 * How strongly the evidence proves that a private key cannot be copied, from weakest to strongest:
 *
 * - `software`: the client has the private key now. Nothing shows where it is.
 * - `virtual`: it is in a TPM of an emulator or hypervisor: the operator of the host can copy it.
 * - `tpm-no-ek-certificate`: it is in the TPM of an endorsement key on the verifier's own list; or it is in a TPM, as the
 *   CA that certified the attestation key says, but its certificate names no maker (`id:00000000`).
 * - `ek-certificate`: it is in a TPM of a known maker, as the CA that certified the attestation key says.
 * - `activated`: it is in a TPM of a known maker, as the maker's endorsement key certificate says, and the verifier itself
 *   has seen the TPM prove that the attestation key is in it too.
 */
export type Tier = (typeof TIERS)[number];

/** All tiers, from weakest to strongest. */
export const TIERS = ['software', 'virtual', 'tpm-no-ek-certificate', 'ek-certificate', 'activated'] as const;

/** Evidence of a software key, as plain data. */
export interface SoftwareKeyEvidence {
  readonly version: 1;
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array;
  /**
   * Signature over {@link computeSoftwareKeyMessage} with SHA-256: RSASSA-PKCS1-v1_5 of an RSA key, an Ecdsa-Sig-Value
   * in DER of an EC key.
   */
  readonly signature: Uint8Array;
}

/** A client's evidence of where its key is. */
export type Evidence = AttestationStatement | SoftwareKeyEvidence;

/**
 * Returns the message that a software key signs to answer the challenge.
 * @throws TypeError if an argument is not bytes.
 */
export function computeSoftwareKeyMessage(challenge: Uint8Array, spki: Uint8Array): Bytes {
  return concat(utf8('keyprov software key\0'), digest('sha256', spki), challenge);
}
