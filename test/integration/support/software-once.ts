import type { KeyProvider, ProvidedKey } from '../../../src/keys/provider.ts';
import { openSoftwareKeyProvider } from '../../../src/keys/software-provider.ts';

let made: Promise<ProvidedKey> | undefined;

/** A software provider that makes its key once in a test file: scrypt would take most of the time. */
export async function softwareOnce(): Promise<KeyProvider> {
  const provider = openSoftwareKeyProvider();
  return { ...provider, create: (options) => (made ??= provider.create(options)) };
}
