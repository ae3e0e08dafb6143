import { type AttestationKey, createAttestationKey } from '../attestation/attestation-key.ts';
import type { CreateKeyOptions } from '../keys/provider.ts';
import type { CreatedTpmKey, TpmKeyProvider } from '../keys/tpm-provider.ts';
import type { SignalOptions } from '../signal.ts';
import type { Tpm } from '../tpm/tpm.ts';

/** Where the TPM's part of `provisionFrom` comes from. */
export interface KeySupply {
  /** A key with this PIN: one that was made in advance, or a new one. */
  createKey(
    provider: TpmKeyProvider,
    options: CreateKeyOptions,
  ): Promise<{ readonly key: CreatedTpmKey; readonly pregenerated: boolean }>;
  /** An attestation key, and how to be done with it. */
  attestationKey(tpm: Tpm, options: SignalOptions): Promise<{ readonly ak: AttestationKey; release(): Promise<void> }>;
}

/** Nothing is made in advance. */
export const NEW_KEYS: KeySupply = {
  createKey: async (provider, options) => ({ key: await provider.create(options), pregenerated: false }),
  attestationKey: async (tpm, { signal }) => {
    const ak = await createAttestationKey(tpm, { algorithm: 'rsa-2048', signal });
    return { ak, release: () => ak.close() };
  },
};
