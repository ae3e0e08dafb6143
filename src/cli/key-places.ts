import { isKeyprovError, KeyprovError, undoOnFailure, withCleanup } from '../errors.ts';
import { type KeySources, keySources } from '../keys/key-sources.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { type Assurance, sayPlace } from '../keys/provider.ts';
import { storeKeyProvider } from '../keys/store-provider.ts';
import type { KeyAlgorithm } from '../policy/index.ts';
import type { SignalOptions } from '../signal.ts';
import type { OpenTpmOptions } from '../tpm/open-tpm.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { readNature } from '../tpm/virtual.ts';
import { openNamed } from './open-named.ts';
import type { NamedTpm } from './options/tpm-option.ts';
import type { Progress } from './terminal/progress.ts';

/** The places of a store's keys, for one call of a command. The TPM is opened once, on first use. */
export interface KeyPlaces {
  readonly sources: KeySources;
  /** The TPM. @throws KeyprovError `no-tpm` if no TPM may be used; errors of `openTpm`. */
  readonly tpm: (options: SignalOptions) => Promise<Tpm>;
}

/**
 * Runs `work` with the named TPM and store, and closes the TPM if it was opened. Without `create`, a missing virtual TPM
 * is an error, since keys should be in it.
 */
export async function withKeyPlaces<T>(
  { create = false, ...named }: NamedTpm & Pick<OpenTpmOptions, 'create'>,
  store: KeyStore,
  work: (places: KeyPlaces) => Promise<T>,
): Promise<T> {
  const { address } = named;
  let opened: Promise<Tpm> | undefined;
  const tpm = async (options: SignalOptions): Promise<Tpm> => {
    if (address === 'none') throw new KeyprovError('no-tpm', "the key is in a TPM, but the TPM address is 'none'");
    const { directory: marksDirectory } = store;
    opened ??= openNamed(named, { ...options, create, marksDirectory });
    return await opened;
  };
  const sources = keySources({ tpm: address === 'none' ? 'none' : tpm, store });
  return await withCleanup(
    () => work({ sources, tpm }),
    async () => {
      // If the TPM did not open, `work` has the error.
      await (await opened?.catch(ignoreKeyprovError))?.close();
    },
  );
}

function ignoreKeyprovError(error: unknown): undefined {
  if (!isKeyprovError(error)) throw error;
  return undefined;
}

/** Options of {@link showingKeySources}. */
export interface ShowingOptions {
  readonly algorithm: KeyAlgorithm;
  readonly progress: Progress;
  /** Set if the store is removed when the key is not made: marks of TPM handles then go to their usual place. */
  readonly isNewStore?: boolean | undefined;
  /** Whether the key is made now; a run looks at the places once before. Default: yes. */
  readonly isMaking?: (() => boolean) | undefined;
}

/** The places where a key may be made. Each shows its progress. */
export function showingKeySources(
  named: NamedTpm,
  store: KeyStore,
  { algorithm, progress, isNewStore, isMaking = () => true }: ShowingOptions,
): KeySources {
  const showMaking = (assurance: Assurance): void => {
    if (isMaking()) progress.begin('key', `making ${algorithm} ${sayPlace(assurance)}`);
  };
  const marksDirectory = isNewStore ? undefined : store.directory;
  let why = '';
  const openShown = async (options: SignalOptions): Promise<Tpm> => {
    progress.begin('tpm', 'opening');
    const tpm = await openNamed(named, { ...options, marksDirectory }).catch((error: unknown) => {
      progress.fail();
      if (isKeyprovError(error)) why = error.message;
      throw error;
    });
    const show = async (): Promise<Assurance> => {
      const { vendor, virtual } = await readNature(tpm, options);
      progress.end(`${tpm.transport.address}, ${vendor.manufacturer} '${vendor.vendorString}'`);
      return virtual ? 'virtual' : 'hardware';
    };
    showMaking(await undoOnFailure(show, () => tpm.close()));
    return tpm;
  };
  return {
    ...(named.address !== 'none' && { tpm: openShown }),
    software: async () => {
      if (why !== '' && !isMaking()) progress.note(`key: software will make it: ${why}`);
      showMaking('software');
      return storeKeyProvider(store);
    },
  };
}
