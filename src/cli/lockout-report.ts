import { isKeyprovError, KeyprovError, sayError } from '../errors.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { type PinTryCount, peekPinTries } from '../keys/pin-try-log.ts';
import { raiseMaximum } from '../keys/tpm-pin.ts';
import type { SignalOptions } from '../signal.ts';
import { type LockoutState, pausesWhenClosed, readLockout } from '../tpm/capabilities.ts';
import type { Tpm } from '../tpm/tpm.ts';

/** What the time until the next try depends on. */
type Clock = Pick<Tpm, 'transport'>;

/** Whether the TPM takes PINs, and how many wrong ones are left. */
export function describeLockout(lockout: LockoutState, tpm: Clock): string {
  const { inLockout, failedTries, maxTries, recoveryTimeSeconds } = lockout;
  if (maxTries === 0) return 'locked: no wrong try is allowed';
  if (recoveryTimeSeconds === 0) return inLockout ? 'locked' : 'wrong tries are not counted';
  const left = inLockout ? '' : `, ${Math.max(0, maxTries - failedTries)} left`;
  const when = pausesWhenClosed(tpm) ? ' while a program has the TPM open' : '';
  const forgiven = `${failedTries} of ${maxTries} wrong tries${left}; the count decreases by one every ${recoveryTimeSeconds} seconds${when}`;
  return inLockout ? `locked: ${forgiven}` : forgiven;
}

/** How a lockout ends. */
export const endLockout = (lockout: LockoutState, tpm: Clock): string =>
  lockout.maxTries === 0
    ? raiseMaximum(lockout)
    : `${lockout.recoveryTimeSeconds === 0 || pausesWhenClosed(tpm) ? '' : 'wait, or '}end it with keyprov tpm --reset-lockout`;

/** The PIN tries of a TPM, for programs and in words. */
export interface TpmTries {
  readonly lockout: LockoutState;
  readonly said: string;
  /** How a lockout ends. */
  readonly end: string;
}

/** Reads the PIN tries of a TPM. */
export async function readTpmTries(tpm: Tpm, options: SignalOptions): Promise<TpmTries> {
  const lockout = await readLockout(tpm, options);
  return { lockout, said: describeLockout(lockout, tpm), end: endLockout(lockout, tpm) };
}

/**
 * The wrong PINs of a software key, or why they are not known; undefined if no PIN of it was ever tried.
 * @throws like `peekPinTries`, except `store-io`
 */
export async function readPinTries(
  store: KeyStore,
  record: KeyRecord,
): Promise<PinTryCount | KeyprovError | undefined> {
  if (record.backend !== 'software' || !record.hasPin) return undefined;
  try {
    return await peekPinTries(store.directory, record.publicKey);
  } catch (error) {
    if (isKeyprovError(error, 'store-io')) return error;
    throw error;
  }
}

/** How many PINs in a row were wrong, and the wait until the next try. */
export function describePinTries(tries: PinTryCount | KeyprovError): string {
  if (tries instanceof KeyprovError) return `${tries.code === 'store-io' ? 'not known: ' : ''}${sayError(tries)}`;
  const { failures, retryAfterSeconds } = tries;
  return `${failures} wrong in a row${retryAfterSeconds > 0 ? `, next try in ${retryAfterSeconds} s` : ''}`;
}
