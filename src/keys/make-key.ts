import type { Attempt } from '../errors/selection-error.ts';
import { isKeyprovError, withCleanup } from '../errors.ts';
import { judgePin, type Policy } from '../policy/index.ts';
import type { Assurance, CreateKeyOptions, ProvidedKey } from './provider.ts';
import {
  failed,
  type ProviderSources,
  type Selection,
  type SelectionOptions,
  selectKeyProvider,
  selectSoftware,
} from './select-provider.ts';
import { type CreatedTpmKey, TpmKeyProvider } from './tpm-provider.ts';

/** What {@link makeKey} needs to know. */
export interface MakeKeyOptions extends Omit<SelectionOptions, 'algorithm' | 'hasPin'> {
  /** UTF-8 bytes, which the caller wipes. Absent: a key without a PIN. */
  readonly pin?: Uint8Array | undefined;
  /** Makes the key in the TPM. Default: `provider.create`. */
  readonly create?: ((provider: TpmKeyProvider, options: CreateKeyOptions) => Promise<CreatedTpmKey>) | undefined;
  /**
   * What belongs to the making of a TPM key, such as its attestation: when it fails, the key counts as not made.
   * It gets the provider with the TPM open.
   */
  readonly complete?: ((provider: TpmKeyProvider, key: CreatedTpmKey) => Promise<void>) | undefined;
}

/** A key, and the truth about how it came to be. */
export interface MadeKey {
  readonly key: ProvidedKey;
  readonly assurance: Assurance;
  readonly policy: Policy;
  /** All that was tried, the one that made the key last. */
  readonly attempts: readonly Attempt[];
  /** True where the TPM was wanted and software made the key. */
  readonly fellBack: boolean;
}

/**
 * Makes a key as policy wants it, and says what was tried. When the TPM fails under way, software takes over only
 * where policy allows it; a key that policy requires to be in a TPM is never made in software.
 *
 * @throws PinRefusedError for a PIN that policy does not allow; SelectionError as {@link selectKeyProvider} does; the
 * reason of `signal` when that aborted.
 */
export async function makeKey(policy: Policy, sources: ProviderSources, options: MakeKeyOptions): Promise<MadeKey> {
  const { algorithm } = policy;
  if (options.pin !== undefined) await judgePin(options.pin, policy.pin, { signal: options.signal });
  const wanted = { ...options, algorithm, hasPin: options.pin !== undefined };
  const selection = await selectKeyProvider(policy, sources, wanted);
  try {
    return await make(policy, selection, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    // Wrong arguments are the caller's to mend, and software has nothing after it.
    if (selection.provider.backend === 'software' || !isKeyprovError(error)) throw error;
    const attempts = [...selection.attempts, failed('tpm', error)];
    return await make(policy, await selectSoftware(policy, sources, wanted, attempts, error), options);
  }
}

async function make(policy: Policy, selection: Selection, options: MakeKeyOptions): Promise<MadeKey> {
  const { provider, attempts } = selection;
  const { pin, signal, complete, create = (tpmProvider, wanted) => tpmProvider.create(wanted) } = options;
  const wanted = { algorithm: policy.algorithm, pin, signal };
  const key = await withCleanup(
    async () => {
      if (!(provider instanceof TpmKeyProvider)) return await provider.create(wanted);
      const created = await create(provider, wanted);
      await complete?.(provider, created);
      return withoutCreation(created);
    },
    () => selection.close(),
  );
  const reason = provider.backend === 'tpm' ? 'the TPM made the key' : 'software made the key';
  return {
    key,
    assurance: provider.assurance,
    policy,
    attempts: [...attempts, { backend: provider.backend, outcome: 'used', reason }],
    fellBack: attempts.some(({ outcome }) => outcome === 'failed'),
  };
}

function withoutCreation({ creation: _, ...key }: CreatedTpmKey): ProvidedKey {
  return key;
}
