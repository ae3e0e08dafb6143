import { withSecret } from '../bytes.ts';
import type { KeyStore } from './key-store.ts';
import { openPinTryLog } from './pin-try-log.ts';
import type { KeyProvider, ProvidedKey } from './provider.ts';
import { openSoftwareKeyProvider } from './software-provider.ts';
import { readWrappingSecret } from './wrapping-secret.ts';

/**
 * Returns the provider of a store's software keys: keys without a PIN are encrypted with the store's wrapping secret,
 * and PIN tries are counted in the store. The provider needs no closing.
 */
export function storeKeyProvider(store: KeyStore): KeyProvider {
  const withProvider = async <T>(
    { hasPin, isNew }: { readonly hasPin: boolean; readonly isNew: boolean },
    work: (provider: KeyProvider) => Promise<T>,
  ): Promise<T> => {
    return await withSecret(
      hasPin ? undefined : await readWrappingSecret(store, { create: isNew }),
      async (wrappingSecret) => {
        const pinTries = hasPin ? await openPinTryLog(store.directory) : undefined;
        return await work(openSoftwareKeyProvider({ wrappingSecret, pinTries }));
      },
    );
  };
  const existing = ({ hasPin }: ProvidedKey) => ({ hasPin, isNew: false });
  return {
    backend: 'software',
    assurance: 'software',
    supports: openSoftwareKeyProvider().supports,
    create: (options) =>
      withProvider({ hasPin: options.pin !== undefined, isNew: true }, (provider) => provider.create(options)),
    sign: (key, options) => withProvider(existing(key), (provider) => provider.sign(key, options)),
    changePin: (key, options) => withProvider(existing(key), (provider) => provider.changePin(key, options)),
  };
}
