import { type Bytes, wipe } from '../bytes.ts';
import { isKeyprovError } from '../errors.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { keepIn, loadWithPin, type ReplacePinOptions, replacePin } from './change-pin.ts';
import { openSealedPin, type PinRecovery, type RecoverPin, recoveryRequestOf, unavailable } from './pin-recovery.ts';
import { readPinState } from './pin-state.ts';

/** Options of {@link resetPinKeepingKey}. */
export interface ResetPinOptions extends ReplacePinOptions {
  /** Sends the request with a fresh token to the recovery service, and gives the secret that it answers with. */
  readonly recover: RecoverPin;
}

/**
 * Replaces a PIN that the user forgot, without a new key (Windows' EnablePinRecovery): the recovery service, which the
 * user proved their identity to, gives the secret that opens the sealed PIN, and from there on it is a change of PIN
 * like {@link changeUserPin}, the history included. The secret is used once: the new PIN is sealed under another one,
 * where `recovery` is given.
 *
 * The old PIN is what authorizes the change, so it is tried like any other: with `tpm-lockout` and `pin-last-try` the
 * reset has to wait too, before a new PIN is asked for.
 *
 * @throws KeyprovError `recovery-unavailable` where no recovery was set up for the PIN that the key has, or the secret
 * does not fit; else as {@link changeUserPin} does, and what `recover` throws.
 */
export async function resetPinKeepingKey(store: KeyStore, id: string, options: ResetPinOptions): Promise<KeyRecord> {
  const { recover, signal } = options;
  const record = await loadWithPin(store, id);
  const recovery = readPinState(record)?.recovery;
  if (recovery === undefined) throw unavailable(`no recovery was set up for the PIN of the key ${id}`);
  signal?.throwIfAborted();
  const pin = await recoverPin(record, recovery, recover, signal);
  try {
    return await replacePin(record, pin, options, keepIn(store, id, options));
  } catch (cause) {
    if (isKeyprovError(cause, 'pin-wrong')) throw unavailable('what was sealed is not the PIN of the key', cause);
    throw cause;
  } finally {
    wipe(pin);
  }
}

async function recoverPin(
  { publicKey }: KeyRecord,
  recovery: PinRecovery,
  recover: RecoverPin,
  signal: AbortSignal | undefined,
): Promise<Bytes> {
  const secret = await recover(recoveryRequestOf(recovery, publicKey), { signal });
  try {
    return openSealedPin(recovery, publicKey, secret);
  } finally {
    wipe(secret);
  }
}
