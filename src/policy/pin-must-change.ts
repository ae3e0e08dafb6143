import type { PinProblem } from '../errors/pin-refused-error.ts';
import { checkPin } from './check-pin.ts';
import { checkPinRules, PIN_CLASSES, type PinCharacterUse, type PinPolicy } from './pin-policy.ts';

/** The record of a PIN. Plain data; reveals nothing about the PIN except which rules it met. */
export interface PinRecord {
  /** When it was set, in milliseconds since 1970. */
  readonly setAt: number;
  /** The rules that it is known to meet. */
  readonly met: PinPolicy;
}

/** Why a PIN must be changed. */
export interface PinChangeReason {
  /** `expired`: the PIN is too old. `policy-tightened`: it may not meet a newer rule. */
  readonly code: 'expired' | 'policy-tightened';
  /** The rule that requires the change. */
  readonly setting: keyof PinPolicy;
  /** For the user, in English. */
  readonly message: string;
}

const DAY = 24 * 60 * 60 * 1000;
const TIGHTENED = 'Your organization changed its rules for PINs; set a new PIN.';

/**
 * Returns why a PIN must be changed at this time (milliseconds since 1970), without knowing the PIN: it expired, or a
 * rule is now stricter than the one that it met. Empty if it may stay. {@link recheckPin} can tell whether the PIN
 * meets the new rules after all, the next time it is entered.
 * @throws TypeError if rules of `policy` are missing; PolicyError if one is wrong.
 */
export function pinMustChange(record: PinRecord, policy: PinPolicy, now: number): PinChangeReason[] {
  checkPinRules(policy);
  const reasons: PinChangeReason[] = [];
  const { setAt, met } = record;
  const { expirationDays } = policy;
  if (expirationDays > 0 && now >= setAt + expirationDays * DAY) {
    reasons.push({ code: 'expired', setting: 'expirationDays', message: 'Your PIN has expired; set a new PIN.' });
  }
  const tightened: (keyof PinPolicy)[] = [];
  if (policy.minLength > met.minLength) tightened.push('minLength');
  if (policy.maxLength < met.maxLength) tightened.push('maxLength');
  for (const name of PIN_CLASSES) if (!isCovered(policy[name], met[name])) tightened.push(name);
  return [
    ...reasons,
    ...tightened.map((setting) => ({ code: 'policy-tightened', setting, message: TIGHTENED }) as const),
  ];
}

/**
 * Checks an entered PIN, for example at sign-in, against newer rules. Returns the updated record if the PIN meets them;
 * otherwise the problems.
 * @throws as {@link checkPin} does.
 */
export function recheckPin(
  record: PinRecord,
  pin: Uint8Array,
  policy: PinPolicy,
): { readonly record: PinRecord; readonly problems: readonly PinProblem[] } {
  const problems = checkPin(pin, policy);
  return { record: problems.length === 0 ? { ...record, met: policy } : record, problems };
}

/** Tells whether each PIN that met the old rule for a set of characters meets the new one. */
function isCovered(now: PinCharacterUse, then: PinCharacterUse): boolean {
  return now === 'allowed' || now === then;
}
