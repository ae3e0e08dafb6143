import { isKeyprovError, KeyprovError, withCleanup } from '../errors.ts';
import { type KeySources, keySources } from '../keys/key-sources.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { storeKeyProvider } from '../keys/store-provider.ts';
import type { KeyAlgorithm } from '../policy/index.ts';
import type { SignalOptions } from '../signal.ts';
import { openTpm } from '../tpm/open-tpm.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { readNature } from '../tpm/virtual.ts';
import type { NamedTpm } from './options/tpm-option.ts';
import type { Progress } from './terminal/progress.ts';

/** Where the keys of a store can be, for one call of a command: all that ask for its TPM get the same one. */
export interface KeyPlaces {
  readonly sources: KeySources;
  /** The TPM. @throws KeyprovError `no-tpm` if the user wants none; what `openTpm` throws. */
  readonly tpm: (options: SignalOptions) => Promise<Tpm>;
}

/** Runs `work` with the places that the user and a store name, and closes the TPM if it was opened. */
export async function withKeyPlaces<T>(
  { address, hierarchyAuth }: NamedTpm,
  store: KeyStore,
  work: (places: KeyPlaces) => Promise<T>,
): Promise<T> {
  let opened: Promise<Tpm> | undefined;
  const tpm = async (options: SignalOptions): Promise<Tpm> => {
    if (address === 'none') throw new KeyprovError('no-tpm', 'the key is in a TPM, and the user wants none');
    const { directory: marksDirectory } = store;
    opened ??= openTpm(address, { ...options, lifetime: options.signal, marksDirectory, hierarchyAuth });
    return await opened;
  };
  const sources = keySources({ tpm: address === 'none' ? 'none' : tpm, store });
  return await withCleanup(
    () => work({ sources, tpm }),
    async () => {
      // Who waited for a TPM that did not open has the error.
      await (await opened?.catch(ignoreKeyprovError))?.close();
    },
  );
}

function ignoreKeyprovError(error: unknown): undefined {
  if (!isKeyprovError(error)) throw error;
  return undefined;
}

/** How {@link showingKeySources} makes a key. */
export interface ShowingOptions {
  readonly algorithm: KeyAlgorithm;
  readonly progress: Progress;
  /** Set for a store that goes if the key is not made: marks of what is in the TPM then stay where they usually are. */
  readonly isNewStore?: boolean | undefined;
}

/** Where a key may be made; each place says so when it is its turn. */
export function showingKeySources(
  { address, hierarchyAuth }: NamedTpm,
  store: KeyStore,
  { algorithm, progress, isNewStore }: ShowingOptions,
): KeySources {
  const marksDirectory = isNewStore ? undefined : store.directory;
  const openShown = async (options: SignalOptions): Promise<Tpm> => {
    progress.begin('tpm', 'opening');
    const tpm = await openTpm(address, { ...options, lifetime: options.signal, marksDirectory, hierarchyAuth });
    try {
      const { vendor } = await readNature(tpm, options);
      progress.end(`${tpm.transport.address}, ${vendor.manufacturer} '${vendor.vendorString}'`);
    } catch (error) {
      return await withCleanup(
        () => Promise.reject(error),
        () => tpm.close(),
      );
    }
    progress.begin('key', `making ${algorithm} in the TPM`);
    return tpm;
  };
  return {
    ...(address !== 'none' && { tpm: openShown }),
    software: async () => {
      progress.begin('key', `making ${algorithm} in software`);
      return storeKeyProvider(store);
    },
  };
}
