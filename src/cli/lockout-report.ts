import { join } from 'node:path';
import { countFolder, PIN_TRY_FOLDER } from '../keys/count-files.ts';
import type { KeyRecord } from '../keys/key-record.ts';
import type { KeyStore } from '../keys/key-store.ts';
import { openPinTryLog, type PinTryCount } from '../keys/pin-try-log.ts';
import type { LockoutState } from '../tpm/capabilities.ts';
import { exists } from './file-io.ts';

/** Whether the TPM takes PINs, and how many wrong ones are left. */
export function describeLockout({ inLockout, failedTries, maxTries, recoveryTimeSeconds }: LockoutState): string {
  if (recoveryTimeSeconds === 0) return inLockout ? 'locked' : 'wrong tries are not counted';
  const left = inLockout ? '' : `, ${Math.max(0, maxTries - failedTries)} left`;
  const forgiven = `${failedTries} of ${maxTries} wrong tries${left}; the count decreases by one every ${recoveryTimeSeconds} seconds`;
  return inLockout ? `locked: ${forgiven}` : forgiven;
}

/** How a lockout ends. */
export const endLockout = ({ recoveryTimeSeconds }: LockoutState): string =>
  `${recoveryTimeSeconds === 0 ? '' : 'wait, or '}end it with keyprov tpm --reset-lockout`;

/** The wrong PINs of a software key; undefined if no PIN of it was ever tried. @throws like `PinTryLog.read` */
export async function readPinTries(store: KeyStore, record: KeyRecord): Promise<PinTryCount | undefined> {
  const isCounted = record.backend === 'software' && record.hasPin;
  // Reading would begin a count.
  const folder = join(store.directory, PIN_TRY_FOLDER, countFolder(record.publicKey));
  return isCounted && (await exists(folder))
    ? await (await openPinTryLog(store.directory)).read(record.publicKey)
    : undefined;
}

/** How many PINs in a row were wrong, and the wait until the next try. */
export const describePinTries = ({ failures, retryAfterSeconds }: PinTryCount): string =>
  `${failures} wrong in a row${retryAfterSeconds > 0 ? `, next try in ${retryAfterSeconds} s` : ''}`;
