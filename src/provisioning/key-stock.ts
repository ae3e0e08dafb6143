import type { AttestationKey } from '../attestation/attestation-key.ts';
import type { CreateKeyOptions } from '../keys/provider.ts';
import type { CreatedTpmKey, TpmKeyProvider } from '../keys/tpm-provider.ts';
import type { SignalOptions } from '../signal.ts';
import type { Tpm } from '../tpm/tpm.ts';

/** What was made in advance in a TPM, for `provisionFromStock`. */
export interface KeyStock {
  /** A key that gets this PIN; undefined if none fits. */
  takeKey(provider: TpmKeyProvider, options: CreateKeyOptions): Promise<CreatedTpmKey | undefined>;
  /** The attestation key, which stays in the stock; undefined if there is none any more. */
  attestationKey(tpm: Tpm, options: SignalOptions): Promise<AttestationKey | undefined>;
}
