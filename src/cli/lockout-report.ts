import type { LockoutState } from '../tpm/capabilities.ts';

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
