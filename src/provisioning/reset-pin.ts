import { checkObject, wipe, withSecret } from '../bytes.ts';
import { isKeyprovError } from '../errors.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import { checkStore, type KeyStore } from '../keys/key-store.ts';
import { checkMembers } from '../known-members.ts';
import { askSecret } from '../signal.ts';
import {
  checkLoads,
  keepIn,
  loadWithPin,
  REPLACE_MEMBERS,
  type ReplacePinOptions,
  refuseNewPin,
  replacePin,
} from './change-pin.ts';
import { openSealedPin, type RecoverPin, recoveryRequestOf, unavailable } from './pin-recovery.ts';
import { readPinState } from './pin-state.ts';

/** Options of {@link resetPinKeepingKey}. */
export interface ResetPinOptions extends ReplacePinOptions {
  /** Sends the request with a fresh token to the recovery service, and returns its secret. */
  readonly recover: RecoverPin;
}

/**
 * Replaces a forgotten PIN without a new key (Windows' EnablePinRecovery). The user proves their identity to the
 * recovery service, which returns the secret that opens the sealed PIN. Then the PIN is changed, including the history,
 * as {@link changeUserPin} does. The secret is used once: if `recovery` is given, the new PIN is sealed under another
 * secret.
 *
 * The old PIN authorizes the change and is tried like any PIN, so `tpm-lockout` and `pin-last-try` also delay a reset,
 * before a new PIN is requested.
 *
 * @throws KeyprovError `recovery-unavailable` if no recovery was set up for the key's current PIN, or the secret does
 * not fit; else as {@link changeUserPin} does, and errors of `recover`.
 */
export async function resetPinKeepingKey(store: KeyStore, id: string, options: ResetPinOptions): Promise<KeyRecord> {
  checkStore('resetPinKeepingKey', store);
  options = checkMembers('resetPinKeepingKey', options, 'recover:function', REPLACE_MEMBERS);
  checkObject(options.provider, 'provider of resetPinKeepingKey', 'backend', 'sign', 'changePin');
  const { recover, signal } = options;
  const record = await loadWithPin(store, id);
  const recovery = readPinState(record)?.recovery;
  if (recovery === undefined) throw unavailable(`PIN recovery was not set up for the key ${id}`);
  signal?.throwIfAborted();
  await refuseNewPin(options);
  await checkLoads(record, options);
  const { publicKey } = record;
  const ask = () => recover(recoveryRequestOf(recovery, publicKey), { signal });
  const pin = await withSecret(await askSecret('the result of recover', ask, signal), (secret) =>
    openSealedPin(recovery, publicKey, secret),
  );
  try {
    return await replacePin(record, pin, options, keepIn(store, id, options));
  } catch (cause) {
    if (isKeyprovError(cause, 'pin-wrong')) throw unavailable('the sealed PIN is not the PIN of the key', cause);
    throw cause;
  } finally {
    wipe(pin);
  }
}
