import { wipe } from '../bytes.ts';
import { withCleanup } from '../errors.ts';
import type { KeySources as Sources } from '../keys/key-sources.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { openSoftwareKeyProvider } from '../keys/software-provider.ts';
import { readWrappingSecret } from '../keys/wrapping-secret.ts';
import type { KeyAlgorithm } from '../policy/index.ts';
import type { SignalOptions } from '../signal.ts';
import { openTpm } from '../tpm/open-tpm.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { readNature } from '../tpm/virtual.ts';
import type { RecordContext } from './record.ts';
import type { Place } from './sign-with.ts';
import type { Progress } from './terminal/progress.ts';

/** What keys are made with. */
export interface KeySourceOptions {
  readonly address: Place['address'];
  readonly algorithm: KeyAlgorithm;
  /** Without one, a secret of the store encrypts software keys. */
  readonly hasPin: boolean;
  readonly progress: Progress;
}

/** The TPM and the software that may make the key; each says so when it is its turn. */
export class KeySources {
  readonly sources: Sources;
  /** The TPM that was opened. */
  tpm: RecordContext['tpm'];
  #wrappingSecret: Uint8Array | undefined;

  constructor(store: KeyStore, { address, algorithm, hasPin, progress }: KeySourceOptions) {
    const openMachine = async (options: SignalOptions): Promise<Tpm> => {
      progress.begin('tpm', 'opening');
      const tpm = await openTpm(address === 'none' ? 'auto' : address, options);
      try {
        const nature = await readNature(tpm, options);
        this.tpm = { address: tpm.transport.address, ...nature };
        progress.end(`${this.tpm.address}, ${nature.vendor.manufacturer} '${nature.vendor.vendorString}'`);
      } catch (error) {
        return await withCleanup(
          () => Promise.reject(error),
          () => tpm.close(),
        );
      }
      progress.begin('key', `making ${algorithm} in the TPM`);
      return tpm;
    };
    this.sources = {
      ...(address !== 'none' && { tpm: openMachine }),
      software: async () => {
        progress.begin('key', `making ${algorithm} in software`);
        if (!hasPin) this.#wrappingSecret = await readWrappingSecret(store);
        return openSoftwareKeyProvider({ wrappingSecret: this.#wrappingSecret });
      },
    };
  }

  wipe(): void {
    wipe(this.#wrappingSecret);
  }
}
