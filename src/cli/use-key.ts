import { wipe } from '../bytes.ts';
import { withCleanup } from '../errors.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { openPinTryLog } from '../keys/pin-try-log.ts';
import type { KeyProvider } from '../keys/provider.ts';
import { openSoftwareKeyProvider } from '../keys/software-provider.ts';
import { openTpmKeyProvider } from '../keys/tpm-provider.ts';
import { readWrappingSecret } from '../keys/wrapping-secret.ts';
import type { SignalOptions } from '../signal.ts';
import { type Place, withTpm } from './sign-with.ts';
import type { Report } from './terminal/report.ts';

/** Where a key of a store is, and who hears of it. */
export interface KeyPlace extends SignalOptions {
  readonly store: KeyStore;
  readonly address: Place['address'];
  readonly report: Report;
}

/** Runs `work` with the provider of a key of the store: its TPM, or software. */
export async function withProvider<T>(
  record: KeyRecord,
  { store, address, report, signal }: KeyPlace,
  work: (provider: KeyProvider) => Promise<T>,
): Promise<T> {
  if (record.backend === 'tpm') {
    if (record.assurance === 'virtual' && address !== 'none' && address.kind === 'auto') {
      report.warn('the key is in a virtual TPM, which is opened only by name: give it as --tpm');
    }
    return await withTpm(address, { signal }, async (tpm) => work(await openTpmKeyProvider(tpm, { signal })));
  }
  const wrappingSecret = record.hasPin ? undefined : await readWrappingSecret(store);
  const attempts = record.hasPin ? await openPinTryLog(store.directory) : undefined;
  return await withCleanup(
    () => work(openSoftwareKeyProvider({ wrappingSecret, attempts })),
    async () => wipe(wrappingSecret),
  );
}
