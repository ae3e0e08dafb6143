import { checkObject } from '../bytes.ts';
import { ServiceError } from '../errors/service-error.ts';
import { KeyprovError } from '../errors.ts';
import { checkStore, type KeyStore } from '../keys/key-store.ts';
import { checkMembers } from '../known-members.ts';
import type { KeyRegistrar } from '../registration/key-registrar.ts';
import type { SignalOptions } from '../signal.ts';
import { askToUnregister } from './ask-service.ts';
import { readRegistration } from './registration-record.ts';

/** Options of {@link unregisterKey}. */
export interface UnregisterOptions extends SignalOptions {
  readonly registrar: Pick<KeyRegistrar, 'address' | 'unregister'>;
}

/**
 * Unregisters a key at the service, then deletes it from the store, as {@link KeyStore.delete} does. If interrupted,
 * call it again.
 *
 * @returns whether the service still had the key.
 * @throws KeyprovError `key-not-found`, also if the key is not registered; `service-untrusted` if it is registered with
 * another service, or the service's registration is for another key; `service-refused` if the service cannot unregister
 * keys; ServiceError, `store-…`; TypeError if `unregister` returns anything but `deleted` or `absent`.
 */
export async function unregisterKey(
  store: KeyStore,
  id: string,
  options: UnregisterOptions,
): Promise<'deleted' | 'absent'> {
  checkStore('unregisterKey', store);
  options = checkMembers('unregisterKey', options, 'registrar signal');
  const { registrar, signal } = options;
  checkObject(registrar, 'registrar', 'address:string', 'unregister:function?');
  const record = await store.load(id);
  const registration = readRegistration(record);
  if (registration === undefined) {
    throw new KeyprovError('key-not-found', `the key ${id} is not registered`, { remedy: 'delete it from the store' });
  }
  const { user, kid, keyId, deviceId, service } = registration;
  if (service !== registrar.address) {
    throw new ServiceError('service-untrusted', `the key ${id} is registered with ${service}`, {
      remedy: `unregister it with that service, not ${registrar.address}; if the service has moved, keep its old address`,
    });
  }
  if (registrar.unregister === undefined) {
    throw new ServiceError('service-refused', `${service} cannot unregister the key ${kid} of ${user}`, {
      remedy: 'remove it there by other means, then delete it from the store',
    });
  }
  const { unregister } = registrar;
  const key = { user, kid, keyId, deviceId };
  const outcome = await askToUnregister(() => unregister.call(registrar, key, { signal }), signal);
  await store.delete(id, { signal });
  return outcome;
}
