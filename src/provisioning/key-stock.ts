import type { AttestationKey } from '../attestation/attestation-key.ts';
import type { CreateKeyOptions } from '../keys/provider.ts';
import type { CreatedTpmKey, TpmKeyProvider } from '../keys/tpm-provider.ts';
import type { SignalOptions } from '../signal.ts';
import type { Tpm } from '../tpm/tpm.ts';

/** Keys made in advance in a TPM, for `provisionFromStock`. */
export interface KeyStock {
  /** Takes a key and gives it this PIN; undefined if none fits. */
  takeKey(provider: TpmKeyProvider, options: CreateKeyOptions): Promise<CreatedTpmKey | undefined>;
  /** Returns the attestation key, which stays in the stock; undefined if there is none left. */
  attestationKey(tpm: Tpm, options: SignalOptions): Promise<AttestationKey | undefined>;
}
