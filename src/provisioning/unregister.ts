import { ServiceError } from '../errors/service-error.ts';
import { KeyprovError } from '../errors.ts';
import type { KeyStore } from '../keys/key-store.ts';
import type { KeyRegistrar } from '../registration/key-registrar.ts';
import type { SignalOptions } from '../signal.ts';
import { noteLastBackend } from './last-backend.ts';
import { readRegistration } from './registration-record.ts';

/** Options of {@link unregisterKey}. */
export interface UnregisterOptions extends SignalOptions {
  readonly registrar: Pick<KeyRegistrar, 'address' | 'unregister'>;
}

/**
 * Takes a key back from the service, and then out of the store; of a key in a TPM nothing is left then but
 * the note that it was in one, without which the next might be in software unasked. Whoever is cut off in between calls it
 * again.
 *
 * @returns whether the service still had it.
 * @throws KeyprovError `key-not-found`; `key-invalid` for a key that is not registered; `service-untrusted` where it is
 * registered with another service, or the service has named another key; `service-refused` where the service offers no way; ServiceError, `store-…`.
 */
export async function unregisterKey(
  store: KeyStore,
  id: string,
  { registrar, signal }: UnregisterOptions,
): Promise<'deleted' | 'absent'> {
  const record = await store.load(id);
  const registration = readRegistration(record);
  if (registration === undefined) {
    throw new KeyprovError('key-invalid', `the key ${id} is not registered`, { remedy: 'delete it from the store' });
  }
  const { user, kid, keyId, deviceId, service } = registration;
  if (service !== registrar.address) {
    throw new ServiceError('service-untrusted', `the key ${id} is registered with ${service}`, {
      remedy: `ask that service, not ${registrar.address}`,
    });
  }
  if (registrar.unregister === undefined) {
    throw new ServiceError('service-refused', `${service} offers no way to take the key ${kid} of ${user} back`, {
      remedy: 'remove it there by other means, then delete it from the store',
    });
  }
  const outcome = await registrar.unregister({ user, kid, keyId, deviceId }, { signal });
  await noteLastBackend(store, user, record.backend);
  await store.delete(id, { signal });
  return outcome;
}
