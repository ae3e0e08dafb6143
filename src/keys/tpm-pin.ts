import { PinError } from '../errors/pin-error.ts';
import { isTpmError, TpmError, type TpmRefusal } from '../errors/tpm-error.ts';
import type { SignalOptions } from '../signal.ts';
import { type LockoutState, lockoutEnds, pausesWhenClosed, readLockout } from '../tpm/capabilities.ts';
import type { Tpm } from '../tpm/tpm.ts';
import { TPM_RC } from '../tpm/tpm-rc.ts';

/** Whether to try a PIN even if a wrong one would lock the TPM. */
export interface PinTryOptions extends SignalOptions {
  /** Tries the PIN even if a wrong one would lock the TPM for all its keys. Default false. */
  readonly force?: boolean | undefined;
}

/** Wrong PINs left before the TPM locks; undefined if it does not count them. */
function triesLeft({ inLockout, maxTries, failedTries, recoveryTimeSeconds }: LockoutState): number | undefined {
  if (inLockout) return 0;
  return recoveryTimeSeconds === 0 ? undefined : Math.max(0, maxTries - failedTries);
}

/** What gives more tries if waiting or a reset of the lockout does not. */
export const raiseMaximum = ({ maxTries }: LockoutState): string =>
  `raise the TPM's maximum of wrong tries, which is ${maxTries} (TPM2_DictionaryAttackParameters with the password of the lockout hierarchy)`;

const RESET_COUNT =
  "reset the count with the lockout hierarchy's password: this TPM counts time only while a program has it open";

/** How a lockout can end. */
export function lockoutRemedy(lockout: LockoutState, tpm: Tpm): string {
  if (lockout.maxTries === 0) return raiseMaximum(lockout);
  if (pausesWhenClosed(tpm)) return RESET_COUNT;
  const seconds = lockoutEnds(lockout, tpm);
  const wait = seconds === undefined ? '' : `wait up to ${seconds} s, or `;
  return `${wait}reset the lockout with the lockout hierarchy's password`;
}

/**
 * Runs `work`, which gives a PIN to the TPM, after counting the tries left. Does not ask a locked TPM, and refuses the
 * try that could lock it unless forced, since the lockout affects every protected key of that TPM.
 *
 * @throws PinError `pin-wrong` with the tries left, or `pin-last-try`; TpmError `tpm-lockout`. Each says after how many
 * seconds one try is given back, unless the next PIN would be tried at once or waiting does not help. Part 1, 19.8.
 */
export async function tryPin<T>(tpm: Tpm, options: PinTryOptions, work: () => Promise<T>): Promise<T> {
  // Another try between counting and trying could be the one that locks the TPM.
  return await tpm.turn(() => tryInTurn(tpm, options, work), options);
}

async function tryInTurn<T>(tpm: Tpm, { force = false, signal }: PinTryOptions, work: () => Promise<T>): Promise<T> {
  const before = await readLockout(tpm, { signal });
  if (before.inLockout && !force) throw lockedOut(tpm, before);
  if (!force) refuseLastTry(tpm, before, 'the PIN was not tried: one more wrong PIN', forceLastTry(before, tpm));
  try {
    return await work();
  } catch (error) {
    if (isTpmError(error, TPM_RC.LOCKOUT)) throw lockedOut(tpm, await readLockout(tpm), error);
    const isPin = isTpmError(error) && error.code === 'tpm-auth-failed' && error.hierarchy === undefined;
    if (!isPin) throw error;
    const after = await readLockout(tpm);
    const left = triesLeft(after);
    const counted =
      left === undefined ? 'the TPM does not count wrong PINs' : `${left} ${left === 1 ? 'try is' : 'tries are'} left`;
    throw new PinError('pin-wrong', `the PIN is wrong; ${counted}`, {
      cause: error,
      triesLeft: left,
      ...(left !== undefined && left <= 1 && { retryAfterSeconds: lockoutEnds(after, tpm) }),
      remedy:
        left === 1 ? forceLastTry(after, tpm) : left === 0 ? waitWithNone(after, tpm) : 'try again with the right PIN',
    });
  }
}

/**
 * Does the same for a storage key under dictionary attack protection, whose password may be wrong.
 * @throws PinError `pin-last-try`.
 */
export async function spareLastTry(tpm: Tpm, options: SignalOptions): Promise<void> {
  const lockout = await readLockout(tpm, options);
  const what = 'the password of the storage root key was not tried: a wrong one';
  refuseLastTry(tpm, lockout, what, waitForMore(lockout, tpm));
}

const waitForTry = ({ recoveryTimeSeconds }: LockoutState, tpm: Tpm): string =>
  pausesWhenClosed(tpm) ? RESET_COUNT : `wait ${recoveryTimeSeconds} s for another try`;

/** What to do before the last try. If the TPM allows one wrong try, each try is the last one. */
const waitForMore = (lockout: LockoutState, tpm: Tpm): string =>
  lockout.maxTries === 1 ? raiseMaximum(lockout) : waitForTry(lockout, tpm);

const forceLastTry = (lockout: LockoutState, tpm: Tpm): string =>
  `${waitForMore(lockout, tpm)}${pausesWhenClosed(tpm) ? ';' : ','} or, if you are sure of the PIN, use the last try with \`force: true\``;

const waitWithNone = (lockout: LockoutState, tpm: Tpm): string =>
  `${waitForTry(lockout, tpm)}${lockout.maxTries === 1 && !pausesWhenClosed(tpm) ? ', which needs `force: true`' : ''}`;

function refuseLastTry(tpm: Tpm, before: LockoutState, what: string, remedy: string): void {
  if (triesLeft(before) !== 1) return;
  throw new PinError('pin-last-try', `${what} would lock the TPM`, {
    ...{ triesLeft: 1, remedy },
    ...(before.maxTries > 1 && { retryAfterSeconds: lockoutEnds(before, tpm) }),
  });
}

function lockedOut(tpm: Tpm, lockout: LockoutState, refusal?: TpmRefusal): TpmError {
  return new TpmError('tpm-lockout', 'the TPM is locked after too many wrong PINs; the PIN was not tried', {
    ...{ cause: refusal, command: refusal?.command, responseCode: refusal?.responseCode },
    retryAfterSeconds: lockoutEnds(lockout, tpm),
    remedy: lockoutRemedy(lockout, tpm),
  });
}
