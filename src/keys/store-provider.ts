import { withSecret } from '../bytes.ts';
import type { KeyStore } from './key-store.ts';
import { openPinTryLog } from './pin-try-log.ts';
import type { KeyProvider, ProvidedKey } from './provider.ts';
import { openSoftwareKeyProvider } from './software-provider.ts';
import { readWrappingSecret, type WrappingSecretOptions } from './wrapping-secret.ts';

/**
 * Returns the provider of a store's software keys: keys without a PIN are encrypted with the store's wrapping secret,
 * and PIN tries are counted in the store. The provider needs no closing.
 */
export function storeKeyProvider(store: KeyStore): KeyProvider {
  const withProvider = async <T>(
    { hasPin }: Pick<ProvidedKey, 'hasPin'>,
    options: WrappingSecretOptions,
    work: (provider: KeyProvider) => Promise<T>,
  ): Promise<T> =>
    await withSecret(hasPin ? undefined : await readWrappingSecret(store, options), async (wrappingSecret) => {
      const pinTries = hasPin ? await openPinTryLog(store.directory) : undefined;
      return await work(openSoftwareKeyProvider({ wrappingSecret, pinTries }));
    });
  const existing = { create: false };
  return {
    backend: 'software',
    assurance: 'software',
    supports: openSoftwareKeyProvider().supports,
    create: (options) =>
      withProvider({ hasPin: options.pin !== undefined }, { create: true }, (provider) => provider.create(options)),
    sign: (key, options) => withProvider(key, existing, (provider) => provider.sign(key, options)),
    changePin: (key, options) => withProvider(key, existing, (provider) => provider.changePin(key, options)),
  };
}
