import { equal } from '../bytes.ts';
import { encodeSpki } from '../crypto/public-key.ts';
import { KeyprovError } from '../errors.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { openTpmKeyProvider, type TpmKeyProviderOptions } from '../keys/tpm-provider.ts';
import type { SignalOptions } from '../signal.ts';
import { decode } from '../tpm/codec/index.ts';
import { publicKeyOf } from '../tpm/public-key.ts';
import { TPM2B_PUBLIC } from '../tpm/structures/object.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { type RegisteredRecord, readRegistration } from './registration-record.ts';

/** Options of {@link loadRegisteredKey}. */
export interface LoadRegisteredKeyOptions extends SignalOptions {
  /** The TPM that has the key, if one has. */
  readonly tpm?: Tpm | undefined;
  readonly tpmOptions?: TpmKeyProviderOptions | undefined;
}

/**
 * Loads a registered key from the store, and makes sure that what is recorded is still so: the registration is that of
 * the key, and the TPM has the key, since it loads it. That needs no PIN, and works in lockout. A software key is what its
 * record says.
 *
 * @throws KeyprovError `key-not-found`, `store-invalid`; `key-invalid` for a key that is not registered, or whose TPM has
 * another one; `no-tpm` where the key is in a TPM and none is given; `tpm-identity-changed` where it is in another TPM,
 * or this one was cleared.
 */
export async function loadRegisteredKey(
  store: KeyStore,
  id: string,
  { tpm, tpmOptions, signal }: LoadRegisteredKeyOptions = {},
): Promise<RegisteredRecord> {
  const record = await store.load(id);
  const registration = readRegistration(record);
  if (registration === undefined) {
    throw new KeyprovError('key-invalid', `the key ${id} is not registered`, { remedy: 'provision one' });
  }
  if (record.backend === 'software') return { record, registration };
  if (tpm === undefined) throw new KeyprovError('no-tpm', `the key ${id} is in a TPM, and none was given`);
  const provider = await openTpmKeyProvider(tpm, { ...tpmOptions, signal });
  await provider.useWithoutPin(record, { signal }, async ({ file }) => {
    const inTpm = publicKeyOf(decode(TPM2B_PUBLIC, file.publicArea));
    if (equal(encodeSpki(inTpm), encodeSpki(record.publicKey))) return;
    throw new KeyprovError('key-invalid', `the record of the key ${id} has the private part of another key`, {
      remedy: 'unregister it, and provision a new one',
    });
  });
  return { record, registration };
}
